"""Make a variant of a model: the form, what would be made, and off to the job's page."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response

from seedstock.adapt.estimate import Estimate
from seedstock.adapt.preview import Bin, Preview, Sample
from seedstock.adapt.spec import AdaptSpec, read_spec, write_spec_file
from seedstock.core.errors import HubError, Invalid, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoType
from seedstock.http.call import Call
from seedstock.hub.listing import ListQuery
from seedstock.variants.previews import Prospect
from seedstock.variants.service import VariantProposal
from seedstock.web.pages.answer import page_routes, redirect, show
from seedstock.web.pages.header import header_of
from seedstock.web.views.adapt import AdaptPage, BinView, MethodView, SampleView, SegmentView, VariantView
from seedstock.web.views.common import Fact, Notice, NoticeKind

routes = page_routes()

_ADDRESS = "/{ns:account}/{name}/adapt"
METHODS = (
    MethodView(
        "sft", "Teach it by example", "Rows of questions and good answers, or of conversations.", "file"
    ),
    MethodView("dpo", "Teach it by preference", "Rows with a chosen and a rejected answer.", "people"),
    MethodView(
        "grpo", "Reward what is right", "It tries, a rule checks, and it learns from that.", "weights"
    ),
    MethodView(
        "distil_traces", "Learn from a teacher", "Another model answers; right answers are learnt.", "chat"
    ),
    MethodView("pretrain", "Read more text", "Next-token training on plain text.", "file"),
    MethodView("merge", "Merge", "Mix the weights with those of a relative.", "model"),
)
MERGES = ("slerp", "linear", "task_arithmetic", "ties", "dare_linear", "dare_ties")
REWARDS = ("exact", "number", "format", "countdown")
_FIELDS = "method data other reward merge weight epochs learning_rate rank max_length publish private merged kept".split()
_OFFERED_DATASETS = 200


@routes.add("GET", _ADDRESS)
def form(call: Call) -> Response:
    """The form, and what the asked-for variant would be."""
    if call.viewer.anonymous:
        raise Unauthenticated("Sign in to make a variant")
    fields = {name: (call.query(name) or "").strip()[:300] for name in _FIELDS}
    return _page(call, fields, asked=bool(call.query("asked")))


@routes.add("POST", _ADDRESS, limit_bytes=20_000)
def start(call: Call) -> Response:
    """Queue the job and go on to its page."""
    values = {name: found[0] for name, found in call.form().items()}
    fields = {name: values.get(name, "").strip()[:300] for name in _FIELDS}
    try:
        number, _ = call.hub.variants.start(call.viewer, spec_of(str(call.repo_id()), fields))
    except (RepoNotFound, Unauthenticated) as error:
        if isinstance(error, RepoNotFound) and error.message != RepoNotFound().message:
            return _page(call, fields, asked=False, error=error)
        raise
    except HubError as error:
        return _page(call, fields, asked=False, error=error)
    return redirect(f"/jobs/{number}")


def spec_of(repo: str, fields: dict[str, str]) -> AdaptSpec:
    """The spec that a filled-in form means. Raises Invalid."""
    method = fields["method"] or "sft"
    document: dict[str, Any] = {"method": method, "publish": fields["publish"] or None}
    document["private"] = True if fields["private"] else None
    if method == "merge":
        document |= {"models": [repo, fields["other"]], "settings": _merge_settings(repo, fields)}
        if fields["merge"] in {"task_arithmetic", "ties", "dare_linear", "dare_ties"}:
            document["base"] = repo
            document["models"] = [fields["other"]]
        return read_spec(document)
    document |= {"base": repo, "data": [fields["data"]], "settings": _training_settings(method, fields)}
    if method == "distil_traces":
        document["teacher"] = fields["other"]
    if fields["merged"]:
        document["publish_as"] = "merged"
    document["keep_checkpoints"] = bool(fields["kept"])
    return read_spec(document)


def _merge_settings(repo: str, fields: dict[str, str]) -> dict[str, Any]:
    del repo
    method = fields["merge"] or "slerp"
    share = _number("the share", fields["weight"] or "0.5")
    weights = {"slerp": [share], "linear": [1 - share, share]}.get(method, [share])
    return {"method": method, "weights": weights}


def _training_settings(method: str, fields: dict[str, str]) -> dict[str, Any]:
    settings: dict[str, Any] = {}
    if fields["epochs"]:
        settings["epochs"] = _number("epochs", fields["epochs"])
    if fields["learning_rate"]:
        settings["learning_rate"] = _number("the learning rate", fields["learning_rate"])
    if fields["max_length"]:
        settings["max_length"] = int(_number("most tokens a row", fields["max_length"]))
    if fields["rank"]:
        rank = int(_number("the rank", fields["rank"]))
        settings["lora"] = {"r": rank, "alpha": 2 * rank} if rank else None
    if method == "grpo":
        settings["rewards"] = [{"fn": fields["reward"] or REWARDS[0]}]
    return settings


def _number(what: str, text: str) -> float:
    try:
        return float(text.replace(",", "."))
    except ValueError:
        raise Invalid(f"{what[:1].upper()}{what[1:]} is a number, not {text[:40]!r}") from None


def _page(call: Call, fields: dict[str, str], *, asked: bool, error: HubError | None = None) -> Response:
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    proposal = None
    if asked:
        try:
            found = call.hub.variants.propose(call.viewer, spec_of(str(call.repo_id()), fields))
            proposal = _proposed(found, call.hub.variants.look_ahead(call.viewer, found))
        except HubError as fault:
            error = fault
    text = "" if error is None else f"{error.message}{f': {error.hint}' if error.hint else ''}."
    datasets = call.hub.listing.page(
        call.viewer, ListQuery(type=RepoType.DATASET, sort="name", ascending=True, limit=_OFFERED_DATASETS)
    )
    page = AdaptPage(
        header=header_of(call, at),
        methods=METHODS,
        rewards=REWARDS,
        merges=MERGES,
        datasets=tuple(repo.repo_id for repo in datasets.repos),
        fields={**fields, "method": fields["method"] or "sft"},
        proposal=proposal,
        notice=Notice(NoticeKind.BAD, text) if text else None,
    )
    return show(call, page, 400 if error and call.request.method == "POST" else 200)


def _proposed(proposal: VariantProposal, prospect: Prospect) -> VariantView:
    preview = prospect.preview
    inputs = tuple(
        Fact(role.replace("_", " ").capitalize(), f"{pinned.repo} at {pinned.commit[:12]}")
        for role, pinned in proposal.plan.inputs.items()
    )
    kind = "an adapter" if proposal.adapter else "a whole model"
    facts = (
        Fact("Makes", f"{kind}, in {'a repository that exists' if proposal.exists else 'a new repository'}"),
        *inputs,
        Fact("Licence", str(proposal.pedigree.front.get("license", "not stated by its parents"))),
        Fact(
            "Visibility", {True: "private", False: "public", None: "as usual for its owner"}[proposal.private]
        ),
    )
    settings = tuple(
        Fact(key, msgspec.json.encode(value).decode()) for key, value in proposal.settings.items()
    )
    return VariantView(
        proposal.target,
        facts,
        settings,
        (*proposal.pedigree.warnings, *(preview.warnings if preview else ())),
        fit=_fit(prospect.estimate) if prospect.estimate else None,
        fit_lines=prospect.estimate.lines if prospect.estimate else (),
        samples=tuple(_sample(sample) for sample in preview.samples) if preview else (),
        lengths=_bins(preview.histogram) if preview else (),
        lengths_text=_lengths_text(preview) if preview else "",
        spec_yaml=write_spec_file(proposal.spec),
    )


def _fit(found: Estimate) -> Notice:
    memory = f"about {found.memory_bytes / 1e9:.1f} GB of the {found.memory_available_bytes / 1e9:.1f} GB that are free"
    if not found.fits:
        return Notice(NoticeKind.BAD, f"It does not fit: it needs {memory}.")
    low, high = (max(1, round(seconds / 60)) for seconds in (found.seconds_low, found.seconds_high))
    minutes = f"{low:,} to {high:,} minutes" if low != high else f"about {low:,} minutes"
    return Notice(NoticeKind.INFO, f"It fits, with {memory}, and takes {minutes} for {found.steps:,} steps.")


def _sample(sample: Sample) -> SampleView:
    parts = tuple(SegmentView(part.text, part.trained) for part in sample.segments)
    return SampleView(parts, sample.tokens)


def _bins(bins: tuple[Bin, ...]) -> tuple[BinView, ...]:
    most = max((item.rows for item in bins), default=0) or 1
    return tuple(BinView(f"{item.start}", item.rows, 100 * item.rows / most) for item in bins)


def _lengths_text(preview: Preview) -> str:
    rows = f"{preview.rows:,}{' or more' if preview.more else ''} rows ({preview.mapping})"
    exact = "" if preview.exact else ", reckoned at four characters a token"
    cut = f"; {preview.cut_share:.0%} are cut" if preview.cut_share else ""
    tokens = f"{preview.total_tokens:,} tokens{exact}, {preview.median_tokens:,} in the middle row"
    return f"{rows}: {tokens}, {preview.longest_tokens:,} in the longest{cut}."
