"""Graphs of stages: where boxes stand, where lines run, and how stages stand by what a job said."""

from __future__ import annotations

import random
import re
import time
from typing import Any

import pytest

from seedstock.db.job_events import EventRow
from seedstock.web.stage_graph import STAGE_WIDTH, Box, tall_drawing, wide_drawing
from seedstock.web.stage_standing import job_stages, standing_of
from seedstock.web.views.stages import DrawingView, NodeView, StageState, StagesView


def random_graph(stages: int, seed: int) -> list[Box]:
    chance = random.Random(seed)
    names = [f"in{number}" for number in range(4)]
    boxes = [Box(name, "data") for name in names]
    for number in range(stages):
        sources = tuple(chance.sample(names, min(len(names), chance.randint(1, 3))))
        boxes.append(Box(f"s{number}", "sft", sources, StageState.WAITING))
        names.append(f"s{number}")
    taken = {source for box in boxes for source in box.sources}
    return [box for box in boxes if box.state is not None or box.name in taken]


def ends_of(path: str) -> tuple[tuple[float, float], tuple[float, float]]:
    start = re.match(r"M([\d.]+) ([\d.]+)", path)
    end = re.search(r"([\d.]+) ([\d.]+)$", path)
    assert start is not None
    assert end is not None
    return (float(start[1]), float(start[2])), (float(end[1]), float(end[2]))


def apart(one: NodeView, other: NodeView) -> bool:
    return (
        one.x + one.width <= other.x
        or other.x + other.width <= one.x
        or one.y + one.height <= other.y
        or other.y + other.height <= one.y
    )


def check(drawing: DrawingView, boxes: list[Box]) -> dict[str, NodeView]:
    nodes = {node.name: node for node in drawing.nodes}
    assert set(nodes) == {box.name for box in boxes}
    listed = list(drawing.nodes)
    assert all(apart(one, other) for at, one in enumerate(listed) for other in listed[:at])
    assert all(node.x + node.width <= drawing.width for node in listed)
    assert all(node.y + node.height <= drawing.height for node in listed)
    wanted = {(source, box.name) for box in boxes for source in box.sources}
    assert {(edge.source, edge.target) for edge in drawing.edges} == wanted
    for edge in drawing.edges:
        (_, y1), (x2, y2) = ends_of(edge.path)
        source, target = nodes[edge.source], nodes[edge.target]
        assert source.y <= y1 <= source.y + source.height
        assert target.y <= y2 <= target.y + target.height
        assert abs(x2 - target.x) < 0.1
    return nodes


@pytest.mark.parametrize("seed", range(20))
def test_no_boxes_overlap_and_every_line_joins_what_it_says(seed: int) -> None:
    boxes = random_graph(seed + 1, seed)
    nodes = check(wide_drawing(boxes), boxes)
    for box in boxes:
        assert all(nodes[source].x + STAGE_WIDTH < nodes[box.name].x for source in box.sources)
    nodes = check(tall_drawing(boxes), boxes)
    for box in boxes:
        assert all(nodes[source].y < nodes[box.name].y for source in box.sources)


def test_the_largest_recipe_is_drawn_fast() -> None:
    boxes = random_graph(256, 1)
    began_s = time.process_time()
    wide_drawing(boxes)
    tall_drawing(boxes)
    assert time.process_time() - began_s < 2


GRAPH = {"graph": [["a", "sft", {"base": "m"}], ["b", "grpo", {"base": "a"}]], "first": 0, "of": 2}


def said(*data: dict[str, Any]) -> list[EventRow]:
    return [EventRow(number + 1, 0, "stage", "", one) for number, one in enumerate(data)]


def states(view: StagesView | None) -> list[str]:
    assert view is not None
    return [stage.state.value for stage in view.stages]


def test_stages_stand_as_they_were_last_said_to_stand() -> None:
    events = said(
        GRAPH, {"name": "a", "state": "running"}, {"name": "a", "state": "done", "seconds": 61},
        {"name": "b", "state": "running"},
    )  # fmt: skip
    metrics = [
        EventRow(9, 0, "metrics", "", {"stage": "a", "step": step, "loss": 1.0 / step}) for step in (1, 2)
    ]
    view = job_stages(7, events, metrics, newest=9, ended_as=None)
    assert states(view) == ["done", "running"]
    assert view is not None
    assert view.stages[0].took == "1 min 1 s"
    assert view.stages[0].log_href == "/api/jobs/7/log?format=text&limit=10000&after=2&until=3"
    assert view.stages[1].log_href == "/api/jobs/7/log?format=text&limit=10000&after=4"
    assert [plot.title for plot in view.stages[0].plots] == ["Loss"]
    assert view.wide.nodes[1].spark
    assert states(job_stages(7, events, [], newest=9, ended_as=StageState.FAILED)) == ["done", "failed"]


def test_a_further_attempt_begins_anew_and_keeps_where_the_log_began() -> None:
    events = said(
        GRAPH, {"name": "a", "state": "running"}, {"name": "a", "state": "done"}, {"name": "b", "state": "running"},
        GRAPH, {"name": "a", "state": "reused"},
    )  # fmt: skip
    view = job_stages(7, events, [], newest=9, ended_as=None)
    assert states(view) == ["reused", "waiting"]
    assert view is not None
    assert "after=2" in (view.stages[0].log_href or "")


def test_only_the_newest_of_several_runs_is_shown() -> None:
    one, two = {"run": "1 of 2, seed 0"}, {"run": "2 of 2, seed 1"}
    events = said(
        {**one, **GRAPH}, {**one, "name": "a", "state": "running"}, {**one, "name": "a", "state": "done"},
        {**two, **GRAPH}, {**two, "name": "a", "state": "running"},
    )  # fmt: skip
    metrics = [
        EventRow(9, 0, "metrics", "", {**run, "stage": "a", "step": step, "reward": reward})
        for run, reward in ((one, 0.0), (two, 1.0))
        for step in (1, 2)
    ]
    view = job_stages(7, events, metrics, newest=9, ended_as=None)
    assert states(view) == ["running", "waiting"]
    assert view is not None
    assert view.run == "2 of 2, seed 1"
    assert view.stages[0].plots[0].series[0].points == ((1, 1.0), (2, 1.0))


def test_what_says_no_graph_has_none_and_nonsense_is_passed_over() -> None:
    assert standing_of(said({"name": "train", "from": 0})) is None
    events = said(GRAPH, {"name": "a", "state": "<b>"}, {"name": "elsewhere", "state": "done"}, {"odd": 1})
    assert states(job_stages(7, events, [], newest=9, ended_as=None)) == ["waiting", "waiting"]
