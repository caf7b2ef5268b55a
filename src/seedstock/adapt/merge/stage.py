"""The stage `merge`: opens the models, plans every tensor of the result and streams it into shards.

A merge that was stopped starts again from the beginning: it takes little longer than reading and writing the files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.merge.arithmetic import FROM_A_BASE, check_numbers, copied, result, stored
from seedstock.adapt.merge.folder import copy_files, other_tokenizers, stacked_config, write_config
from seedstock.adapt.merge.job import Job
from seedstock.adapt.merge.lora import merged_adapter, plan_adapter
from seedstock.adapt.merge.model import HEAD, Model
from seedstock.adapt.merge.plan import plan_merge, plan_passthrough, stacked_layers
from seedstock.adapt.merge.shards import Entry, ShardWriter, plan_shards, write_index
from seedstock.adapt.methods import Merge
from seedstock.adapt.output import begin_output
from seedstock.adapt.stage import Event, Stage, Stopped
from seedstock.core.errors import Invalid

MAX_MODELS = 16
_SAY_EVERY_S = 0.5
Say = Callable[[Event], None]
Stopping = Callable[[], bool]


class _Plan(msgspec.Struct, frozen=True):
    jobs: list[Job]
    make: Callable[[Job], Iterator[memoryview]]
    config: dict[str, Any]
    source: Model
    """Whose tokenizer and settings the result gets."""


def run(stage: Stage, work: Path, say: Say, stopping: Stopping) -> dict[str, Any]:
    """Merge the stage's inputs into its output; the figures of the run."""
    began = time.perf_counter()
    args = msgspec.convert(stage.args, Merge)
    models = _open(args, work / "inputs")
    try:
        plan = _plan(args, models, stage.seed, say)
        folder = begin_output(work)
        figures = _write(plan, folder, args.max_shard_bytes, say, stopping)
    finally:
        for model in models.values():
            model.close()
    return {**figures, "method": args.method, "seconds": round(time.perf_counter() - began, 3)}


def _open(args: Merge, inputs: Path) -> dict[str, Model]:
    """The models of a stage by role, in order; `base` first where there is one."""
    roles = ["base"] if (inputs / "base").is_dir() else []
    if args.method == "lora":
        roles.append("adapter" if (inputs / "adapter").is_dir() else "model_0")
    else:
        numbers = range(MAX_MODELS + 1)
        roles += [f"model_{at}" for at in numbers if (inputs / f"model_{at}").is_dir()]
    if len(roles) > MAX_MODELS:
        raise Invalid(f"At most {MAX_MODELS} models are merged at a time")
    if args.method in FROM_A_BASE | {"lora"} and "base" not in roles:
        raise Invalid(f"{args.method} needs the input `base`")
    if args.method not in FROM_A_BASE | {"lora"} and "base" in roles:
        roles.remove("base")
    if not roles or roles == ["base"]:
        raise Invalid("A merge needs the inputs `model_0`, `model_1`, ...")
    models: dict[str, Model] = {}
    try:
        for role in roles:
            models[role] = Model(role, inputs / role, adapter=args.method == "lora" and role != "base")
    except BaseException:
        for model in models.values():
            model.close()
        raise
    return models


def _plan(args: Merge, opened: dict[str, Model], seed: int, say: Say) -> _Plan:
    base = opened.get("base")
    models = [model for role, model in opened.items() if role != "base"]
    first = base or models[0]
    if args.method == "lora":
        assert base is not None
        jobs, targets = plan_adapter(args, base, models[0])
        return _Plan(jobs, lambda job: stored(job, merged_adapter(job, targets[job.name])), base.config, base)
    for role in other_tokenizers(first, models):
        say(Event(log=f"The tokenizer of {role} is not that of {first.role}, which the result gets"))
    args = check_numbers(args, len(models))
    if args.method == "passthrough":
        jobs = plan_passthrough(args, models)
        first = models[args.layers[0][0]]
        config = stacked_config(first.config, [layer for _, layer in stacked_layers(args)])
        return _Plan(jobs, copied, config, first)
    jobs = plan_merge(args, models, base, seed)
    return _Plan(jobs, lambda job: stored(job, result(job, args)), first.config, first)


def _write(plan: _Plan, folder: Path, shard_bytes: int, say: Say, stopping: Stopping) -> dict[str, Any]:
    by_name = {job.name: job for job in plan.jobs}
    entries = [Entry(job.name, job.dtype, job.shape, job.elements) for job in plan.jobs]
    shards = plan_shards(entries, shard_bytes)
    progress = _Progress(sum(entry.size_bytes for entry in entries), say)
    for shard in shards:
        with ShardWriter(folder, shard) as writer:
            for entry in shard.entries:
                if stopping():
                    raise Stopped
                job = by_name[entry.name]
                writer.write(entry, copied(job) if job.copied else plan.make(job))
                progress.add(entry)
    write_index(folder, shards)
    copy_files(plan.source.folder, folder)
    write_config(folder, plan.config, entries, HEAD not in by_name and plan.source.tied)
    return {
        "tensors": len(entries),
        "parameters": sum(entry.elements for entry in entries),
        "bytes": sum(entry.size_bytes for entry in entries),
        "shards": len(shards),
    }


class _Progress:
    """Says how far it is, twice a second at most."""

    def __init__(self, total: int, say: Say) -> None:
        self._total = max(total, 1)
        self._done = 0
        self._say = say
        self._last = time.monotonic()

    def add(self, entry: Entry) -> None:
        self._done += entry.size_bytes
        now = time.monotonic()
        if now - self._last >= _SAY_EVERY_S:
            self._last = now
            self._say(Event(fraction=self._done / self._total, message=entry.name[:120]))
