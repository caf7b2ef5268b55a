"""Checkpoints of a run, in its state folder: a folder counts once its last file, `complete.json`, is there.

The optimiser's and the generators' state are torch's own files. They are read back by transformers with
`weights_only=True`, and only from the state folder, which no one but the stage's own process writes: nothing of an
input is ever unpickled.
"""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import msgspec

from seedstock.adapt.output import sync_tree, write_durably

COMPLETE = "complete.json"
UNTIL = "until.json"
"""Put into the state of a copy that runs a segment again."""
_NAME = re.compile(r"checkpoint-(\d+)")


class Link(msgspec.Struct, frozen=True):
    """A link of the chain of checkpoints (`train.chain`)."""

    step: int
    digest: str


class Until(msgspec.Struct, frozen=True):
    """Run on from a checkpoint, whose link is given, to the end of its segment and no further."""

    step: int
    link: str | None
    """None: from the beginning of the run."""


class Progress(msgspec.Struct, kw_only=True):
    """What a run has behind it, over all attempts."""

    step: int = 0
    tokens: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    best_loss: float | None = None
    best_step: int = 0
    worse: int = 0
    """Evaluations since the best."""
    chain: list[Link] = []
    """A link for every checkpoint, but for those that an interruption made, and for the end."""
    began_as_recorded: bool | None = None
    """With `Until`: whether the state that it began from has the link that was given."""
    platform: dict[str, str] = {}
    """With `Until`: what the segment ran on."""

    @property
    def is_link(self) -> bool:
        """Whether its moment is a link of the chain."""
        return bool(self.chain) and self.chain[-1].step == self.step


def complete(folder: Path, progress: Progress) -> None:
    """Declare a checkpoint whole, when all of it is on the disk."""
    sync_tree(folder)
    write_durably(folder / COMPLETE, msgspec.json.encode(progress))


def last_checkpoint(state: Path) -> tuple[Path, Progress] | None:
    """The newest whole checkpoint; what was not finished is removed."""
    found: list[tuple[int, Path]] = []
    for path in state.glob("checkpoint-*"):
        match = _NAME.fullmatch(path.name)
        if match and (path / COMPLETE).is_file():
            found.append((int(match[1]), path))
        else:
            shutil.rmtree(path)
    if not found:
        return None
    newest = max(found)[1]
    return newest, msgspec.json.decode((newest / COMPLETE).read_bytes(), type=Progress)


def checkpoints(state: Path) -> list[tuple[Path, Progress]]:
    """Whole checkpoints, the oldest first."""
    found = [
        (path, msgspec.json.decode((path / COMPLETE).read_bytes(), type=Progress))
        for path in state.glob("checkpoint-*")
        if _NAME.fullmatch(path.name) and (path / COMPLETE).is_file()
    ]
    return sorted(found, key=lambda item: item[1].step)


def read_until(state: Path) -> Until | None:
    """How far a copy is to run."""
    path = state / UNTIL
    return msgspec.json.decode(path.read_bytes(), type=Until) if path.is_file() else None


def thin(state: Path, limit_bytes: int) -> None:
    """Remove every second checkpoint, by its place in the chain, until the rest fit; the newest two always stay.

    One that an interruption left is no link, so that no segment begins at it: it goes at once.
    """
    found = checkpoints(state)
    older, newest = found[:-2], found[-2:]
    size_of = {path: folder_bytes(path) for path, _ in found}
    stay, stride = [item for item in older if item[1].is_link], 1
    while stay and sum(size_of[path] for path, _ in stay + newest) > limit_bytes:
        stride *= 2
        stay = [item for item in stay if len(item[1].chain) % stride == 0]
    for item in older:
        if item not in stay:
            _remove(item[0])


def folder_bytes(folder: Path) -> int:
    """Bytes of all files below a folder."""
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def keep_last(state: Path, count: int = 2) -> None:
    """Remove older checkpoints; none counts any more once a part of it is gone."""
    found = sorted(
        ((int(match[1]), path) for path in state.iterdir() if (match := _NAME.fullmatch(path.name))),
        reverse=True,
    )
    for _, path in found[count:]:
        _remove(path)


def _remove(checkpoint: Path) -> None:
    (checkpoint / COMPLETE).unlink(missing_ok=True)
    shutil.rmtree(checkpoint)
