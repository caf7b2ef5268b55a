"""A plan: a spec with every reference pinned to a commit and every argument written out. It is what a job keeps.

A plan is a small graph. Each stage takes inputs, by role, from the plan's pinned repos or from stages before it; what
the last stage leaves is published.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

import msgspec

from seedstock.adapt.methods import METHODS, Rows, Sample
from seedstock.adapt.spec import AdaptSpec, published_settings, sampling_settings


class Input(msgspec.Struct, frozen=True, kw_only=True):
    """A repo at a commit, and those of its files that a stage gets."""

    kind: Literal["model", "dataset"]
    repo: str
    commit: str
    digest: str
    """Of the whole content (`recipes.outputs.content_digest`): equal for the output that it was published from."""
    files: dict[str, str]
    """Those that a stage gets: path to SHA-256."""
    repo_id: int
    named: bool = False
    """Whether `files` were chosen: a recipe of rows then names them, which it else need not."""


class PlannedStage(msgspec.Struct, frozen=True, kw_only=True):
    """A stage before its inputs have digests."""

    name: str
    op: str
    args: dict[str, Any]
    inputs: dict[str, str]
    """Role to the name of an input or of an earlier stage."""


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """Inputs and stages, in the order in which they run."""

    inputs: dict[str, Input]
    stages: list[PlannedStage]
    seed: int
    threads: int
    device: str

    @property
    def last(self) -> PlannedStage:
        """The stage whose output is published."""
        return self.stages[-1]


def lay_out(spec: AdaptSpec, inputs: dict[str, Input], threads: int, device: str) -> Plan:
    """The stages of a spec over its pinned inputs, named `base`, `data`, `teacher`, `model_0`, ..."""
    settings = published_settings(spec)
    roles = {name: name for name in inputs}
    if spec.method == "distil_traces":
        stages = _traces(spec, settings, roles)
    else:
        stages = [_stage(spec.method, spec.method, settings, roles, rows_of(spec))]
    return Plan(inputs=inputs, stages=stages, seed=spec.seed, threads=threads, device=device)


def rows_of(spec: AdaptSpec) -> list[Rows]:
    """What is read of each dataset of a spec; their roles are `data`, or `data_0`, `data_1`, ..."""
    several = len(spec.data) > 1
    return [
        Rows(input=f"data_{number}" if several else "data", split=ref.split, columns=ref.columns)
        for number, ref in enumerate(spec.data)
    ]


def _stage(
    name: str, op: str, settings: msgspec.Struct, roles: dict[str, str], rows: list[Rows] | None = None
) -> PlannedStage:
    args = msgspec.to_builtins(settings)
    for reward in args.get("rewards", []):
        if reward["fn"] == "python_file":
            reward["args"]["allowed"] = True  # the service lets only admins come this far
    if rows:
        args["rows"] = msgspec.to_builtins(rows)
    return PlannedStage(name=name, op=op, args=args, inputs=roles)


def _traces(spec: AdaptSpec, settings: msgspec.Struct, roles: dict[str, str]) -> list[PlannedStage]:
    """The teacher answers the prompts; the student learns the answers that were kept."""
    data = {role: source for role, source in roles.items() if role.startswith("data")}
    sampling: Sample = sampling_settings(spec)
    ask = _stage("traces", "sample", sampling, {"base": "teacher", **data}, rows_of(spec))
    student = {role: source for role, source in roles.items() if role not in {"teacher", *data}}
    return [ask, _stage("student", "sft", settings, {**student, "data": "traces"})]


def complete_args(op: str, args: Mapping[str, Any]) -> msgspec.Struct:
    """Arguments of a stage as the method's own type."""
    return msgspec.convert(dict(args), METHODS[op])
