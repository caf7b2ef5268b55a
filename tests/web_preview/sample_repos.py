"""Sample repositories: realistic shapes, invented owners."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from seedstock.core.names import RepoId, RepoType
from seedstock.web.markdown import render_markdown
from seedstock.web.rewriting import RepoLinks
from seedstock.web.snippets import hub_snippets, repo_snippets
from seedstock.web.views.common import Choice, Fact, Link, Pagination, SiteView, ViewerView
from seedstock.web.views.repos import (
    BadgesView,
    BaseModelView,
    CardPage,
    DtypeShare,
    Facet,
    HomePage,
    LineageState,
    MetadataPanelView,
    RepoCardView,
    RepoHeaderView,
    RepoListPage,
    Visibility,
    WeightFileView,
)

NOW = datetime(2026, 11, 24, 9, 30, tzinfo=UTC)
BASE_URL = "http://hub.example:8000"
SITE = SiteView(base_url=BASE_URL, version="0.1.0")
ANONYMOUS = ViewerView(csrf="csrf-sample")
DEMO = ViewerView(csrf="csrf-sample", name="demo", is_admin=True)
SMOL = BaseModelView("HuggingFaceTB/SmolLM2-135M", "finetune", None)
MODEL_ID = RepoId(RepoType.MODEL, "demo", "SmolLM2-135M-Instruct")
MODEL_URL = f"/{MODEL_ID.url_path}"

README = """\
---
license: apache-2.0
base_model: HuggingFaceTB/SmolLM2-135M
---
# SmolLM2-135M-Instruct

<p align="center"><img src="https://elsewhere.example/banner.png" alt="SmolLM2 family" width="600"></p>

SmolLM2 is a family of compact language models in three sizes: 135M, 360M and 1.7B parameters. They solve a
wide range of tasks and are light enough to run on a laptop. This copy adds GGUF files made with llama.cpp.

## How to use

```python
from transformers import AutoModelForCausalLM, AutoTokenizer

tokenizer = AutoTokenizer.from_pretrained("demo/SmolLM2-135M-Instruct")
model = AutoModelForCausalLM.from_pretrained("demo/SmolLM2-135M-Instruct")
messages = [{"role": "user", "content": "What is grafting?"}]
```

See [the training notes](docs/training.md) and [the config](config.json), or the paper: https://arxiv.org/abs/2502.02737.

## Evaluation

| Metric | 135M Instruct | 360M Instruct | 1.7B Instruct |
|:--|--:|--:|--:|
| IFEval (average prompt/inst) | 29.9 | 41.0 | 56.7 |
| HellaSwag | 40.9 | 52.1 | 66.1 |
| ARC (average) | 37.3 | 43.7 | 51.7 |
| PIQA | 66.3 | 70.8 | 74.4 |
| GSM8K (5-shot) | 1.4 | 7.43 | 48.2 |

## Before you rely on it

- [x] English chat and rewriting
- [x] Short summaries
- [ ] Arithmetic beyond small sums

> The models mainly understand and write English. What they say may be wrong, out of date or biased.

### Files

