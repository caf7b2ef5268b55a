"""A recipe run from a folder on this machine, without a hub: all its stages, for several seeds, and its claims measured.

What `seedstock replicate` does with a hosted model's recipe, for the author of one: stages that have run are not run
again, seeds run side by side.
"""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from seedstock.adapt.launch import LocalLauncher
from seedstock.adapt.script_stage import SCRIPT_FILE
from seedstock.core.errors import Invalid
from seedstock.recipes.operations import script_of
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.parts import part_for
from seedstock.recipes.reading import read_recipe
from seedstock.recipes.recipe import Claim, FileInput, GeneratorInput, Recipe
from seedstock.replications.generators import generate
from seedstock.replications.measuring import Evaluator
from seedstock.replications.request import seeded, shortened
from seedstock.variants.execution import Execution, StageRun

_SMOKE_ROWS = 16
Scores = NDArray[np.float64]
Tell = Callable[[str], None]


class LocalRuns(msgspec.Struct, frozen=True):
    """The runs of a recipe, seed by seed, and each claim's scores as seeds x items."""

    recipe: Recipe
    runs: tuple[list[StageRun], ...]
    scores: dict[str, Scores]
    """By the claim's stage."""


class LocalContext:
    """What a job would be given."""

    job_id = 0

    def __init__(self, state_dir: Path, name: str, tell: Tell) -> None:
        self.state_dir = state_dir
        self._name = name
        self._tell = tell

    def log(self, text: str) -> None:
        """Kept with the stage's events."""

    def progress(self, fraction: float, message: str = "") -> None:
        """Not shown."""

    def event(self, kind: str, data: dict[str, Any]) -> None:
        """Stages are told as they begin."""
        if kind == "stage" and data.get("state") == "running":
            self._tell(f"{self._name}: stage {data['number']} of {data['of']}, {data['name']} ({data['op']})")

    def cancelled(self) -> bool:
        """Never."""
        return False


def run_local(
    file: Path,
    folder: Path,
    seeds: Sequence[int],
    *,
    at_once: int,
    tell: Tell,
    stage: str | None = None,
    threads: int | None = None,
    smoke: bool = False,
) -> LocalRuns:
    """Run a recipe file, or what `stage` needs of it, into a folder. Raises Invalid where an input is not as pinned.

    `smoke` shows that every stage runs, on the first rows of each input: nothing is measured, and what a whole run left
    stays as it is.
    """
    recipe = read_recipe(file.read_bytes(), str(file))
    recipe = recipe if stage is None else part_for(recipe, [stage])
    inputs = _inputs(recipe, file.parent, folder)
    if smoke:
        recipe = msgspec.structs.replace(shortened(recipe), claim=[])
        inputs = {name: _first_rows(path, folder / "smoke-inputs" / name) for name, path in inputs.items()}

    def place(name: str, target: Path) -> None:
        if target.is_symlink():
            target.unlink()
        target.symlink_to(inputs[name].absolute())

    def one(seed: int) -> tuple[list[StageRun], dict[str, list[float]]]:
        own = seeded(recipe, seed, threads)
        label = f"{'smoke' if smoke else 'seed'} {seed}"
        context = LocalContext(folder / label.replace(" ", "-"), label, tell)
        memory = recipe.budget.memory_mb << 20
        execution = Execution(own, context.state_dir, context, LocalLauncher(), place, memory)
        runs = execution.run()
        return runs, _scores(own, seed, context, {run.name: run.output for run in runs}, inputs)

    with ThreadPoolExecutor(at_once) as pool:
        found = list(pool.map(one, seeds))
    stages = [claim.stage for claim in recipe.claim]
    return LocalRuns(
        recipe,
        tuple(runs for runs, _ in found),
        {stage: np.array([scores[stage] for _, scores in found]) for stage in stages},
    )


def _scores(
    recipe: Recipe, seed: int, context: LocalContext, outputs: dict[str, Path], inputs: dict[str, Path]
) -> dict[str, list[float]]:
    """What each claimed stage's output scores, item by item."""
    memory = recipe.budget.memory_mb << 20
    evaluator = Evaluator(LocalLauncher(), lambda _event: None, lambda: False, memory)
    return {
        claim.stage: evaluator.scores(
            recipe,
            _of_seed(claim, seed),
            outputs[claim.stage],
            inputs[claim.eval.data],
            _place_of(context, claim),
        )
        for claim in recipe.claim
    }


def _of_seed(claim: Claim, seed: int) -> Claim:
    """Each model is asked with random numbers of its own, so that seeds are independent."""
    return msgspec.structs.replace(
        claim, eval=msgspec.structs.replace(claim.eval, seed=claim.eval.seed + seed)
    )


def _place_of(context: LocalContext, claim: Claim) -> Path:
    return context.state_dir / f"measured-{claim.stage}-{claim.eval.data}"


def _inputs(recipe: Recipe, beside: Path, folder: Path) -> dict[str, Path]:
    """Where the recipe's inputs are, and the files of its `script` stages."""
    found = {name: _input(beside, folder / "inputs" / name, item) for name, item in recipe.inputs.items()}
    for name, stage in recipe.stage.items():
        if stage.op == "script":
            found[script_of(name)] = _script(beside, folder / "scripts" / name, stage.args)
    return found


def _input(beside: Path, target: Path, item: object) -> Path:
    """A file or generated input of the recipe, checked against its pin."""
    if isinstance(item, FileInput):
        shutil.rmtree(target, ignore_errors=True)
        source = beside / item.file
        if source.is_dir():
            shutil.copytree(source, target)
        else:
            target.mkdir(parents=True)
            shutil.copy2(source, target)
        _check(describe_output(target, item.holds).tree, item.digest, item.file)
    elif isinstance(item, GeneratorInput):
        program = (beside / item.file).read_bytes()
        _check(hashlib.sha256(program).hexdigest(), item.sha256, item.file)
        if not target.exists() or describe_output(target, "dataset").tree != item.digest:
            generate(program, item, target)
    else:
        raise Invalid("A recipe that is run from a folder has all its inputs beside it or generates them")
    return target


def _first_rows(source: Path, target: Path) -> Path:
    """A copy of a generated dataset, or another of JSON lines alone, with a few rows; anything else itself."""
    files = list(source.iterdir())
    if any(path.suffix != ".jsonl" for path in files):
        return source
    target.mkdir(parents=True, exist_ok=True)
    for path in files:
        with path.open("rb") as rows:
            (target / path.name).write_bytes(b"".join(islice(rows, _SMOKE_ROWS)))
    return target


def _script(beside: Path, target: Path, args: dict[str, Any]) -> Path:
    """The file of a `script` stage, checked against its pin."""
    program = (beside / args["file"]).read_bytes()
    _check(hashlib.sha256(program).hexdigest(), args["sha256"], args["file"])
    target.mkdir(parents=True, exist_ok=True)
    (target / SCRIPT_FILE).write_bytes(program)
    return target


def _check(seen: str, pinned: str, what: str) -> None:
    if seen != pinned:
        raise Invalid(f"inputs-changed: {what} was {pinned[:19]}, is {seen[:19]}")
