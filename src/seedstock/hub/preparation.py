"""Makes what llama.cpp loads out of what a repo holds: a GGUF of safetensors weights, an adapter of a LoRA adapter.

Each is made once, in a process of its own, into the engine cache under a name that says what it is made from; who asks
meanwhile is told how far it is. The name is no key to it: callers have found the repo readable for the viewer, each time.
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

import msgspec

from seedstock.content.service import Content
from seedstock.core.errors import EngineBusy, HubError, ModelPreparing, Unavailable
from seedstock.core.names import RepoId
from seedstock.core.viewer import Viewer
from seedstock.hub.conversion_source import open_source, pick_files
from seedstock.hub.metadata import ContentReader
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.runnable import ADAPTER_WEIGHTS
from seedstock.metadata.source import BytesReader, RangeReader, read_whole
from seedstock.metadata.tags import ADAPTER_CONFIG
from seedstock.run.engine_cache import EngineCache, Made

if TYPE_CHECKING:
    from seedstock.convert.plan import Plan
    from seedstock.weights.checkpoint import Checkpoint

METHOD = 1
"""Raise when the same files would be made into another file: those made before are then not found."""
_CHILD = "seedstock.make_engine_file"
_MAX_AT_WORK = 4
_HEADER_BYTES = 32 << 20
_MAX_CONFIG_BYTES = 1 << 20
_SMALL_FILES = ("config.json", "tokenizer.json", "tokenizer_config.json", "chat_template.jinja")
# Said of the repo, and so not part of what the file is made from.
_NOT_IN_NAME = ("general.source.repo_url", "general.name")


class MakeOrder(msgspec.Struct, frozen=True):
    """What the making process is told, on its standard input: the settings may hold passwords."""

    settings: dict[str, Any]
    viewer: Viewer
    repo: RepoId
    commit: str
    key: str
    target: str = ""
    base: tuple[str, ...] = ()
    """The files of an adapter's base; of a whole model none."""


class Preparation:
    """Finds what is made already, and has the rest made; to be used from any thread."""

    def __init__(self, cache: EngineCache, settings: dict[str, Any]) -> None:
        self.cache = cache
        self._settings = settings
        self._at_work: dict[str, subprocess.Popen[bytes]] = {}
        self._lock = Lock()

    def model(self, viewer: Viewer, at: RepoAt, target: str) -> Made:
        """The GGUF of a safetensors repo. Raises ModelPreparing, ModelNotRunnable, EngineBusy, Unavailable."""
        paths = {*pick_files(at.entries, None), *_SMALL_FILES}
        key = _name("model", target, at, paths)
        return self._made(
            at, MakeOrder(self._settings, viewer, repo_id_of(at.repo), at.commit.oid, key, target)
        )

    def adapter(self, viewer: Viewer, at: RepoAt, base_key: str, base: Sequence[Path]) -> Made:
        """The GGUF of an adapter, for a base of some files. Raises as `model` does."""
        key = _name("adapter", base_key, at, {ADAPTER_CONFIG, ADAPTER_WEIGHTS})
        files = tuple(str(path) for path in base)
        return self._made(
            at, MakeOrder(self._settings, viewer, repo_id_of(at.repo), at.commit.oid, key, base=files)
        )

    def close(self) -> None:
        """End what is being made; the next who asks has it made anew."""
        with self._lock:
            for child in self._at_work.values():
                child.kill()
                child.wait()
            self._at_work.clear()

    def _made(self, at: RepoAt, order: MakeOrder) -> Made:
        made = self.cache.find(order.key)
        if made is not None:
            return made
        failure = self.cache.find_failure(order.key)
        if failure is not None:
            raise type(failure)(f"{at.repo.repo_id} cannot be run: {failure.message}", hint=failure.hint)
        self._have_made(order)
        progress = self.cache.progress(order.key)
        far = (
            f"{progress.fraction:.0%} of {progress.size_bytes / 1e6:,.0f} MB"
            if progress
            else "it waits for its turn"
        )
        raise ModelPreparing(f"{at.repo.repo_id} is being made ready to run: {far}", hint="try again soon")

    def _have_made(self, order: MakeOrder) -> None:
        """Start a process that makes it, unless one of this process's is at it; one of another's makes it end at once."""
        with self._lock:
            child = self._at_work.get(order.key)
            if child is not None:
                if child.poll() is None:
                    return
                del self._at_work[order.key]
                if self.cache.find(order.key) is None and self.cache.find_failure(order.key) is None:
                    error = Unavailable(f"the process that made it ended with status {child.returncode}")
                    self.cache.note_failure(order.key, error)
                return
            self._at_work = {key: one for key, one in self._at_work.items() if one.poll() is None}
            if len(self._at_work) >= _MAX_AT_WORK:
                raise EngineBusy("Other models are being made ready to run", hint="try again in a minute")
            self._at_work[order.key] = _start(order)


