"""Draws a recipe's graph: in layers from left to right where there is room, one below the other on a phone.

Both are decided here, as places and paths for inline SVG, and read the same without scripts. The wide drawing is the
layered one of Sugiyama, Tagawa and Toda (1981): longest paths give layers, lines that span several layers get a place
in each, and each layer is sorted by the middle of its neighbours. Lines that leave one box together are drawn once.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import pairwise

import msgspec

from seedstock.web.views.stages import DrawingView, EdgeView, NodeView, StageState

STAGE_WIDTH, STAGE_HEIGHT, INPUT_HEIGHT = 156, 62, 34
_ACROSS, _DOWN, _LANE_HEIGHT = 40, 16, 14
_MARGIN = 2
_SWEEPS = 6
_WIDE_LETTERS, _TALL_LETTERS = 19, 30
TALL_WIDTH = 358
_TALL_GAP, _LANE = 10, 9
_SPARK_X, _SPARK_FOOT, _SPARK_HEIGHT = 10, 7, 14

Point = tuple[float, float]
_Place = tuple[str, int]
"""A box, or where a line from it crosses a layer: the box's name and the layer."""


class Box(msgspec.Struct, frozen=True):
    """A stage or an input (without `state`), and the names of what it takes."""

    name: str
    kind: str
    sources: tuple[str, ...] = ()
    state: StageState | None = None
    curve: tuple[float, ...] = ()


def wide_drawing(boxes: Sequence[Box]) -> DrawingView:
    """Layers from left to right. `boxes` come after what they take."""
    by_name = {box.name: box for box in boxes}
    layer = _layers(boxes)
    columns, lines = _columns(boxes, layer)
    _sort(columns, lines)
    heights = {
        place: _height(by_name[place[0]]) if _is_box(place, layer) else _LANE_HEIGHT
        for column in columns
        for place in column
    }
    totals = [sum(heights[place] + _DOWN for place in column) - _DOWN for column in columns]
    middles: dict[_Place, Point] = {}
    for number, column in enumerate(columns):
        y = (max(totals) - totals[number]) / 2
        for place in column:
            middles[place] = (number * (STAGE_WIDTH + _ACROSS), y + heights[place] / 2)
            y += heights[place] + _DOWN
    nodes = [
        _node(box, middles[box.name, layer[box.name]], STAGE_WIDTH, _height(box), _WIDE_LETTERS)
        for box in boxes
    ]
    edges = []
    for box in boxes:
        for source in dict.fromkeys(box.sources):
            way = [middles[source, at] for at in range(layer[source], layer[box.name])]
            edges.append(EdgeView(source, box.name, _across([*way, middles[box.name, layer[box.name]]])))
    width = len(columns) * (STAGE_WIDTH + _ACROSS) - _ACROSS
    return DrawingView(width + 2 * _MARGIN, max(totals) + 2 * _MARGIN, tuple(nodes), tuple(edges))


def tall_drawing(boxes: Sequence[Box]) -> DrawingView:
    """One below the other, in the order given; what is taken runs down in lanes at the left, as in a git log."""
    rows = {box.name: number for number, box in enumerate(boxes)}
    last = {source: rows[box.name] for box in boxes for source in box.sources}
    lanes = _lanes(boxes, rows, last)
    gutter = _LANE * (max(lanes.values(), default=-1) + 2)
    nodes, tops, y = [], dict[str, float](), 0.0
    for box in boxes:
        height = _height(box)
        tops[box.name] = y
        middle = (gutter, y + height / 2)
        nodes.append(_node(box, middle, TALL_WIDTH - gutter, height, _TALL_LETTERS))
        y += height + _TALL_GAP
    edges = []
    for box in boxes:
        for source in dict.fromkeys(box.sources):
            x = gutter - _LANE * (lanes[source] + 1)
            from_y = tops[source] + _height(boxes[rows[source]]) - 11
            to_y = tops[box.name] + 11
            path = (f"M{gutter + _MARGIN} {from_y + _MARGIN:g}Q{x + _MARGIN} {from_y + _MARGIN:g} {x + _MARGIN} {from_y + 10:g}"
                    f"V{to_y - 6:g}Q{x + _MARGIN} {to_y + _MARGIN:g} {gutter + _MARGIN} {to_y + _MARGIN:g}")  # fmt: skip
            edges.append(EdgeView(source, box.name, path))
    return DrawingView(TALL_WIDTH + 2 * _MARGIN, y - _TALL_GAP + 2 * _MARGIN, tuple(nodes), tuple(edges))


