"""The stage `script`: a Python file of the recipe's author, in a sandbox without network and without this machine's files.

It is run as `python FILE /inputs /output ARGS SEED`: inputs by their roles, read-only; `/output` is empty, the working
folder, and all that it may write besides 16 MiB of `/tmp`; ARGS is JSON. It has Python's library and the packages of this
installation. What it prints is the log; an exit status other than 0 is a failure.

Where the kernel gives no isolation, nothing runs. One that was stopped starts again from the beginning.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import selectors
import shutil
import stat
import sysconfig
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import Script
from seedstock.adapt.output import begin_output
from seedstock.adapt.rewards.sandbox import ScriptChild, start_script
from seedstock.adapt.stage import Event, Stage, Stopped
from seedstock.core.errors import Invalid

SCRIPT_FILE = "script.py"
_CPU_S, _WALL_S = 3600, 7200
_MEMORY_BYTES = 4 << 30
_MOST_BYTES = 16 << 30
_MOST_FILES = 500  # each is a mount
_MAX_LINE = 4_000
_LOOK_EVERY_S = 1.0


def run(
    stage: Stage, work: Path, say: Callable[[Event], None], stopping: Callable[[], bool]
) -> dict[str, Any]:
    """Run the file and check what it left; the figures of the run."""
    began = time.perf_counter()
    args = msgspec.convert(stage.args, Script)
    program = (work / "script" / SCRIPT_FILE).read_bytes()
    if hashlib.sha256(program).hexdigest() != args.sha256:
        raise Invalid(f"inputs-changed: {args.file} is not the file that the recipe pins")
    output = begin_output(work)
    with _open_to_all(output):
        child = start_script(_order(stage, args, program, work / "inputs", output))
        try:
            _listen(child, output, say, stopping)
        finally:
            child.close()
    files, size = _check_output(output)
    if not files:
        raise Invalid(f"{args.file} ended well and wrote nothing into its output folder")
    return {"files": files, "bytes": size, "script": True, "seconds": round(time.perf_counter() - began, 3)}


def _order(stage: Stage, args: Script, program: bytes, inputs: Path, output: Path) -> dict[str, Any]:
    try:
        code = program.decode()
    except UnicodeDecodeError:
        raise Invalid(f"{args.file} is no UTF-8 text") from None
    libraries = {os.path.realpath(sysconfig.get_path(name)) for name in ("purelib", "platlib")}
    return {
        "mode": "script",
        "code": code,
        "name": Path(args.file).name,
        "isolate": True,
        "arguments": ["/inputs", "/output", json.dumps(args.args, sort_keys=True), str(stage.seed)],
        "memory_bytes": stage.memory_bytes or _MEMORY_BYTES,
        "processes": 64,
        "files": 512,
        "file_bytes": _MOST_BYTES,
        "cpu_s": _CPU_S * stage.threads,
        "threads": stage.threads,
        "libraries": sorted(libraries),
        "shown": _shown(inputs),
        "writable": "/output",
        "writable_source": str(output.absolute()),
    }


def _shown(inputs: Path) -> dict[str, str]:
    """Where each input file is seen, and the file itself: folders of inputs hold links, which lead nowhere in there."""
    found: dict[str, str] = {}
    for role in sorted(inputs.iterdir()):
        for path in sorted(role.resolve().rglob("*")):
            if path.is_file():
                seen = f"/inputs/{role.name}/{path.relative_to(role.resolve()).as_posix()}"
                found[seen] = str(path.resolve())
            if len(found) > _MOST_FILES:
                raise Invalid(f"A script takes at most {_MOST_FILES:,} input files")
    return found


@contextlib.contextmanager
def _open_to_all(output: Path) -> Iterator[None]:
    """As root, the code runs as a user of its own, who must be able to write there; nobody else sees the folder."""
    if os.geteuid() == 0:
        output.chmod(0o777)
    try:
        yield
    finally:
        output.chmod(0o755)


def _listen(
    child: ScriptChild, output: Path, say: Callable[[Event], None], stopping: Callable[[], bool]
) -> None:
    """Say what it prints until it ends. Raises Stopped, or Invalid if it fails or takes too much."""
    deadline_s, rest, last = time.monotonic() + _WALL_S, b"", ""
    with selectors.DefaultSelector() as selector:
        selector.register(child.said, selectors.EVENT_READ)
        while True:
            data = child.said.read() if selector.select(_LOOK_EVERY_S) else None
            if data == b"":
                break
            *lines, rest = (rest + (data or b"")).split(b"\n")
            if len(rest) > _MAX_LINE:
                lines, rest = [*lines, rest], b""
            for line in lines:
                last = line.decode(errors="replace").rstrip()[:_MAX_LINE] or last
                say(Event(log=last))
            if stopping():
                raise Stopped
            if time.monotonic() > deadline_s:
                raise Invalid(f"The script did not end within {_WALL_S} s")
            _check_size(output)
    _check_size(output)
    status = child.wait()
    if status != 0:
        raise Invalid(
            f"The script ended with status {status}: {rest.decode(errors='replace') or last or 'it said nothing'}"
        )


def _check_size(output: Path) -> None:
    if _size(output) > _MOST_BYTES:
        raise Invalid(f"The script wrote more than {_MOST_BYTES >> 20:,} MiB")


def _size(output: Path) -> int:
    found = 0
    for folder, _, names in os.walk(output):
        for name in names:
            with contextlib.suppress(OSError):  # gone meanwhile
                found += Path(folder, name).lstat().st_size
    return found


def _check_output(output: Path) -> tuple[int, int]:
    """Files and their bytes, now this process's own. A link could lead to a file that the script may not read."""
    files = size = 0
    for path in sorted(output.rglob("*")):
        found = path.lstat()
        name = path.relative_to(output).as_posix()
        if stat.S_ISLNK(found.st_mode) or not (stat.S_ISREG(found.st_mode) or stat.S_ISDIR(found.st_mode)):
            shutil.rmtree(output)
            raise Invalid(f"The script left {name[:200]!r}, which is neither a file nor a folder")
        if os.geteuid() == 0:
            os.chown(path, 0, 0, follow_symlinks=False)
        if stat.S_ISREG(found.st_mode):
            files, size = files + 1, size + found.st_size
    return files, size
