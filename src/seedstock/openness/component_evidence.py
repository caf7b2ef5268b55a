"""Where each component of the openness framework is looked for. Presence only; licences are judged elsewhere.

A file counts by its name and by having content: empty files, headings without text and the placeholders of card
templates do not. A link counts where it names one fixed thing: a paper's id, a repository at a commit.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from typing import Any

import msgspec

from seedstock.metadata.card import texts
from seedstock.openness.card_text import MAX_CARD_CHARS, card_sections, cut_out, prose
from seedstock.openness.component_model import Ground
from seedstock.openness.facts import Dataset, File, ModelFacts
from seedstock.openness.known_code import LIBRARIES, MODEL_TYPES

MIN_CARD_CHARS = 1000
MIN_CARD_WORDS = 90
MIN_CODE_BYTES = 200
MIN_DOCUMENT_BYTES = 5000
_ARXIV = re.compile(
    r"\A(?:arxiv:|https?://arxiv\.org/(?:abs|pdf|html)/)(\d{4}\.\d{4,5})(?:v\d+)?(?:\.pdf)?\Z", re.IGNORECASE
)
_DOI = re.compile(r"(?:\bdoi:\s*|https?://(?:dx\.)?doi\.org/)(10\.\d{4,9}/[-._;()/:A-Za-z0-9]{3,200})")
_REPO_AT_COMMIT = re.compile(
    r"https?://(?:github\.com|gitlab\.com|codeberg\.org)/[\w.-]+/[\w.-]+/(?:-/)?(?:tree|commit)/[0-9a-f]{40}\b"
)
_HARNESS = re.compile(
    r"\b(lm[-_]eval(?:uation[-_]harness)?|lighteval|helm)[ =@v]+(\d+\.\d+(?:\.\d+)?)", re.IGNORECASE
)
_WEIGHTS = re.compile(r"\.(?:safetensors|gguf)\Z", re.IGNORECASE)
_CHECKPOINT = re.compile(r"(?:\A|/)(?:checkpoints?|steps?|global_step)[-_/]?\d+(?:/|-|_)", re.IGNORECASE)
_CHECKPOINT_REF = re.compile(r"(?:\A|/)(?:steps?|checkpoint|stage\d*|iter)[-_.]?\d+", re.IGNORECASE)


class Sighting(msgspec.Struct, frozen=True):
    """A component that is there. `licenses` are set where the thing has licences of its own, which all apply.

    `outside` marks a thing that lies outside the hub, so that its licence cannot be read here; `closed` one
    that is not given to everybody.
    """

    rule: str
    text: str
    target: str | None = None
    ground: Ground = Ground.DETECTED
    licenses: tuple[str, ...] = ()
    outside: bool = False
    closed: bool = False


Look = Callable[[ModelFacts], Iterator[Sighting]]


def _architecture(model: ModelFacts) -> Iterator[Sighting]:
    code = _named(model, r"(?:\A|/)modeling_[^/]+\.py\Z", MIN_CODE_BYTES)
    if code:
        yield Sighting("modeling-file", "the architecture's code is in the repo", code.path)
    kind = (model.metadata.config or {}).get("model_type")
    if isinstance(kind, str) and kind in MODEL_TYPES:
        yield Sighting(
            "known-model-type",
            f"'{kind}' is implemented in transformers",
            "config.json",
            licenses=("Apache-2.0",),
        )
    if model.metadata.gguf and model.metadata.gguf.architecture in MODEL_TYPES:
        text = f"'{model.metadata.gguf.architecture}' is implemented in llama.cpp"
        yield Sighting("known-gguf-architecture", text, licenses=("MIT",))


def weight_files(model: ModelFacts) -> list[File]:
    """Weight files whose header could be read, so neither empty nor mere names."""
    unread = {problem.path for problem in model.metadata.problems}
    read = {panel.path for panel in model.metadata.panels if panel.parameters > 0}
    candidates = [file for file in model.files if _WEIGHTS.search(file.path) and file.path not in unread]
    return [file for file in candidates if file.path in read and file.size_bytes > 0]


def _parameters(model: ModelFacts) -> Iterator[Sighting]:
    found = [file for file in weight_files(model) if not _CHECKPOINT.search(file.path)]
    if found:
        count = sum(panel.parameters for panel in model.metadata.panels)
        yield Sighting(
            "weight-files",
            f"{len(found)} weight file{'' if len(found) == 1 else 's'}, {count:,} parameters read",
            found[0].path,
        )


def _model_card(model: ModelFacts) -> Iterator[Sighting]:
    body = prose(model.card_body)
    sections = card_sections(model.card_body)
    words = set(re.findall(r"[^\W\d_]{3,}", body.lower()))
    if len(body) >= MIN_CARD_CHARS and len(words) >= MIN_CARD_WORDS and len(sections) >= 3:
        yield Sighting("card-sections", f"the card covers {', '.join(sections)}", "README.md")


def _training_sets(model: ModelFacts) -> list[Dataset]:
    return [item for item in model.datasets if not item.evaluates]


def _data_card(model: ModelFacts) -> Iterator[Sighting]:
    named = _training_sets(model)
    if named and all(item.resolves and item.has_card for item in named):
        yield Sighting("dataset-cards", f"each of {len(named)} data sets has a card", named[0].name)


def _paper(model: ModelFacts) -> Iterator[Sighting]:
    named = [*model.metadata.tags, *texts(dict(model.metadata.card_data), "paper")]
    for value in named:
        match = _ARXIV.match(value.strip())
        if match:
            yield Sighting(
                "arxiv-id", f"arXiv {match[1]}", f"https://arxiv.org/abs/{match[1]}", Ground.DECLARED
            )
    for match in _DOI.finditer("\n".join([model.card_body[:MAX_CARD_CHARS], *named])):
        link = f"https://doi.org/{match[1].rstrip('.);,')}"
        yield Sighting("doi", f"doi {match[1].rstrip('.);,')}", link, Ground.DECLARED)


def _report(model: ModelFacts) -> Iterator[Sighting]:
    found = _named(model, r"\.pdf\Z", MIN_DOCUMENT_BYTES)
    if found:
        yield Sighting("pdf-file", "a document is in the repo", found.path)
    yield from _paper(model)


def _results(model: ModelFacts) -> Iterator[Sighting]:
    if _has_metric(model.metadata.model_index):
        yield Sighting("model-index", "the card's model-index holds results", "README.md", Ground.DECLARED)
    found = _named(model, r"(?:\A|/)\.eval_results/[^/]+\.ya?ml\Z", 40)
    if found:
        yield Sighting("eval-results-file", "a results file is in the repo", found.path, Ground.DECLARED)


def _has_metric(index: list[Any] | None) -> bool:
    """Whether some entry has a result with a number, as the model-index format has it."""
    for entry in (index or [])[:100]:
        for result in _items(entry, "results"):
            for metric in _items(result, "metrics"):
                value = metric.get("value") if isinstance(metric, dict) else None
                if isinstance(value, int | float) and not isinstance(value, bool):
                    return True
    return False


def _items(holder: Any, field: str) -> list[Any]:
    value = holder.get(field) if isinstance(holder, dict) else None
    return value[:100] if isinstance(value, list) else []


def _samples(model: ModelFacts) -> Iterator[Sighting]:
    if any(
        isinstance(item, dict) and item.get("output") for item in _items(model.metadata.card_data, "widget")
    ):
        yield Sighting("widget-output", "the card's widget shows outputs", "README.md", Ground.DECLARED)
    found = _named(model, r"(?:\A|/)samples?(?:[-_][^/]*)?\.(?:jsonl?|txt|md|csv)\Z", MIN_CODE_BYTES)
    if found:
        yield Sighting("samples-file", "a file of samples is in the repo", found.path)


def _training_code(model: ModelFacts) -> Iterator[Sighting]:
    trains = {"pretrain", "sft", "dpo", "grpo", "merge", "quantize"}
    if model.recipe and model.recipe.resolves and trains & set(model.recipe.operations):
        yield Sighting("recipe", "the recipe's stages all resolve", "recipe.toml")
    yield from _code_file(
        model, r"(?:\A|/)(?:run_)?(?:train|finetune|fine_tune|pretrain)[^/]*\.(?:py|sh|jl|rs|cu?)\Z"
    )
    yield from _linked_code(model)


def _inference_code(model: ModelFacts) -> Iterator[Sighting]:
    yield from _code_file(model, r"(?:\A|/)(?:inference|generate|predict|handler|modeling_)[^/]*\.py\Z")
    library = model.metadata.library_name or ("gguf" if model.metadata.gguf else None)
    known = LIBRARIES.get(library or "")
    if known and any(word in snippet for snippet in _snippets(model) for word in known.words):
        text = f"the card shows how to run it with {known.name}"
        yield Sighting("library-snippet", text, "README.md", licenses=(known.license,))


def _snippets(model: ModelFacts) -> list[str]:
    _, found = cut_out(model.card_body[:MAX_CARD_CHARS], "```", "```")
    return [snippet for snippet in found if len(snippet.strip()) >= 40]


def _evaluation_code(model: ModelFacts) -> Iterator[Sighting]:
    if model.recipe and model.recipe.resolves and "eval" in model.recipe.operations:
        yield Sighting("recipe-eval", "the recipe evaluates", "recipe.toml")
    yield from _code_file(model, r"(?:\A|/)(?:run_)?eval(?:uate|uation)?(?:[-_][^/]*)?\.(?:py|sh)\Z")
    harness = _HARNESS.search(model.card_body[:MAX_CARD_CHARS])
    if harness:
        known = LIBRARIES.get(
            harness[1].lower().replace("_", "-").removesuffix("uation-harness").removesuffix("-")
        )
        text = f"the card names {harness[1]} {harness[2]}"
        licenses = (known.license,) if known else ()
        yield Sighting("harness-version", text, "README.md", Ground.DECLARED, licenses, outside=known is None)


def _evaluation_data(model: ModelFacts) -> Iterator[Sighting]:
    if model.recipe and model.recipe.resolves and model.recipe.evaluation_data_resolves:
        yield Sighting("recipe-eval-data", "the claim's evaluation set resolves", "recipe.toml")
    for item in model.datasets:
        if item.evaluates and item.resolves and not item.gated:
            yield Sighting(
                "evaluation-set",
                f"{item.name} is on this hub",
                item.name,
                licenses=(item.license or "unknown",),
            )


def _tools(model: ModelFacts) -> Iterator[Sighting]:
    yield from _code_file(
        model,
        r"(?:\A|/)(?:requirements[^/]*\.lock|uv\.lock|poetry\.lock|pdm\.lock|conda-lock\.ya?ml|Pipfile\.lock)\Z",
    )


def _datasets(model: ModelFacts) -> Iterator[Sighting]:
    named = _training_sets(model)
    if not named:
        return
    absent = [item.name for item in named if not item.resolves]
    gated = [item.name for item in named if item.gated]
    if absent:
        text = f"{len(absent)} of {len(named)} data sets are not on this hub: {', '.join(absent[:3])}"
        yield Sighting("datasets-elsewhere", text, absent[0], Ground.DECLARED, outside=True)
    elif gated:
        yield Sighting("datasets-gated", f"{gated[0]} is given on request only", gated[0], closed=True)
    else:
        licences = sorted({item.license or "unknown" for item in named})
        text = f"all {len(named)} data sets are on this hub"
        yield Sighting("datasets-resolve", text, named[0].name, licenses=tuple(licences))


def _preprocessing(model: ModelFacts) -> Iterator[Sighting]:
    if model.recipe and model.recipe.resolves and model.recipe.has_generator:
        yield Sighting("recipe-generator", "the recipe makes its own data", "recipe.toml")
    yield from _code_file(
        model, r"(?:\A|/)(?:preprocess|prepare|process|tokenize|filter|dedup)[^/]*\.(?:py|sh)\Z"
    )
    for item in _training_sets(model):
        if item.resolves and item.has_code:
            yield Sighting(
                "dataset-script", f"{item.name} holds code", item.name, licenses=(item.license or "unknown",)
            )


def _checkpoints(model: ModelFacts) -> Iterator[Sighting]:
    found = next(
        (f for f in model.files if _CHECKPOINT.search(f.path) and _WEIGHTS.search(f.path) and f.size_bytes),
        None,
    )
    if found:
        yield Sighting("checkpoint-files", "checkpoints are in the repo", found.path)
    refs = [ref for ref in model.refs if _CHECKPOINT_REF.search(ref)]
    if refs:
        yield Sighting("checkpoint-refs", f"{len(refs)} branches or tags hold checkpoints", refs[0])


def _model_metadata(model: ModelFacts) -> Iterator[Sighting]:
    found = _named(
        model, r"(?:\A|/)(?:trainer_state\.json|optimizer\.(?:pt|bin|safetensors)|run_record\.json)\Z", 100
    )
    if found:
        yield Sighting("training-state", "training state is in the repo", found.path)


def _linked_code(model: ModelFacts) -> Iterator[Sighting]:
    match = _REPO_AT_COMMIT.search(model.card_body[:MAX_CARD_CHARS])
    if match:
        text = "the card links a repository at a commit; its licence is not visible from here"
        yield Sighting("linked-repository", text, match[0], Ground.DECLARED, outside=True)


def _code_file(model: ModelFacts, pattern: str) -> Iterator[Sighting]:
    found = _named(model, pattern, MIN_CODE_BYTES)
    if found:
        yield Sighting("code-file", f"{found.path.rsplit('/', 1)[-1]} is in the repo", found.path)


def _named(model: ModelFacts, pattern: str, least_bytes: int) -> File | None:
    """The first file, by depth and name, that a pattern fits and that is not next to empty."""
    fits = re.compile(pattern, re.IGNORECASE)
    found = [file for file in model.files if file.size_bytes >= least_bytes and fits.search(file.path)]
    return min(found, key=lambda file: (file.path.count("/"), file.path), default=None)


LOOKS: dict[int, Look] = {
    1: _architecture, 2: _parameters, 3: _model_card, 4: _data_card, 5: _report, 6: _results, 7: _samples,
    8: _training_code, 9: _inference_code, 10: _evaluation_code, 11: _evaluation_data, 12: _tools, 13: _datasets,
    14: _preprocessing, 15: _checkpoints, 16: _model_metadata, 17: _paper,
}  # fmt: skip