def spark(values: Sequence[float], width: float, height: float) -> str:
    """A curve without axes, in the foot of a box; `static/stage-graph.js` draws the same while it runs."""
    if len(values) < 2:
        return ""
    low, high = min(values), max(values)
    across = (width - 2 * _SPARK_X) / (len(values) - 1)
    foot, scale = height - _SPARK_FOOT, _SPARK_HEIGHT / ((high - low) or 1)
    points = (
        f"{_SPARK_X + at * across:.1f} {foot - (value - low) * scale:.1f}" for at, value in enumerate(values)
    )
    return "M" + "L".join(points)  # fmt: skip


def _layers(boxes: Sequence[Box]) -> dict[str, int]:
    """The longest way to each stage; an input stands just before the first that takes it."""
    layer: dict[str, int] = {}
    for box in boxes:
        if box.state is not None:
            layer[box.name] = 1 + max((layer.get(source, 0) for source in box.sources), default=0)
    for box in boxes:
        if box.state is None:
            takers = [layer[other.name] for other in boxes if box.name in other.sources]
            layer[box.name] = min(takers, default=1) - 1
    first = min(layer.values(), default=0)
    return {name: at - first for name, at in layer.items()}


def _columns(
    boxes: Sequence[Box], layer: Mapping[str, int]
) -> tuple[list[list[_Place]], list[tuple[_Place, _Place]]]:
    """What stands in each layer, and the lines between neighbouring layers."""
    places: dict[_Place, None] = {(box.name, layer[box.name]): None for box in boxes}
    lines: dict[tuple[_Place, _Place], None] = {}
    for box in boxes:
        for source in box.sources:
            for at in range(layer[source] + 1, layer[box.name] + 1):
                target = (box.name, at) if at == layer[box.name] else (source, at)
                places[target] = None
                lines[(source, at - 1), target] = None
    count = 1 + max((at for _, at in places), default=0)
    return [[place for place in places if place[1] == at] for at in range(count)], list(lines)


def _sort(columns: list[list[_Place]], lines: Sequence[tuple[_Place, _Place]]) -> None:
    """Sort each layer by the middle of its neighbours in the one before, then back, some times over."""
    before: dict[_Place, list[_Place]] = {}
    after: dict[_Place, list[_Place]] = {}
    for source, target in lines:
        before.setdefault(target, []).append(source)
        after.setdefault(source, []).append(target)
    for sweep in range(_SWEEPS):
        forth = sweep % 2 == 0
        neighbours = before if forth else after
        for column in columns[1:] if forth else columns[-2::-1]:
            at = {
                place: (number + 0.5) / len(other) for other in columns for number, place in enumerate(other)
            }

            def middle(place: _Place, at: dict[_Place, float] = at) -> float:
                near = neighbours.get(place, [])  # noqa: B023 - used within the sweep
                return sum(at[other] for other in near) / len(near) if near else at[place]

            column.sort(key=middle)


def _lanes(boxes: Sequence[Box], rows: Mapping[str, int], last: Mapping[str, int]) -> dict[str, int]:
    """The lowest lane that is free from where a box stands to the last that takes from it."""
    lanes: dict[str, int] = {}
    for box in boxes:
        if box.name in last:
            taken = {lane for other, lane in lanes.items() if last[other] >= rows[box.name]}
            lanes[box.name] = next(lane for lane in range(len(boxes)) if lane not in taken)
    return lanes


def _across(points: Sequence[Point]) -> str:
    """A smooth line between the middles of boxes that stand beside each other."""
    path = f"M{points[0][0] + STAGE_WIDTH + _MARGIN:g} {points[0][1] + _MARGIN:g}"
    for number, ((x1, y1), (x2, y2)) in enumerate(pairwise(points)):
        start, end, bend = x1 + STAGE_WIDTH + _MARGIN, x2 + _MARGIN, _ACROSS / 2
        path += f"C{start + bend:g} {y1 + _MARGIN:g} {end - bend:g} {y2 + _MARGIN:g} {end:g} {y2 + _MARGIN:g}"
        if number < len(points) - 2:
            path += f"H{end + STAGE_WIDTH:g}"
    return path


def _is_box(place: _Place, layer: Mapping[str, int]) -> bool:
    return layer[place[0]] == place[1]


def _height(box: Box) -> int:
    return INPUT_HEIGHT if box.state is None else STAGE_HEIGHT


def _node(box: Box, left_middle: Point, width: float, height: float, letters: int) -> NodeView:
    x, middle = left_middle
    label = box.name if len(box.name) <= letters else f"{box.name[: letters - 1]}…"
    return NodeView(
        box.name,
        label,
        box.kind,
        x + _MARGIN,
        middle - height / 2 + _MARGIN,
        width,
        height,
        box.state,
        None if box.state is None else f"#stage-{box.name}",
        spark(box.curve, width, height),
    )
