"""One stage replicated: every seed's stages, the comparison with the original, the claims measured, the judgement."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.launch import Launcher, StageDied, StageFailed, StageStopped
from seedstock.adapt.methods import GIVES_DATA
from seedstock.adapt.stage import Event
from seedstock.core.errors import HubError, Invalid
from seedstock.jobs.kinds import JobContext
from seedstock.recipes.comparison import Comparison, compare_outputs
from seedstock.recipes.outputs import describe_output, describes, list_files
from seedstock.recipes.reading import recipe_digest
from seedstock.recipes.recipe import Recipe
from seedstock.recipes.record import InputFact, MetricFact, RunRecord
from seedstock.recipes.references import holds
from seedstock.recipes.trust import Runner
from seedstock.recipes.verdict import Evidence, Failure, Judgement, Measured, StageFacts, judge
from seedstock.replications.measuring import Evaluator, evaluated, metric_fact
from seedstock.replications.request import Request, seeded, shortened
from seedstock.replications.sources import Found
from seedstock.variants.execution import Execution, StageRun
from seedstock.variants.records import environment_of, stage_facts
from seedstock.variants.result import published_form

FetchOriginal = Callable[[Path, list[str]], None]
"""Put the original into a folder: its model, and of its other files those of these names."""


class Workplace(msgspec.Struct, frozen=True):
    """Where stages run, and what they may take."""

    launcher: Launcher
    memory_bytes: int | None


class ReplicationRun:
    """The work of one job about one stage. Those of a job share the folders that stages run in."""

    def __init__(
        self,
        workplace: Workplace,
        context: JobContext,
        recipe: Recipe,
        stage: str,
        request: Request,
        found: Found,
    ) -> None:
        self._workplace = workplace
        self._context = context
        self._stage = stage
        self._request = request
        self._found = found
        self._folder = context.state_dir / "judged" / stage
        first = recipe.determinism.seed if request.seed is None else request.seed
        whole = shortened(recipe) if request.smoke else recipe
        self._recipe = recipe
        self._recipes = [seeded(whole, first + number, request.threads) for number in range(request.seeds)]
        self._runs: list[list[StageRun]] = []
        self._items: list[MetricFact] = []
        self._known_weights: dict[Path, str | None] = {}
        self._started_ms = time.time_ns() // 1_000_000

    def run(self, fetch_original: FetchOriginal, owner: str) -> RunRecord | None:
        """Run to the end and judge; None when it was told to stop."""
        try:
            evidence = self._evidence(fetch_original)
        except StageStopped:
            return None
        return self._record(judge(evidence), owner)

    def _evidence(self, fetch_original: FetchOriginal) -> Evidence:
        if self._found.changes:
            return Evidence(input_changes=self._found.changes)
        try:
            for number, recipe in enumerate(self._recipes):
                self._runs.append(self._execute(recipe, number))
                self._check_budget(self._runs[-1])
            return self._compared(fetch_original)
        except StageDied:
            raise  # the queue tries again, from the last checkpoint
        except (StageFailed, Invalid) as error:
            return Evidence(failure=_failure_of(error), detail=error.message)

    def _execute(self, recipe: Recipe, number: int) -> list[StageRun]:
        places, of_all = self._found.places, len(self._recipes)
        execution = Execution(
            recipe,
            self._context.state_dir / f"seed-{number}",
            self._context,
            self._workplace.launcher,
            lambda name, target: places[name](target),
            self._memory_bytes,
            f"{number + 1} of {of_all}, seed {recipe.determinism.seed}" if of_all > 1 else "",
        )
        return execution.run()

    @property
    def _published(self) -> Path:
        """The replica as it would be published."""
        return self._folder / "published"

    @property
    def _memory_bytes(self) -> int:
        allowed = self._recipe.budget.memory_mb << 20
        return min(allowed, self._workplace.memory_bytes or allowed)

    def _check_budget(self, runs: Sequence[StageRun]) -> None:
        spent = sum(float(run.result.get("process_cpu_seconds", 0)) for run in runs)
        if spent > self._recipe.budget.cpu_s:
            raise BudgetExceeded(
                f"It took {spent:,.0f} CPU seconds; the recipe allows {self._recipe.budget.cpu_s:,}"
            )

    def _compared(self, fetch_original: FetchOriginal) -> Evidence:
        self._context.progress(1.0, "comparing with the original")
        original = self._folder / "original"
        replica = self._published
        replica.parent.mkdir(parents=True, exist_ok=True)
        published_form(self._recipe, self._stage, self._output(0), replica)
        fetch_original(original, list_files(replica))
        comparison = self._weights_side_by_side(original, replica)
        measured: tuple[Measured, ...] = ()
        if not comparison.bit_exact and not self._request.smoke:
            measured = tuple(self._measure(number, original) for number in range(len(self._recipe.claim)))
        may_learn = comparison.bit_exact or not self._request.smoke  # which is too short to learn in
        return Evidence(
            comparison=comparison,
            same_seed=self._recipes[0].determinism.seed == self._recipe.determinism.seed,
            stages=tuple(self._learning(run) for run in self._runs[0]) if may_learn else (),
            measured=measured,
        )

    def _weights_side_by_side(self, original: Path, replica: Path) -> Comparison:
        """Equal, or how far apart against how far training went, where the base is at hand and of the same shape."""
        base = self._context.state_dir / "seed-0" / self._stage / "inputs" / "base"
        plain = self._folder / "compared"
        found = [
            _plain(folder, plain / name) for name, folder in (("o", original), ("r", replica), ("b", base))
        ]
        if found[2] is None:
            assert found[0] is not None
            assert found[1] is not None
            return compare_outputs(found[0], found[1])
        return compare_outputs(found[0] or original, found[1] or replica, found[2])

    def _measure(self, number: int, original: Path) -> Measured:
        claim = self._recipe.claim[number]
        evaluator = Evaluator(
            self._workplace.launcher, self._say, self._context.cancelled, self._memory_bytes
        )
        folder = self._folder / f"claim-{number}"
        data = folder / "data"
        if not data.exists():
            self._found.places[claim.eval.data](data)
        recipe = self._recipes[0]
        ours = [
            evaluator.scores(recipe, claim, self._output(seed), data, folder / f"replica-{seed}")
            for seed in range(len(self._runs))
        ]
        theirs = [evaluator.scores(recipe, claim, original, data, folder / "original")]
        for model, scores in (("original", theirs), ("replica", ours)):
            self._items.append(metric_fact(claim.stage, claim.metric, model, scores))
        return Measured(claim=claim, original=theirs, replica=ours)

    def _output(self, seed: int) -> Path:
        return next(run.output for run in self._runs[seed] if run.name == self._stage)

    def _learning(self, run: StageRun) -> StageFacts:
        """What shows that a stage learned nothing: its own word, or weights that it gave back."""
        if run.result.get("no_learning"):
            return StageFacts(stage=run.name, reward_groups=1, groups_without_variance=1)
        if run.stage.op in GIVES_DATA:
            return StageFacts(stage=run.name)
        made = describe_output(run.output).weights
        given = {self._weights(folder) for folder in self._models_before(run.name)}
        return StageFacts(stage=run.name, input_weights=made if made in given else None, output_weights=made)

    def _models_before(self, stage: str) -> list[Path]:
        """What a stage was given, and for the one that is judged whatever the recipe starts from: it may come by detours."""
        stages, ran = self._recipe.stage, self._context.state_dir / "seed-0"
        placed = {
            source: ran / name / "inputs" / role
            for name, one in stages.items()
            for role, source in one.inputs.items()
            if holds(self._recipe, source) != "dataset"
        }
        wanted = {*stages[stage].inputs.values(), *(self._recipe.inputs if stage == self._stage else ())}
        return [placed[source] for source in placed if source in wanted]

    def _weights(self, folder: Path) -> str | None:
        """Digest of the weights of a placed model."""
        resolved = folder.resolve()
        if resolved not in self._known_weights:
            plain = _plain(folder, self._folder / "compared" / f"{folder.parts[-3]}-{folder.name}")
            self._known_weights[resolved] = describe_output(plain).weights if plain else None
        return self._known_weights[resolved]

    def _say(self, event: Event) -> None:
        if event.log is not None:
            self._context.log(event.log)

    def _record(self, judgement: Judgement, owner: str) -> RunRecord:
        runs = self._runs[0] if self._runs else []
        said = "".join(run.said_sha256 for seed in self._runs for run in seed)
        return RunRecord(
            id=f"job-{self._context.job_id}",
            recipe=self._recipe.name,
            recipe_digest=recipe_digest(self._recipe),
            started_ms=self._started_ms,
            ended_ms=time.time_ns() // 1_000_000,
            inputs=_inputs(self._recipe, self._found.commits),
            stages=stage_facts(
                self._recipes[0], runs, {self._stage: self._published} if self._published.exists() else {}
            ),
            environment=environment_of(runs),
            runner=Runner(id="worker", kind="hub-worker", owner=f"hub:{owner}"),
            log_sha256=hashlib.sha256(said.encode()).hexdigest(),
            metrics=[*evaluated(self._runs), *self._items],
            judgement=judgement,
            foreign_code=bool(self._recipe.foreign_code),
            smoke=self._request.smoke,
        )


class BudgetExceeded(Invalid):
    """The run took more than its recipe allows."""


def _failure_of(error: HubError) -> Failure:
    if isinstance(error, BudgetExceeded):
        return Failure.BUDGET
    return Failure.INPUTS_CHANGED if error.message.startswith("inputs-changed") else Failure.CRASHED


def _plain(folder: Path, target: Path) -> Path | None:
    """What a folder holds as files of its own, less what only describes it: what is compared holds no links."""
    if not folder.exists():
        return None
    target.mkdir(parents=True, exist_ok=True)
    inside = folder.resolve()
    for path in inside.rglob("*"):
        name = path.relative_to(inside).as_posix()
        if not path.is_file() or describes(name, "model") or (target / name).exists():
            continue
        (target / name).parent.mkdir(parents=True, exist_ok=True)
        source = path.resolve()
        try:
            (target / name).hardlink_to(source)
        except OSError:
            (target / name).write_bytes(source.read_bytes())
    return target


def _inputs(recipe: Recipe, commits: Mapping[str, str]) -> list[InputFact]:
    """The inputs as they were fetched: another hub has the pinned content at a commit of its own."""
    found = []
    for name, item in recipe.inputs.items():
        plain: dict[str, Any] = msgspec.to_builtins(item)
        found.append(
            InputFact(
                name=name,
                kind=plain["kind"],
                uri=plain.get("ref") or plain.get("file", ""),
                digest=plain["digest"],
                revision=commits.get(name, plain.get("revision")),
            )
        )
    return found
