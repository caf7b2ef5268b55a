"""Starts stages on a Ray cluster: same folder, same events, same result as on this machine.

The stage's folder travels: its inputs go out once, the newest checkpoint comes back each time there is one, the output
at the end. So neither side needs the other's disks, and a node that dies costs what was done since the last checkpoint.
The cluster never is the source of truth: the job and its lease stay in the hub's database.
"""

from __future__ import annotations

import contextlib
import shutil
import socket
import tarfile
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import IO, Any

import msgspec

from seedstock.adapt.launch import LocalLauncher, Say, StageDied, StageFailed, StageStopped
from seedstock.adapt.stage import Event, read_stage
from seedstock.core.errors import Invalid, Unavailable

_POLL_S = 0.5
_PIECE_BYTES = 64 << 20
_CONNECT_S = 10.0


class RayLauncher:
    """Runs stages on the cluster at `address`, such as `ray://host:10001`."""

    def __init__(self, address: str) -> None:
        self._address = address

    def run(self, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
        """See Launcher. Raises Unavailable if the cluster does not answer."""
        ray = _connect(self._address)
        try:
            return self._run(ray, work, say, stopping)
        except ray.exceptions.RayActorError as error:
            raise StageDied(f"The cluster lost the stage: {_first_line(error)}") from None
        except ConnectionError as error:
            raise Unavailable(
                f"The connection to the Ray cluster at {self._address} broke: {_first_line(error)}",
                hint="the job is tried again, from its last checkpoint",
            ) from None
        finally:
            with contextlib.suppress(Exception):  # it may be broken already
                ray.shutdown()

    def _run(self, ray: Any, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
        stage = read_stage(work)
        needs = {"num_cpus": stage.threads, "num_gpus": 1 if stage.device == "cuda" else 0}
        remote = ray.remote(max_concurrency=4, max_restarts=0, **needs)(RemoteStage).remote()
        try:
            for piece in _pieces(_packed(work, ("stage.json", "inputs", "script", "state"))):
                _wait(ray, remote.receive.remote(piece), stopping)
            remote.start.remote()
            return _Follower(ray, remote, work, say, stopping).follow()
        finally:
            with contextlib.suppress(Exception):  # it may be gone already
                ray.get(remote.clear.remote(), timeout=_CONNECT_S)
                ray.kill(remote)


class RemoteStage:
    """The cluster's side: a folder of its own and the process that `LocalLauncher` starts on it."""

    def __init__(self) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="seedstock-stage-"))
        self._received = (self._folder / "received.tar").open("wb")
        self._work = self._folder / "work"
        self._lock = threading.Lock()
        self._said: list[bytes] = []
        self._stop = threading.Event()
        self._end: dict[str, Any] | None = None
        self._pieces: Iterator[bytes] = iter(())

    def receive(self, piece: bytes) -> None:
        """Take in the next piece of the stage's folder."""
        self._received.write(piece)

    def start(self) -> None:
        """Run the stage to its end; returns when it is over."""
        try:
            self._received.close()
            _unpack(Path(self._received.name), self._work)
            result = LocalLauncher().run(self._work, self._hear, self._stop.is_set)
            end: dict[str, Any] = {"result": result}
        except StageFailed as error:
            end = {"failed": error.message, "hint": error.hint}
        except StageDied as error:
            end = {"died": error.message, "hint": error.hint}
        except StageStopped:
            end = {"stopped": True}
        except Exception as error:  # noqa: BLE001 - reported to the other side
            end = {"died": f"{type(error).__name__}: {_first_line(error)}", "hint": None}
        self._end = end

    def _hear(self, event: Event) -> None:
        with self._lock:
            self._said.append(msgspec.json.encode(event))

    def poll(self, after: int) -> tuple[list[bytes], str, dict[str, Any] | None]:
        """Events from number `after` on, the name of the newest checkpoint, and the end if it has come."""
        end = self._end  # before the events: what was said before the end is then among them
        with self._lock:
            return self._said[after:], _newest(self._work / "state"), end

    def clear(self) -> None:
        """Remove the folder."""
        self._received.close()
        shutil.rmtree(self._folder, ignore_errors=True)

    def stop(self) -> None:
        """Ask the stage to save its state and stop."""
        self._stop.set()

    def pack(self, *names: str) -> bool:
        """Begin to send parts of the folder as they are now; False if the stage removed some of it meanwhile."""
        try:
            self._pieces = _pieces(_packed(self._work, names))
        except FileNotFoundError:
            return False
        return True

    def send(self) -> bytes:
        """The next piece; empty after the last."""
        return next(self._pieces, b"")


