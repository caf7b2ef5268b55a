"""Every page: name -> (path it would have, view model, viewer)."""

from __future__ import annotations

from datetime import timedelta

from seedstock.core.names import RepoType
from seedstock.web.markdown import render_markdown
from seedstock.web.rewriting import RepoLinks
from seedstock.web.views import accounts, convert, files, jobs, remotes, run
from seedstock.web.views.common import Choice, Fact, Link, Notice, NoticeKind, Page, Pagination, ViewerView
from tests.web_preview.sample_adapt import ADAPT_SAMPLES
from tests.web_preview.sample_chat import CHAT_SAMPLES
from tests.web_preview.sample_evaluation import EVALUATION_SAMPLES
from tests.web_preview.sample_jobs import JOB_SAMPLES
from tests.web_preview.sample_lineage import LINEAGE_SAMPLES
from tests.web_preview.sample_openness import OPENNESS_SAMPLES
from tests.web_preview.sample_repos import (
    ANONYMOUS,
    CARD,
    CARD_EMPTY,
    DEMO,
    HEADER,
    HOME,
    HOME_EMPTY,
    LISTING,
    LISTING_DATASETS,
    LISTING_EMPTY,
    LISTING_NONE,
    MODEL_URL,
    MODELS,
    NEW_HEADER,
    NO_PAGES,
    NOW,
    README,
)
from tests.web_preview.sample_usage import USAGE_SAMPLES


def commit(
    number: int, title: str, hours: float, author: str = "demo", body: str = ""
) -> files.CommitRowView:
    oid = f"{number * 2654435761 % 2**32:08x}" * 5
    return files.CommitRowView(
        oid, title, f"{MODEL_URL}/commit/{oid}", author, NOW - timedelta(hours=hours), body, f"/{author}"
    )


COMMITS = (
    commit(
        1,
        "Add Q4_0 for llama.cpp",
        3,
        body="Made with llama-quantize from the bf16 weights.\nPerplexity on the card's text: 17.2 against 16.8.",
    ),
    commit(2, "Say in the card what the model cannot do", 7),
    commit(3, "Upload tokenizer and generation config", 30),
    commit(
        4,
        "Upload model.safetensors with huggingface_hub, resuming after the connection broke in the middle of it",
        31,
        "lab",
    ),
    commit(5, "initial commit", 31.2),
)
REVISION = files.RevisionView(
    "main",
    COMMITS[0].oid,
    branches=(
        Choice("main", f"{MODEL_URL}/tree/main", True),
        Choice("experiment/long-context", f"{MODEL_URL}/tree/experiment%2Flong-context"),
    ),
    tags=(Choice("v1.0", f"{MODEL_URL}/tree/v1.0"),),
)


def row(
    name: str,
    size_bytes: int | None,
    by: int,
    storage: files.Storage = files.Storage.GIT,
    label: str | None = None,
) -> files.FileRowView:
    folder = size_bytes is None
    return files.FileRowView(
        name,
        f"{MODEL_URL}/{'tree' if folder else 'blob'}/main/{name}",
        folder,
        size_bytes,
        storage,
        None if folder else f"{MODEL_URL}/resolve/main/{name}?download=true",
        COMMITS[by],
        label,
    )


ROWS = (
    row("docs", None, 1),
    row("runs", None, 3),
    row(".gitattributes", 1519, 4),
    row("README.md", 3812, 1),
    row("config.json", 861, 2),
    row("generation_config.json", 132, 2),
    row("model.safetensors", 269_060_552, 3, files.Storage.XET, "BF16"),
    row("SmolLM2-135M-Instruct-Q4_0.gguf", 91_726_944, 0, files.Storage.LFS, "Q4_0"),
    row("tokenizer.json", 2_104_556, 2),
    row("tokenizer_config.json", 3764, 2),
)
CRUMBS = (Link("SmolLM2-135M-Instruct", f"{MODEL_URL}/tree/main"),)
TREE = files.TreePage(
    HEADER, REVISION, CRUMBS, ROWS, COMMITS[0], 5, 364_118_902, upload_href=f"{MODEL_URL}/upload/main"
)
TREE_EMPTY = files.TreePage(
    NEW_HEADER,
    files.RevisionView("main", "0" * 40),
    (Link("untitled", "/datasets/lab/untitled/tree/main"),),
    (),
    upload_href="/datasets/lab/untitled/upload/main",
)
CONFIG = """\
{
  "architectures": ["LlamaForCausalLM"],
  "bos_token_id": 1,
  "eos_token_id": 2,
  "hidden_act": "silu",
  "hidden_size": 576,
  "intermediate_size": 1536,
  "max_position_embeddings": 8192,
  "model_type": "llama",
  "num_attention_heads": 9,
  "num_hidden_layers": 30,
  "num_key_value_heads": 3,
  "rope_theta": 100000,
  "tie_word_embeddings": true,
  "torch_dtype": "bfloat16",
  "vocab_size": 49152
}"""
WEIGHTS = files.WeightHeaderView(
    "safetensors",
    272,
    (
        Fact("Parameters", "134,515,008"),
        Fact("Dtypes", "BF16"),
        Fact("Header", "30.4 KiB"),
        Fact("format", "pt"),
    ),
    tuple(
        files.TensorRow(f"model.layers.{layer}.{part}.weight", "BF16", shape, shape[0] * shape[1] * 2)
        for layer in range(3)
        for part, shape in (
            ("self_attn.q_proj", (576, 576)),
            ("self_attn.k_proj", (192, 576)),
            ("mlp.up_proj", (1536, 576)),
        )
    ),
)


