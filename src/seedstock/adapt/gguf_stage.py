"""The stages `quantize` and `convert`: a GGUF of a model's folder, to the byte the one that the hub's conversions make.

One that was stopped starts again from the beginning: it takes little longer than reading and writing the files.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import METHODS, Convert, Quantize
from seedstock.adapt.output import begin_output
from seedstock.adapt.stage import Event, Stage, Stopped
from seedstock.convert.files import file_name, pick_weights
from seedstock.convert.from_safetensors import ModelFiles, plan_from_safetensors
from seedstock.convert.mixtures import find_target
from seedstock.convert.plan import Plan, Value, write
from seedstock.convert.requantise import plan_requantising
from seedstock.core.errors import Invalid
from seedstock.metadata.source import LocalFile, read_whole
from seedstock.weights.checkpoint import Checkpoint, open_checkpoint

_MAX_TEXT_BYTES = 64 << 20
_SAY_EVERY_S = 0.5
_STRING = 8
_DECIDING = ("gguf", "numpy", "xllamacpp")
"""Packages whose code makes the bytes; without the last one gguf's own encoder does."""


def run(
    stage: Stage, work: Path, say: Callable[[Event], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """Write the GGUF of the stage's input into its output; the figures of the run."""
    began = time.perf_counter()
    args = msgspec.convert(stage.args, METHODS[stage.op])
    assert isinstance(args, Quantize | Convert)
    base = work / "inputs" / "base"
    if not base.is_dir():
        raise Invalid(f"{stage.op} needs the input `base`")
    with ExitStack() as opened:
        plan, checkpoint = _open(args, base, opened)
        for note in plan.notes:
            say(Event(log=note))
        path = begin_output(work) / file_name(args.name, plan.target.name)
        with path.open("wb") as out:
            if not write(plan, checkpoint, lambda data: _put(out, data), _Progress(say), stopping):
                raise Stopped
    return {
        "file": path.name,
        "bytes": path.stat().st_size,
        "tensors": len(plan.tensors),
        "types": plan.types,
        "seconds": round(time.perf_counter() - began, 3),
        "versions": versions(),
    }


def _open(args: Quantize | Convert, base: Path, opened: ExitStack) -> tuple[Plan, Checkpoint]:
    """What will be written, from headers and small files alone."""
    target = find_target(args.to)
    sizes = {
        path.relative_to(base).as_posix(): path.stat().st_size for path in base.rglob("*") if path.is_file()
    }
    readers = {path: LocalFile(base / path) for path in pick_weights(sizes, args.file)}
    for reader in readers.values():
        opened.callback(reader.close)
    checkpoint = open_checkpoint(readers)
    if checkpoint.format == "gguf":
        plan = plan_requantising(checkpoint, next(iter(readers.values())), target)
    else:
        plan = plan_from_safetensors(checkpoint, _small_files(args.name, base, sizes), target)
    plan.check(checkpoint)
    if args.source is not None:
        values = {**plan.values, "general.source.repo_url": Value(args.source, _STRING)}
        plan = msgspec.structs.replace(plan, values=values)
    return plan, checkpoint


def _small_files(name: str, base: Path, sizes: Mapping[str, int]) -> ModelFiles:
    def read(path: str) -> bytes | None:
        if path not in sizes:
            return None
        file = LocalFile(base / path)
        try:
            return read_whole(file, _MAX_TEXT_BYTES)
        finally:
            file.close()

    return ModelFiles(
        name,
        read("config.json"),
        read("tokenizer.json"),
        read("tokenizer_config.json"),
        read("chat_template.jinja"),
    )


def _put(out: Any, data: bytes) -> None:
    out.write(data)


def versions() -> dict[str, str]:
    """Of the packages that decide the bytes."""
    found = {}
    for name in _DECIDING:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "none"
    return found


class _Progress:
    """Says how far it is, twice a second at most."""

    def __init__(self, say: Callable[[Event], None]) -> None:
        self._say = say
        self._last = time.monotonic()

    def __call__(self, fraction: float, tensor: str) -> None:
        now = time.monotonic()
        if now - self._last >= _SAY_EVERY_S:
            self._last = now
            self._say(Event(fraction=fraction, message=tensor[:120]))