class _Follower:
    """The hub's side of a running stage."""

    def __init__(self, ray: Any, remote: Any, work: Path, say: Say, stopping: Callable[[], bool]) -> None:
        self._ray = ray
        self._remote = remote
        self._work = work
        self._say = say
        self._stopping = stopping
        self._heard = 0
        self._kept = ""
        self._asked = False

    def follow(self) -> dict[str, Any]:
        """Hear the stage to its end and fetch what it left."""
        while True:
            said, newest, end = self._ray.get(self._remote.poll.remote(self._heard))
            self._heard += len(said)
            for line in said:
                self._say(msgspec.json.decode(line, type=Event))
            if end is not None:
                return self._finish(end)
            if newest != self._kept and self._fetch("state"):
                self._kept = newest
            if not self._asked and self._stopping():
                self._asked = True
                self._ray.get(self._remote.stop.remote())
            time.sleep(_POLL_S)

    def _finish(self, end: dict[str, Any]) -> dict[str, Any]:
        self._fetch("state")
        if "result" in end:
            self._fetch("output")
            result: dict[str, Any] = end["result"]
            return result
        if "failed" in end:
            raise StageFailed(end["failed"], hint=end["hint"])
        if "died" in end:
            raise StageDied(end["died"], hint=end["hint"])
        raise StageStopped

    def _fetch(self, name: str) -> bool:
        """Replace a folder here by the one there, whole or not at all; False where that was not to be had just then."""
        received = self._work / f"{name}.tar"
        if not self._ray.get(self._remote.pack.remote(name)):
            return False
        with received.open("wb") as file:
            while piece := self._ray.get(self._remote.send.remote()):
                file.write(piece)
        fresh = self._work / f"{name}.new"
        shutil.rmtree(fresh, ignore_errors=True)
        _unpack(received, fresh)
        received.unlink()
        if not (fresh / name).is_dir():
            return True  # the stage ended before it had one
        old = self._work / f"{name}.old"
        shutil.rmtree(old, ignore_errors=True)
        if (self._work / name).exists():
            (self._work / name).rename(old)
        (fresh / name).rename(self._work / name)
        shutil.rmtree(old, ignore_errors=True)
        shutil.rmtree(fresh)
        return True


def _connect(address: str) -> Any:
    try:
        import ray
    except ModuleNotFoundError:
        raise Invalid("The launcher ray:// needs Ray", hint="pip install 'seedstock[adapt,ray]'") from None
    _check_reachable(address)
    try:
        ray.init(address, ignore_reinit_error=True, log_to_driver=False, namespace="seedstock")
    except (ConnectionError, TimeoutError, RuntimeError, ValueError) as error:
        raise Unavailable(
            f"The Ray cluster at {address} takes no connection: {_gist(error)}",
            hint="is it overloaded? The job is tried again.",
        ) from None
    return ray


def _wait(ray: Any, reference: Any, stopping: Callable[[], bool]) -> None:
    """Wait for an answer, which may take until the cluster has room. Raises StageStopped when asked to stop before."""
    while True:
        ready, _ = ray.wait([reference], timeout=_POLL_S)
        if ready:
            ray.get(reference)
            return
        if stopping():
            raise StageStopped


def _check_reachable(address: str) -> None:
    """Ray itself tries for minutes. Raises Unavailable, Invalid."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        raise Invalid(f"A Ray cluster's address is ray://host:port, not {address[:80]!r}")
    try:
        socket.create_connection((host, int(port)), _CONNECT_S).close()
    except OSError as error:
        raise Unavailable(
            f"The Ray cluster at {address} does not answer: {error.strerror or error}", hint="is it started?"
        ) from None


def _packed(folder: Path, names: tuple[str, ...]) -> IO[bytes]:
    """Parts of a folder as a tar archive; links are followed, for they point out of it.

    Raises FileNotFoundError when something is removed meanwhile.
    """
    file = tempfile.TemporaryFile()  # noqa: SIM115 - whoever sends it closes it
    try:
        with tarfile.open(fileobj=file, mode="w", dereference=True) as archive:
            for name in names:
                if (folder / name).exists():
                    archive.add(folder / name, name)
    except BaseException:
        file.close()
        raise
    return file


def _pieces(file: IO[bytes]) -> Iterator[bytes]:
    with file:
        file.seek(0)
        while piece := file.read(_PIECE_BYTES):
            yield piece


def _unpack(archive: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with tarfile.open(archive) as file:
        file.extractall(folder, filter="data")


def _newest(state: Path) -> str:
    """What changes when there is a new checkpoint."""
    if not state.is_dir():
        return ""
    found = sorted(path.parent.name for path in state.glob("checkpoint-*/complete.json"))
    return ",".join(found)


def _gist(error: Exception) -> str:
    """First and last line: Ray puts the other side's traceback between them."""
    last = str(error).strip().rpartition("\n")[2].strip()
    first = _first_line(error)
    return first if last in ("", first) else f"{first} {last}"


def _first_line(error: Exception) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)
