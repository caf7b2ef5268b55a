"""Runs the evaluation library in a process of its own, and keeps every judged sample as it comes.

The samples are a file that survives the attempt: an evaluation that was stopped or killed asks only what is left.
"""

from __future__ import annotations

import importlib.util
import os
import selectors
import subprocess
import sys
import tempfile
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

import msgspec

from seedstock.core.errors import HubError, Invalid
from seedstock.evaluation.items import Item, SampleLine
from seedstock.evaluation.run_inspect import Line
from seedstock.evaluation.settings import Order

_POLL_S = 0.3
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "SYSTEMROOT")
_MAX_LINE_BYTES = 64 << 20


class EvaluationDied(HubError):
    """The process ended, or the endpoint failed, in a way that may pass; another attempt goes on."""


def check_installed() -> None:
    """Raise Invalid, saying what to install, where the library is not."""
    if importlib.util.find_spec("inspect_ai") is None:
        raise Invalid(
            "This hub cannot evaluate", hint="its operator installs `pip install 'seedstock[eval]'`"
        )


def read_samples(path: Path) -> dict[str, SampleLine]:
    """The samples that were kept, by item; a line that was torn by a kill is cut off."""
    if not path.exists():
        return {}
    with path.open("r+b") as file:
        data = file.read()
        file.truncate(data.rfind(b"\n") + 1)
    lines = data[: data.rfind(b"\n") + 1].splitlines()
    return {line.id: line for line in (msgspec.json.decode(line, type=SampleLine) for line in lines)}


def run(
    order: Order,
    items: Sequence[Item],
    samples: Path,
    on_sample: Callable[[SampleLine], None],
    stopping: Callable[[], bool],
) -> str | None:
    """Ask the items and append each sample to the file; the library's name, or None when it was told to stop.

    Raises EvaluationDied.
    """
    # A file, for whatever reads a pipe late would let a writer of megabytes wait.
    with tempfile.TemporaryFile() as asked, samples.open("ab", buffering=0) as kept:
        asked.write(b"\n".join(msgspec.json.encode(part) for part in (order, *items)) + b"\n")
        asked.seek(0)
        child = subprocess.Popen(
            [sys.executable, "-m", "seedstock.evaluation.run_inspect"],
            stdin=asked,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment(order.log_dir),
            cwd=order.log_dir,
        )
        try:
            return _Listener(child, kept.write, on_sample, stopping).listen()
        finally:
            if child.poll() is None:
                child.kill()
            child.wait()
            for pipe in (child.stdout, child.stderr):
                if pipe is not None:
                    pipe.close()


def environment(home: str) -> dict[str, str]:
    """Nothing of ours but the way to Python: no setting of a user's, no key, no proxy, no other hub."""
    path = os.pathsep.join(str(Path(entry).absolute()) for entry in sys.path)
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    offline = {"HF_HUB_OFFLINE": "1", "NO_PROXY": "*"}
    return kept | offline | {"PYTHONPATH": path, "HOME": home, "TMPDIR": home}


class _Listener:
    """What a running child has said."""

    def __init__(
        self,
        child: subprocess.Popen[bytes],
        keep: Callable[[bytes], object],
        on_sample: Callable[[SampleLine], None],
        stopping: Callable[[], bool],
    ) -> None:
        self._child = child
        self._keep = keep
        self._on_sample = on_sample
        self._stopping = stopping
        self._rest = {"out": b"", "err": b""}
        self._last_words: deque[str] = deque(maxlen=3)
        self._library: str | None = None
        self._error: str | None = None

    def listen(self) -> str | None:
        """Read until it ends, or until it is to stop: what was kept is all that is needed to go on."""
        with selectors.DefaultSelector() as selector:
            for pipe, name in ((self._child.stdout, "out"), (self._child.stderr, "err")):
                assert pipe is not None
                os.set_blocking(pipe.fileno(), False)
                selector.register(pipe, selectors.EVENT_READ, name)
            while selector.get_map():
                if self._stopping():
                    return None
                self._read(selector)
        status = self._child.wait()
        if self._error is not None:
            raise EvaluationDied(self._error)
        if self._library is None:
            words = f": {self._last_words[-1]}" if self._last_words else ""
            raise EvaluationDied(
                f"The evaluation's process ended with status {status} without a result{words}"
            )
        return self._library

    def _read(self, selector: selectors.BaseSelector) -> None:
        for key, _ in selector.select(_POLL_S):
            data = key.fileobj.read()  # type: ignore[union-attr]
            if data == b"":
                selector.unregister(key.fileobj)
            if not data:
                continue
            *lines, rest = (self._rest[key.data] + data).split(b"\n")
            if len(rest) > _MAX_LINE_BYTES:
                raise EvaluationDied("The evaluation's process writes a line without an end")
            self._rest[key.data] = rest
            for line in lines:
                self._hear(key.data, line)

    def _hear(self, stream: str, data: bytes) -> None:
        if stream == "err":
            if data.strip():
                self._last_words.append(data.decode(errors="replace").strip()[:300])
            return
        line = msgspec.json.decode(data, type=Line)
        self._error, self._library = line.error, line.library
        if line.sample is not None:
            self._keep(msgspec.json.encode(line.sample) + b"\n")
            self._on_sample(line.sample)
