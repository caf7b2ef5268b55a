"""The folder a stage leaves: written as `output.part`, and `output` by rename when nothing is missing.

The figures of the run are kept beside it first, so that a stage whose process died after the rename can say them again.
"""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import msgspec

from seedstock.core.errors import Integrity

OUTPUT = "output"
PART = "output.part"
RESULT_FILE = Path("state") / "result.json"


def begin_output(work: Path) -> Path:
    """An empty folder to write the result into; what an earlier attempt left there is gone."""
    part = work / PART
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    return part


def finish_output(work: Path, result: dict[str, Any]) -> None:
    """Make the result durable and give it its name. Files get mode 0644: torch and safetensors write 0600."""
    part = work / PART
    if not part.is_dir():
        raise Integrity("The operation left no output")
    for path in sorted(part.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)
        _sync(path)
    _sync(part)
    write_durably(work / RESULT_FILE, msgspec.json.encode(result))
    part.rename(work / OUTPUT)
    _sync(work)


def finished_result(work: Path) -> dict[str, Any] | None:
    """The figures of a run that is complete already."""
    if not (work / OUTPUT).is_dir() or not (work / RESULT_FILE).is_file():
        return None
    return msgspec.json.decode((work / RESULT_FILE).read_bytes(), type=dict[str, Any])


def write_durably(path: Path, content: bytes) -> None:
    """A small file that is there whole or not at all, whatever happens to the machine."""
    path.parent.mkdir(parents=True, exist_ok=True)
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_bytes(content)
    _sync(fresh)
    fresh.rename(path)
    _sync(path.parent)


def sync_tree(folder: Path) -> None:
    """Have everything below a folder on the disk."""
    for path in sorted(folder.rglob("*")):
        _sync(path)
    _sync(folder)


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