def _start(order: MakeOrder) -> subprocess.Popen[bytes]:
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    child = subprocess.Popen(
        [sys.executable, "-m", _CHILD],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        env=os.environ | {"PYTHONPATH": path} | threads,
    )
    assert child.stdin is not None
    with child.stdin as pipe:  # less than a pipe holds, so that nothing waits
        pipe.write(msgspec.json.encode(order))
    return child


def _name(kind: str, of: str, at: RepoAt, paths: set[str]) -> str:
    """What a made file is called: a digest over all that decides its bytes."""
    files = sorted(
        (entry.path, entry.digest or entry.oid)
        for entry in at.entries
        if not entry.is_tree and entry.path in paths
    )
    return hashlib.sha256(msgspec.json.encode([METHOD, kind, of, files])).hexdigest()


def make(reading: Reading, content: Content, cache: EngineCache, order: MakeOrder) -> None:
    """The work of the process: make the file, or note why it cannot be made."""
    lane = "adapters" if order.base else "models"
    with cache.lane(lane):
        if cache.find(order.key) is not None:
            return
        try:
            plan, checkpoint = (_plan_adapter if order.base else _plan_model)(reading, content, order)
            try:
                _write(cache, lane, order.key, plan, checkpoint)
            finally:
                checkpoint.close()
        except HubError as error:
            cache.note_failure(order.key, error)
        except MemoryError:
            cache.note_failure(order.key, Unavailable("making it ready takes too much memory"))


def _write(cache: EngineCache, lane: str, key: str, plan: Plan, checkpoint: Checkpoint) -> None:
    from seedstock.convert.plan import write

    plan.check(checkpoint)
    cache.make(lane, key, plan.data_bytes + _HEADER_BYTES, lambda sink: write(plan, checkpoint, sink))


def _plan_model(reading: Reading, content: Content, order: MakeOrder) -> tuple[Plan, Checkpoint]:
    repo = reading.repo_at(order.viewer, order.repo, order.commit).repo
    source = open_source(reading, content, order.viewer, repo, order.commit, None, order.target)
    values = {key: value for key, value in source.plan.values.items() if key not in _NOT_IN_NAME}
    return msgspec.structs.replace(source.plan, values=values), source.checkpoint


def _plan_adapter(reading: Reading, content: Content, order: MakeOrder) -> tuple[Plan, Checkpoint]:
    from seedstock.convert.adapter import plan_adapter, read_adapter_config
    from seedstock.weights.checkpoint import open_checkpoint

    def open_file(path: str) -> RangeReader:
        found = reading.file(order.viewer, order.repo, f"{order.commit}/{path}")
        return (
            BytesReader(found.data)
            if found.data is not None
            else ContentReader(content, found.entry.digest or "")
        )

    config = read_adapter_config(read_whole(open_file(ADAPTER_CONFIG), _MAX_CONFIG_BYTES))
    checkpoint = open_checkpoint({ADAPTER_WEIGHTS: open_file(ADAPTER_WEIGHTS)})
    base = open_checkpoint({path: _LocalFile(Path(path)) for path in order.base})
    return plan_adapter(checkpoint, config, base), checkpoint


class _LocalFile:
    """A RangeReader over a file of this machine."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.size_bytes = path.stat().st_size

    def read(self, start: int, stop: int) -> bytes:
        """Return bytes [start, stop)."""
        with self._path.open("rb", buffering=0) as file:
            return os.pread(file.fileno(), max(0, min(stop, self.size_bytes) - start), start)
