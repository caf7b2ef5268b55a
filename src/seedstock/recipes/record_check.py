"""A run record in words, and against the outputs on disk."""

from __future__ import annotations

from pathlib import Path

import msgspec

from seedstock.adapt.methods import GIVES_DATA
from seedstock.core.errors import NotFound
from seedstock.recipes.outputs import describes, file_sha256, list_files
from seedstock.recipes.parts import MAKES_A_FILE
from seedstock.recipes.record import RunRecord, StageFact
from seedstock.recipes.statistics import wilson

MAX_NAMED = 20


class OutputCheck(msgspec.Struct, frozen=True):
    """A folder against what a stage is recorded to have made; `problems` is empty where all is as recorded."""

    stage: str
    problems: tuple[str, ...]
    files: int


def find_stage(record: RunRecord, stage: str | None) -> StageFact:
    """A stage of the record by name; None: the last one that makes a model, if one does. Raises NotFound."""
    if not record.stages:
        raise NotFound("The record has no outputs: the run ended before a stage was done")
    if stage is None:
        return ([fact for fact in record.stages if fact.op not in GIVES_DATA] or record.stages)[-1]
    for fact in record.stages:
        if fact.stage == stage:
            return fact
    names = ", ".join(fact.stage for fact in record.stages)
    raise NotFound(f"The record has no stage {stage[:60]!r}", hint=f"it has {names}")


def check_output(record: RunRecord, folder: Path, stage: str | None = None) -> OutputCheck:
    """Compare a folder with a stage's output, every file by its SHA-256.

    What publication adds (card, licence, recipe) may be there beside it; beside a single GGUF, anything.
    """
    fact = find_stage(record, stage)
    found = {path: file_sha256(folder / path) for path in list_files(folder)}
    problems = _problems(fact, found)
    return OutputCheck(fact.stage, tuple(problems), len(fact.output.files))


def _problems(fact: StageFact, found: dict[str, str]) -> list[str]:
    recorded, kind = fact.output, "dataset" if fact.op in GIVES_DATA else "model"
    lost = [f"{path} is missing" for path in sorted(recorded.files.keys() - found.keys())]
    changed = [
        f"{path} is {found[path][:12]}, was {sha256[:12]}"
        for path, sha256 in sorted(recorded.files.items())
        if path in found and found[path] != sha256
    ]
    if fact.op in MAKES_A_FILE:
        return [*lost, *changed]  # its repo may hold more files, each with a record of its own
    extra = sorted(path for path in found.keys() - recorded.files.keys() if not describes(path, kind))
    return [*lost, *changed, *(f"{path} is not among what was made" for path in extra)]


def explain(record: RunRecord) -> list[str]:
    """Lines for people: label, a gap, what is recorded."""
    lines = [f"recipe:  {record.recipe} {record.recipe_digest}"]
    lines += [
        f"input:   {item.name}: {item.kind} {item.uri}"
        + (f" at {item.revision[:12]}" if item.revision else "")
        for item in record.inputs
    ]
    for stage in record.stages:
        weights = f", {len(stage.output.tensors)} tensors" if stage.output.tensors else ""
        how = "reused" if stage.reused else f"{stage.cpu_s:.0f} CPU s"
        files = len(stage.output.files)
        lines.append(
            f"stage:   {stage.stage} ({stage.op}): {how}, {files} files{weights}, {stage.output.tree[:19]}"
        )
    lines += [
        f"metric:  {item.metric} of {item.stage}, {item.model}: {item.value:.4f}"
        f" ({ends.low:.4f} to {ends.high:.4f}) over {item.n} items"
        for item in record.metrics
        for ends in [wilson(item.value, item.n)]
    ]
    lines.append(
        f"ran on:  platform class {record.platform_class[7:19]}, threads {record.environment.get('threads', '?')}"
    )
    code = "; code of the recipe's author ran in it" if record.foreign_code else ""
    lines.append(f"ran by:  {record.runner.id} ({record.trust.label}{code})")
    judgement = record.judgement
    if judgement is not None:
        lines.append(f"verdict: {judgement.verdict.value}: {judgement.reason}")
        also = [verdict.value for verdict in judgement.applies if verdict is not judgement.verdict]
        lines += [f"also:    {', '.join(also)}"] if also else []
    return lines
