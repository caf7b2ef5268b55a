"""What repeats and what proves a conversion by the hub: its stage in the repo's recipe, and a signed record of its own.

A repo may get several GGUFs one after the other. Its `recipe.toml` has one stage a file and grows by one at each; each
file has its record beside it, written once. The recipe digest in a record is that of the part that makes its file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection
from typing import Any, get_args

import msgspec

from seedstock.adapt.methods import METHODS, Floats
from seedstock.convert.card import RECORD_SUFFIX
from seedstock.core.errors import Invalid
from seedstock.hub.converting import Converted, Read
from seedstock.openness.hub_records import HubRecords
from seedstock.recipes.graph import stage_digests
from seedstock.recipes.outputs import OutputDigest, content_digest, describe_file
from seedstock.recipes.parts import file_of, part_for
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.recipe import Input, ModelInput, Recipe, RecipeStage
from seedstock.recipes.record import InputFact, RunRecord, StageFact, sign_run
from seedstock.recipes.trust import Runner
from seedstock.recipes.writing import render_recipe
from seedstock.variants.recipe import allow, bare_recipe, name_of
from seedstock.variants.result import RECIPE_FILE

_ROLE = "base"


class ConversionRecords:
    """`hub.converting.Provenance`, over recipes and the hub's key."""

    def __init__(self, signing: HubRecords) -> None:
        self._signing = signing

    def check(self, read: Read) -> None:
        """See Provenance."""
        _held(read)

    def of(self, made: Converted) -> Callable[[Read], dict[str, bytes]]:
        """See Provenance. Reads the file once."""
        output = describe_file(made.path, made.file, made.sha256)

        def write(read: Read) -> dict[str, bytes]:
            recipe, stage = _grown(_held(read), made)
            record = self._record(made, recipe, stage, output)
            return {
                RECIPE_FILE: render_recipe(recipe).encode(),
                f"{made.path}{RECORD_SUFFIX}": sign_run(record, self._signing.key),
            }

        return write

    def _record(self, made: Converted, recipe: Recipe, stage: str, output: OutputDigest) -> RunRecord:
        part, ran = part_for(recipe, [stage]), made.ran
        source = part.stage[stage].inputs[_ROLE]
        item = part.inputs[source]
        assert isinstance(item, ModelInput)
        return RunRecord(
            id=f"job-{made.job_id}",
            recipe=part.name,
            recipe_digest=recipe_digest(part),
            started_ms=ran.started_ms,
            ended_ms=ran.ended_ms,
            inputs=[
                InputFact(name=source, kind="model", uri=item.ref, digest=item.digest, revision=item.revision)
            ],
            stages=[
                StageFact(
                    stage=stage,
                    op=part.stage[stage].op,
                    identity=stage_digests(part)[stage],
                    started_ms=ran.started_ms,
                    ended_ms=ran.ended_ms,
                    cpu_s=ran.cpu_s,
                    output=output,
                    metrics={"bytes": float(made.size_bytes), "tensors": float(made.tensors)},
                )
            ],
            environment=ran.environment,
            runner=Runner(id="worker", kind="hub-worker", owner=f"hub:{self._signing.key.public.id}"),
            log_sha256=hashlib.sha256("\n".join(made.notes).encode()).hexdigest(),
        )


def _held(read: Read) -> Recipe | None:
    """The recipe of the repo to publish in. Raises Invalid for one that cannot be read, and so cannot grow."""
    raw = read(RECIPE_FILE)
    if raw is None:
        return None
    try:
        return read_recipe(raw, RECIPE_FILE, complete=False)
    except Invalid as error:
        raise Invalid(
            f"The repository to publish in has a wrong recipe: {error.message}",
            hint=f"correct or delete its {RECIPE_FILE}, or publish in another repository",
        ) from None


def _grown(held: Recipe | None, made: Converted) -> tuple[Recipe, str]:
    """The recipe with the stage that makes the file, which takes the place of one that made a file of that name."""
    recipe = bare_recipe(made.target) if held is None else held
    stages = dict(recipe.stage)
    old = next((name for name, stage in stages.items() if file_of(stage) == made.path), None)
    taken = {*stages, *recipe.inputs}
    name = old or _free(name_of(made.path.removesuffix(".gguf")), taken)
    inputs, source = _with_input(recipe.inputs, made, {*taken, name})
    op = "convert" if made.to in get_args(Floats) else "quantize"
    origin = f"{made.origin.repo}@{made.origin.commit}"
    args = {"to": made.to, "name": made.name, "file": made.wanted, "source": origin}
    whole: dict[str, Any] = msgspec.to_builtins(msgspec.convert(args, METHODS[op]))
    stages[name] = RecipeStage(op=op, inputs={_ROLE: source}, args=whole)
    used = {source for stage in stages.values() for source in stage.inputs.values()}
    if old is not None:
        gone = set(recipe.stage[old].inputs.values()) - used - {claim.eval.data for claim in recipe.claim}
        inputs = {key: item for key, item in inputs.items() if key not in gone}
    budget = allow(recipe.budget, made.ran.cpu_s, 0.0)
    return msgspec.structs.replace(recipe, budget=budget, inputs=inputs, stage=stages), name


def _with_input(
    inputs: dict[str, Input], made: Converted, taken: Collection[str]
) -> tuple[dict[str, Input], str]:
    """The inputs with the files that were read among them, and what those are called."""
    files = dict(made.origin.files)
    item = ModelInput(
        ref=made.origin.repo,
        revision=made.origin.commit,
        digest=content_digest(files, "model"),
        files=sorted(files),
    )
    held = next((name for name, other in inputs.items() if other == item), None)
    name = held or _free(name_of(made.origin.repo), taken)
    return {**inputs, name: item}, name


def _free(wanted: str, taken: Collection[str]) -> str:
    """The name, or with a number behind it."""
    name, number = wanted, 2
    while name in taken:
        name = f"{wanted[:58]}-{number}"
        number += 1
    return name