def blob(name: str, size_bytes: int, body: object, **rest: object) -> files.BlobPage:
    return files.BlobPage(
        HEADER,
        REVISION,
        (*CRUMBS, Link(name, f"{MODEL_URL}/blob/main/{name}")),
        name,
        size_bytes,
        body,  # type: ignore[arg-type]
        f"{MODEL_URL}/resolve/main/{name}?download=true",
        f"{MODEL_URL}/resolve/main/{name}",
        f"{MODEL_URL}/commits/main/{name}",
        last_commit=COMMITS[2],
        **rest,  # type: ignore[arg-type]
    )


DIGEST = "5af571cbf074e6d21a03528d2330792e532ca608f24ac70a143f6b369968ab8c"
PROFILE = accounts.ProfileView(
    "lab",
    accounts.AccountKind.ORGANISATION,
    NOW - timedelta(days=210),
    "Small models, taught in the open. Every run is kept with its recipe.",
    members=tuple(
        accounts.MemberView(name, f"/{name}", role)
        for name, role in (("demo", "admin"), ("fieldworks", "write"), ("visitor", "read"))
    ),
)
USER = accounts.ProfileView(
    "demo", accounts.AccountKind.USER, NOW - timedelta(days=300), organisations=(Link("lab", "/lab"),)
)


def tabs(chosen: str, *labels: tuple[str, int]) -> tuple[Choice, ...]:
    return tuple(
        Choice(label, f"/lab?tab={label.lower()}", label == chosen, number) for label, number in labels
    )