1. `model.safetensors` - the weights as published, ~~fp32~~ bf16
2. `SmolLM2-135M-Instruct-Q4_0.gguf` - quantised for `llama.cpp`
"""


def card(
    name: str, *, namespace: str = "demo", type: RepoType = RepoType.MODEL, hours: float = 5, **rest: object
) -> RepoCardView:
    href = f"/{RepoId(type, namespace, name).url_path}"
    moment = NOW - timedelta(hours=hours)
    return RepoCardView(type=type, namespace=namespace, name=name, href=href, updated_at=moment, **rest)  # type: ignore[arg-type]


TEXT = {"task": "text-generation", "library": "transformers", "licence": "Apache-2.0"}
MODELS = (
    card(
        "SmolLM2-135M-Instruct",
        hours=3,
        likes=128,
        downloads=48213,
        parameters=134_515_008,
        size_bytes=361_000_000,
        base_model=SMOL,
        runnable=True,
        badges=BadgesView(LineageState.DECLARED, "Open weight"),
        children=12,
        **TEXT,
    ),
    card(
        "SmolLM2-135M-Instruct-GGUF",
        hours=4,
        likes=41,
        downloads=9120,
        parameters=134_515_008,
        quantisation="Q4_0",
        size_bytes=91_700_000,
        runnable=True,
        base_model=BaseModelView("demo/SmolLM2-135M-Instruct", "quantized", MODEL_URL, "verified"),
        badges=BadgesView(LineageState.VERIFIED, "Open weight"),
        task="text-generation",
        library="gguf",
        licence="Apache-2.0",
    ),
    card(
        "countdown-grpo-135M",
        namespace="lab",
        hours=26,
        likes=17,
        downloads=1204,
        parameters=134_515_008,
        size_bytes=269_000_000,
        base_model=BaseModelView("demo/SmolLM2-135M-Instruct", "finetune", MODEL_URL, "contradicted"),
        badges=BadgesView(LineageState.CONTRADICTED, "Weights available"),
        **TEXT,
    ),
    card(
        "clinic-notes-lora-r16",
        namespace="lab",
        hours=50,
        likes=3,
        downloads=88,
        parameters=4_884_480,
        size_bytes=19_500_000,
        visibility=Visibility.PRIVATE,
        base_model=BaseModelView("demo/SmolLM2-135M-Instruct", "adapter", MODEL_URL),
        task="text-generation",
        library="peft",
        licence="Apache-2.0",
    ),
    card(
        "minilm-l6-retrieval",
        namespace="lab",
        hours=190,
        likes=62,
        downloads=1_204_331,
        parameters=22_713_216,
        size_bytes=90_900_000,
        task="sentence-similarity",
        library="sentence-transformers",
        licence="MIT",
    ),
    card(
        "speech-tiny-en",
        namespace="fieldworks",
        hours=800,
        likes=9,
        downloads=731,
        parameters=37_760_640,
        size_bytes=151_000_000,
        task="automatic-speech-recognition",
        library="transformers",
        licence="MIT",
    ),
)
DATASETS = (
    card(
        "countdown-28k",
        namespace="lab",
        type=RepoType.DATASET,
        hours=30,
        likes=12,
        downloads=903,
        size_bytes=6_400_000,
        task="text-generation",
        licence="CC-BY-4.0",
    ),
    card(
        "field-recordings-2026",
        namespace="fieldworks",
        type=RepoType.DATASET,
        hours=400,
        likes=5,
        downloads=57,
        size_bytes=18_300_000_000,
        task="automatic-speech-recognition",
        licence="CC-BY-SA-4.0",
    ),
    card(
        "smoltalk-clean",
        type=RepoType.DATASET,
        hours=72,
        likes=33,
        downloads=4100,
        size_bytes=1_940_000_000,
        task="text-generation",
        licence="Apache-2.0",
    ),
)
NO_PAGES = Pagination(first=1, last=6, total=6)

HOME = HomePage(
    trending=MODELS[:4],
    newest=MODELS[2:6],
    liked=(MODELS[0], MODELS[4], MODELS[1]),
    datasets=DATASETS,
    snippets=hub_snippets(BASE_URL),
    model_count=214,
    dataset_count=38,
)
HOME_EMPTY = HomePage(trending=(), newest=(), liked=(), datasets=(), snippets=hub_snippets(BASE_URL))


def options(*labels: tuple[str, int], selected: str = "") -> tuple[Choice, ...]:
    return tuple(Choice(label, f"/models?f={label}", label == selected, count) for label, count in labels)


SORTS = tuple(
    Choice(label, f"/models?sort={label.lower()}", label == "Trending")
    for label in ("Trending", "Built upon", "Likes", "Downloads", "Updated", "Name")
)
FACETS = (
    Facet(
        "Task",
        options(
            ("text-generation", 131),
            ("sentence-similarity", 24),
            ("automatic-speech-recognition", 17),
            ("image-classification", 9),
            selected="text-generation",
        ),
    ),
    Facet(
        "Library", options(("transformers", 96), ("gguf", 58), ("peft", 31), ("sentence-transformers", 22))
    ),
    Facet("Architecture", options(("llama", 74), ("qwen2", 40), ("bert", 26))),
    Facet("Quantisation", options(("BF16", 88), ("Q4_0", 31), ("Q4_K_M", 27), ("Q8_0", 12))),
    Facet("Licence", options(("Apache-2.0", 120), ("MIT", 44), ("CC-BY-4.0", 7))),
)
LISTING = RepoListPage(
    type=RepoType.MODEL,
    repos=MODELS,
    pagination=Pagination(1, 30, 131, None, "/models?page=2"),
    sorts=SORTS,
    facets=FACETS,
    active=(Choice("text-generation", "/models"),),
    state=(("task", "text-generation"), ("sort", "trending")),
    clear_href="/models",
)
LISTING_NONE = RepoListPage(
    type=RepoType.MODEL,
    repos=(),
    pagination=Pagination(0, 0, 0),
    query="smolm",
    sorts=SORTS,
    facets=FACETS,
    clear_href="/models",
)
LISTING_EMPTY = RepoListPage(type=RepoType.DATASET, repos=(), pagination=Pagination(0, 0, 0))
LISTING_DATASETS = RepoListPage(
    type=RepoType.DATASET, repos=DATASETS, pagination=Pagination(1, 3, 3), sorts=SORTS
)

HEADER = RepoHeaderView(
    type=RepoType.MODEL,
    namespace="demo",
    name="SmolLM2-135M-Instruct",
    url=MODEL_URL,
    likes=128,
    liked=True,
    downloads=48213,
    task="text-generation",
    library="transformers",
    licence="Apache-2.0",
    parameters=134_515_008,
    base_models=(SMOL,),
    runnable=True,
    talks=True,
    can_write=True,
    can_admin=True,
    snippets=repo_snippets(MODEL_ID, BASE_URL, uses_transformers=True, gguf=True, runnable=True, talks=True),
)
NEW_HEADER = RepoHeaderView(
    type=RepoType.DATASET,
    namespace="lab",
    name="untitled",
    url="/datasets/lab/untitled",
    visibility=Visibility.PRIVATE,
    can_write=True,
)
METADATA = MetadataPanelView(
    parameters=134_515_008,
    dtypes=(DtypeShare("BF16", 134_479_872, 99.97), DtypeShare("F32", 35_136, 0.03)),
    facts=(
        Fact("Architecture", "LlamaForCausalLM"),
        Fact("Context", "8,192 tokens"),
        Fact("Layers", "30"),
        Fact("Hidden size", "576"),
        Fact("Heads", "9, of which 3 key/value"),
        Fact("Vocabulary", "49,152"),
        Fact("Chat template", "yes"),
    ),
    weights=(
        WeightFileView("model.safetensors", f"{MODEL_URL}/blob/main/model.safetensors", 269_060_552, "BF16"),
        WeightFileView(
            "SmolLM2-135M-Instruct-Q4_0.gguf",
            f"{MODEL_URL}/blob/main/SmolLM2-135M-Instruct-Q4_0.gguf",
            91_726_944,
            "Q4_0",
        ),
    ),
    total_bytes=364_118_902,
    licence=Link("Apache-2.0", "/models?license=apache-2.0"),
    languages=("English",),
    datasets=(Link("demo/smoltalk-clean", "/datasets/demo/smoltalk-clean"),),
    tags=tuple(
        Link(tag, f"/models?tag={tag}")
        for tag in ("safetensors", "gguf", "llama", "conversational", "on-device", "arxiv:2502.02737")
    ),
)
CARD = CardPage(
    header=HEADER,
    metadata=METADATA,
    readme_html=render_markdown(README, RepoLinks(MODEL_URL, "main")),
    updated_at=NOW - timedelta(hours=3),
    edit_href=f"{MODEL_URL}/blob/main/README.md",
    derived=MODELS[1:3],
)
CARD_EMPTY = CardPage(header=NEW_HEADER, metadata=MetadataPanelView())
