"""How the stages of a job stand, from what it said; and from a recipe or a record where nothing runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import msgspec

from seedstock.db.job_events import EventRow
from seedstock.recipes.record import StageFact
from seedstock.web.filters import duration
from seedstock.web.measured import PLOTS, Series, plots_of, series_of
from seedstock.web.stage_graph import Box, spark, tall_drawing, wide_drawing
from seedstock.web.views.common import Fact
from seedstock.web.views.stages import StageState, StagesView, StageView

_MAIN_CURVES = ("reward", "loss", "eval_reward", "eval_loss", "score")
"""What is drawn in a stage's box: the first of these that it measured."""
_SPARK_POINTS = 60
SPARK_WIDTH, SPARK_HEIGHT = 156, 28


class Planned(msgspec.Struct, frozen=True):
    """A stage of a graph before it runs."""

    name: str
    op: str
    inputs: dict[str, str]
    settings: tuple[Fact, ...] = ()


class _Word(msgspec.Struct):
    """What was last said of a stage."""

    state: StageState = StageState.WAITING
    seconds: float | None = None
    first: int | None = None
    """Entry with which it first began."""
    last: int | None = None
    """Entry with which it ended."""


class Standing(msgspec.Struct):
    """The stages of the newest run of a job."""

    run: str = ""
    stages: list[Planned] = []
    words: dict[str, _Word] = {}


def standing_of(events: Sequence[EventRow]) -> Standing | None:
    """What stage events say; None where they say no graph. A further attempt says the graph anew, a further run too."""
    found: Standing | None = None
    firsts: dict[tuple[str, str], int] = {}
    for row in events:
        data: dict[str, Any] = row.data or {}
        run = str(data.get("run", ""))
        if "graph" in data:
            if found is None or not data.get("first"):
                found = Standing(run=run)
            for name, op, inputs in data["graph"]:
                found.stages.append(Planned(name, op, dict(inputs)))
                found.words[name] = _Word(first=firsts.get((run, name)))
        elif found is not None and (word := found.words.get(str(data.get("name")))) is not None:
            _hear(word, row.id, data)
            if word.first is not None:
                firsts[run, str(data["name"])] = word.first
    return found


def _hear(word: _Word, entry: int, data: Mapping[str, Any]) -> None:
    try:
        word.state = StageState(data.get("state", "running"))
    except ValueError:
        return
    word.seconds = data.get("seconds")
    if word.state is StageState.RUNNING:
        word.first = entry if word.first is None else word.first
        word.last = None
    else:
        word.last = entry


def job_stages(
    job: int,
    events: Sequence[EventRow],
    metrics: Sequence[EventRow],
    *,
    newest: int,
    ended_as: StageState | None,
    settings: Mapping[str, tuple[Fact, ...]] | None = None,
) -> StagesView | None:
    """The stages of a job; `ended_as` is what a stage has become that ran when the job ended. None: it has none."""
    standing = standing_of(events)
    if standing is None:
        return None
    measured = _by_stage(metrics, standing.run)
    views = []
    for stage in standing.stages:
        word = standing.words[stage.name]
        if word.state is StageState.RUNNING and ended_as is not None:
            word.state = ended_as
        until = f"&until={word.last}" if word.last is not None else ""
        views.append(
            _stage_view(
                stage,
                word.state,
                duration(word.seconds) if word.seconds is not None else "",
                measured.get(stage.name, {}),
                (settings or {}).get(stage.name, ()),
                f"/api/jobs/{job}/log?format=text&limit=10000&after={word.first}{until}"
                if word.first is not None
                else None,
            )
        )
    return _whole(views, standing.stages, measured, job=job, newest=newest, run=standing.run)


def planned_stages(stages: Sequence[Planned]) -> StagesView:
    """The stages of a recipe that does not run."""
    views = [_stage_view(stage, StageState.PLANNED, "", {}, stage.settings, None) for stage in stages]
    return _whole(views, stages, {})


def ran_stages(stages: Sequence[StageFact]) -> tuple[StageView, ...]:
    """The stages of a record: how long each took, and its curve in small."""
    views = []
    for fact in stages:
        series = series_of(
            [EventRow(0, 0, "", "", point | {"step": int(point["step"])}) for point in fact.curve]
        )
        state = StageState.REUSED if fact.reused else StageState.DONE
        took = duration((fact.ended_ms - fact.started_ms) / 1000)
        small = spark(main_curve(series), SPARK_WIDTH, SPARK_HEIGHT)
        views.append(StageView(fact.stage, fact.op, (), state=state, took=took, spark=small))
    return tuple(views)


def _whole(
    views: Sequence[StageView],
    stages: Sequence[Planned],
    measured: Mapping[str, Series],
    *,
    job: int | None = None,
    newest: int = 0,
    run: str = "",
) -> StagesView:
    states = {view.name: view.state for view in views}
    boxes = _boxes(stages, states, measured)
    return StagesView(
        wide_drawing(boxes),
        tall_drawing(boxes),
        tuple(views),
        _in_words(stages),
        job,
        newest,
        run,
        msgspec.json.encode(PLOTS).decode(),
    )


def _boxes(
    stages: Sequence[Planned], states: Mapping[str, StageState], measured: Mapping[str, Series]
) -> list[Box]:
    """Each input just before the first stage that takes it."""
    boxes: dict[str, Box] = {}
    for stage in stages:
        for role, source in stage.inputs.items():
            if source not in states and source not in boxes:
                boxes[source] = Box(source, role)
        boxes[stage.name] = Box(
            stage.name,
            stage.op,
            tuple(stage.inputs.values()),
            states[stage.name],
            main_curve(measured.get(stage.name, {})),
        )
    return list(boxes.values())


def main_curve(series: Series) -> tuple[float, ...]:
    """The values of what tells best how a stage goes, thinned to what a box can show."""
    for name in _MAIN_CURVES:
        values = [value for _, value in series.get(name, []) if value is not None]
        if len(values) > 1:
            every = -(-len(values) // _SPARK_POINTS)
            return tuple(values[::-1][::every][::-1])
    return ()


def _stage_view(
    stage: Planned,
    state: StageState,
    took: str,
    series: Series,
    settings: tuple[Fact, ...],
    log_href: str | None,
) -> StageView:
    return StageView(
        stage.name,
        stage.op,
        tuple(f"{role}: {source}" for role, source in stage.inputs.items()),
        settings,
        state,
        took,
        plots_of(series),
        msgspec.json.encode(list(series.items())).decode(),
        log_href=log_href,
        open=state in {StageState.RUNNING, StageState.FAILED},
    )


def _by_stage(metrics: Sequence[EventRow], run: str) -> dict[str, Series]:
    rows: dict[str, list[EventRow]] = {}
    for row in metrics:
        data = row.data or {}
        if "stage" in data and str(data.get("run", "")) == run:
            rows.setdefault(str(data["stage"]), []).append(row)
    return {name: series_of(found) for name, found in rows.items()}


def _in_words(stages: Sequence[Planned]) -> str:
    parts = [
        f"{stage.name} ({stage.op}) from {', '.join(dict.fromkeys(stage.inputs.values())) or 'nothing'}"
        for stage in stages
    ]
    return f"{len(stages)} stage{'' if len(stages) == 1 else 's'}: {'; '.join(parts)}."