ORG_TABS = (("Models", 3), ("Datasets", 1), ("Members", 3))
REMOTES = remotes.RemotesPage(
    (
        remotes.RemoteView(
            "claude",
            "anthropic",
            "https://api.anthropic.com/v1",
            "set",
            ("remote/claude/claude-sonnet-4-5", "remote/claude/claude-haiku-4-5"),
            False,
            ("lab", "demo"),
            None,
            "claude-sonnet-4-5\nclaude-haiku-4-5",
            "lab, demo",
        ),
        remotes.RemoteView(
            "openai", "openai", "https://api.openai.com/v1", "unreadable", (), True, None, None
        ),
        remotes.RemoteView(
            "rack",
            "openai",
            "http://vllm.long-name-of-a-machine.cluster.internal.example.org:8000/v1",
            "none",
            tuple(f"remote/rack/Qwen/Qwen3-{size}B-Instruct" for size in (4, 8, 14, 32, 235)),
            True,
            None,
            NOW - timedelta(hours=3),
        ),
    ),
    notice=Notice(NoticeKind.GOOD, "rack lists 5 models, in 34 ms."),
)
TOKENS = (
    accounts.TokenRowView(
        "1", "training box", "write", "hf_…x7Qa", NOW - timedelta(days=12), NOW - timedelta(minutes=4)
    ),
    accounts.TokenRowView("2", "laptop", "read", "hf_…Bf03", NOW - timedelta(days=90), None),
)
JOBS = (
    jobs.JobRowView(
        "j1",
        "metadata.read",
        jobs.JobState.RUNNING,
        1,
        3,
        NOW - timedelta(seconds=20),
        Link("demo/SmolLM2-135M-Instruct", MODEL_URL),
    ),
    jobs.JobRowView(
        "j2",
        "metadata.read",
        jobs.JobState.FAILED,
        3,
        3,
        NOW - timedelta(minutes=9),
        Link("lab/broken-upload", "/lab/broken-upload"),
        duration_s=0.21,
        error="UnsupportedFormat: model.safetensors: header length 9,223,372,036,854 is beyond the file's 1,048,576 bytes",
    ),
    jobs.JobRowView(
        "j3", "store.collect", jobs.JobState.DONE, 1, 3, NOW - timedelta(hours=2), duration_s=83.4
    ),
    jobs.JobRowView(
        "j4",
        "search.index",
        jobs.JobState.QUEUED,
        0,
        3,
        NOW - timedelta(seconds=5),
        Link("lab/countdown-28k", "/datasets/lab/countdown-28k"),
    ),
)
JOB_STATES = tuple(
    Choice(label, f"/admin/jobs?state={label.lower()}", label == "All", n)
    for label, n in (("All", 4), ("Queued", 1), ("Running", 1), ("Failed", 1), ("Done", 1))
)
CHANGES = (
    files.ChangeRowView(
        "SmolLM2-135M-Instruct-Q4_0.gguf",
        files.ChangeKind.ADDED,
        f"{MODEL_URL}/blob/main/q",
        None,
        91_726_944,
        files.Storage.LFS,
    ),
    files.ChangeRowView(
        "README.md", files.ChangeKind.MODIFIED, f"{MODEL_URL}/blob/main/README.md", 3410, 3812
    ),
    files.ChangeRowView("notes/old-quantisation-attempt.txt", files.ChangeKind.DELETED, None, 912, None),
)
NOT_FOUND = accounts.ErrorPage(
    404,
    "Nothing here",
    "There is no page at this address, or it is one that you may not see.",
    "Check the spelling; names of repositories are owner/name.",
    "0d9c7c3e-3a3b-4f0e-9a57-0e8a0f6f3e58",
    "/login",
)
SAMPLES: dict[str, tuple[str, Page, ViewerView]] = {
    **LINEAGE_SAMPLES,
    **OPENNESS_SAMPLES,
    "home": ("/", HOME, DEMO),
    "home-empty": ("/_/home-empty", HOME_EMPTY, ANONYMOUS),
    "models": ("/models", LISTING, DEMO),
    "models-none": ("/_/models-none", LISTING_NONE, ANONYMOUS),
    "datasets": ("/datasets", LISTING_DATASETS, DEMO),
    "datasets-empty": ("/_/datasets-empty", LISTING_EMPTY, DEMO),
    "card": (MODEL_URL, CARD, DEMO),
    "card-empty": ("/datasets/lab/untitled", CARD_EMPTY, DEMO),
    "tree": (f"{MODEL_URL}/tree/main", TREE, DEMO),
    "tree-empty": ("/datasets/lab/untitled/tree/main", TREE_EMPTY, DEMO),
    "blob-text": (
        f"{MODEL_URL}/blob/main/config.json",
        blob("config.json", 861, files.TextBody(tuple(CONFIG.split("\n")))),
        DEMO,
    ),
    "blob-markdown": (
        f"{MODEL_URL}/blob/main/README.md",
        blob("README.md", 3812, files.MarkdownBody(render_markdown(README, RepoLinks(MODEL_URL, "main")))),
        DEMO,
    ),
    "blob-weights": (
        f"{MODEL_URL}/blob/main/model.safetensors",
        blob(
            "model.safetensors",
            269_060_552,
            files.BinaryBody(),
            storage=files.Storage.XET,
            digest=DIGEST,
            weights=WEIGHTS,
        ),
        DEMO,
    ),
    "blob-image": (
        f"{MODEL_URL}/blob/main/loss.svg",
        blob("loss.png", 18_211, files.ImageBody("/_/image.png")),
        DEMO,
    ),
    "blob-large": (
        f"{MODEL_URL}/blob/main/tokenizer.json",
        blob("tokenizer.json", 2_104_556, files.TooLargeBody(1024 * 1024)),
        DEMO,
    ),
    "blob-binary": (
        f"{MODEL_URL}/blob/main/optimizer.pt",
        blob("optimizer.pt", 731_004_112, files.BinaryBody(), storage=files.Storage.LFS, digest=DIGEST),
        ANONYMOUS,
    ),
    "commits": (
        f"{MODEL_URL}/commits/main",
        files.CommitsPage(HEADER, REVISION, COMMITS, Pagination(1, 5, 61, None, "?page=2")),
        DEMO,
    ),
    "commit": (
        COMMITS[0].href,
        files.CommitPage(
            HEADER,
            COMMITS[0],
            (Link(COMMITS[1].oid[:7], COMMITS[1].href),),
            CHANGES,
            f"{MODEL_URL}/tree/{COMMITS[0].oid}",
        ),
        DEMO,
    ),
    "upload": (
        f"{MODEL_URL}/upload/main",
        files.UploadPage(HEADER, "main", f"{MODEL_URL}/upload/main"),
        DEMO,
    ),
    "settings": (
        f"{MODEL_URL}/settings",
        run.RepoSettingsPage(HEADER, ("demo", "lab"), Notice(NoticeKind.GOOD, "Visibility saved.")),
        DEMO,
    ),
    "convert": (
        f"{MODEL_URL}/convert",
        convert.ConvertPage(
            HEADER,
            (convert.TargetView("Q4_K_M", "small and good"), convert.TargetView("Q8_0", "half of 16 bits")),
            "Q4_K_M",
            "demo/model-GGUF",
            proposal=convert.ConversionView(
                "demo/model-GGUF",
                "model-Q4_K_M.gguf",
                105_454_144,
                (Fact("Made from", "model.safetensors at 0123456789ab"), Fact("Tensors", "211 Q4_K, 61 F32")),
                ("Some matrices are stored in a larger type.",),
            ),
        ),
        DEMO,
    ),
    "new": ("/new", run.NewRepoPage(("demo", "lab"), "demo"), DEMO),
    "new-error": (
        "/_/new-error",
        run.NewRepoPage(
            ("demo", "lab"),
            "lab",
            RepoType.DATASET,
            "bad--name",
            error="Invalid repository name: 'bad--name'. Letters, digits, '-', '_' and '.', at most 96.",
        ),
        DEMO,
    ),
    "organisation": (
        "/lab",
        accounts.ProfilePage(PROFILE, tabs("Models", *ORG_TABS), MODELS[2:5], pagination=NO_PAGES),
        DEMO,
    ),
    "members": (
        "/_/members",
        accounts.ProfilePage(PROFILE, tabs("Members", *ORG_TABS), shows_members=True),
        DEMO,
    ),
    "profile": (
        "/demo",
        accounts.ProfilePage(USER, tabs("Models", ("Models", 2), ("Datasets", 1), ("Likes", 4)), MODELS[:2]),
        DEMO,
    ),
    "profile-empty": (
        "/_/profile-empty",
        accounts.ProfilePage(USER, tabs("Likes", ("Models", 2), ("Datasets", 1), ("Likes", 0)), is_own=True),
        DEMO,
    ),
    "login": ("/login", accounts.LoginPage(next="/demo"), ANONYMOUS),
    "login-error": (
        "/_/login-error",
        accounts.LoginPage(name="demo", error="User name or password is wrong."),
        ANONYMOUS,
    ),
    "tokens": (
        "/settings/tokens",
        accounts.TokensPage(
            TOKENS, accounts.NewTokenView("laptop", "hf_" + "abcdefghijklmnopqrstuvwxyz12345678")
        ),
        DEMO,
    ),
    "tokens-empty": ("/_/tokens-empty", accounts.TokensPage(()), DEMO),
    "remotes": ("/admin/remotes", REMOTES, DEMO),
    "remotes-empty": (
        "/_/remotes-empty",
        remotes.RemotesPage(
            (),
            remotes.NewRemoteView(
                "openai", url="ftp://x", error="The address starts with http:// or https://."
            ),
            enabled=True,
        ),
        DEMO,
    ),
    "jobs": ("/admin/jobs", jobs.JobsPage(JOBS, JOB_STATES, Pagination(1, 4, 4), everyone=True), DEMO),
    "jobs-empty": ("/_/jobs-empty", jobs.JobsPage((), JOB_STATES, Pagination(0, 0, 0)), DEMO),
    **CHAT_SAMPLES,
    **ADAPT_SAMPLES,
    **EVALUATION_SAMPLES,
    **JOB_SAMPLES,
    **USAGE_SAMPLES,
    "error-404": ("/_/404", NOT_FOUND, ANONYMOUS),
    "error-403": (
        "/_/403",
        accounts.ErrorPage(
            403,
            "Not yours to change",
            "You can read this repository but not write to it.",
            "Ask its owner, or copy it to your own account.",
        ),
        DEMO,
    ),
    "error-500": (
        "/_/500",
        accounts.ErrorPage(
            500,
            "Something broke on this side",
            "The hub could not answer this request.",
            "If it happens again, give the request id to an administrator.",
            NOT_FOUND.request_id,
        ),
        DEMO,
    ),
    "error-503": (
        "/_/503",
        accounts.ErrorPage(503, "Busy", "Every engine of this hub is taken.", "Try again in a few seconds."),
        DEMO,
    ),
}
