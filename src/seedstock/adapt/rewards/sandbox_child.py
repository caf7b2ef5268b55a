"""The sandboxed process, run as a script by `sandbox` with an empty environment; it knows only the standard library.

It reads one JSON line, locks itself up, and then runs the code it was given. Locked up means: a network without
devices; a file system of its own that holds the interpreter's libraries, read-only, and a small `/tmp` in memory;
processes of its own, which end with it; limits on processor time, memory, files and processes; no privileges.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import resource
import stat
import sys
import traceback
from pathlib import Path
from typing import Any, TextIO

_NEWNS, _NEWUSER, _NEWPID, _NEWNET, _NEWIPC = 0x00020000, 0x10000000, 0x20000000, 0x40000000, 0x08000000
_RDONLY, _NOSUID, _NODEV, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 4, 32, 4096, 16384, 1 << 18
_PDEATHSIG, _NO_NEW_PRIVS, _KILL = 1, 38, 9
_CAPABILITY_VERSION = 0x20080522
_NOBODY = 65534
_ROOT = "/tmp"  # noqa: S108 - what the new tmpfs is mounted over, in a mount namespace of our own
_LIBC = ctypes.CDLL(None, use_errno=True)


def _check(status: int, what: str) -> None:
    if status != 0:
        raise OSError(ctypes.get_errno(), f"{what}: {os.strerror(ctypes.get_errno())}")


def _mount(source: str, target: str, kind: str | None, flags: int, options: str | None = None) -> None:
    encoded = [None if text is None else text.encode() for text in (source, target, kind, options)]
    status = _LIBC.mount(encoded[0], encoded[1], encoded[2], ctypes.c_ulong(flags), encoded[3])
    _check(status, f"mount {target}")


def _library_folders() -> list[str]:
    """What the interpreter needs to import the standard library, none inside another."""
    known = [*sys.path, sys.base_prefix + "/lib", "/usr/lib", "/lib", "/lib64"]
    # Real paths for what we find by `sys.path`; the loader's own folders keep the names it knows.
    found = {
        path if path.startswith("/lib") else os.path.realpath(path) for path in known if Path(path).is_dir()
    }
    return [path for path in sorted(found) if not any(path.startswith(other + "/") for other in found)]


def _new_root(order: dict[str, Any]) -> None:
    """Leave nothing of the file system but the interpreter's libraries, an empty, bounded `/tmp`, and what is shown."""
    _mount("none", "/", None, _REC | _PRIVATE)
    # Opened before they are covered; bound through the descriptor's path.
    shown = {path: path for path in [*_library_folders(), *order.get("libraries", [])]} | order.get(
        "shown", {}
    )
    sources = {path: os.open(source, os.O_PATH) for path, source in shown.items()}
    writable = (
        {order["writable"]: os.open(order["writable_source"], os.O_PATH)} if "writable" in order else {}
    )
    _mount("tmpfs", _ROOT, "tmpfs", _NOSUID | _NODEV, "size=16m,nr_inodes=4096,mode=755")
    for path, source in (sources | writable).items():
        if stat.S_ISDIR(os.fstat(source).st_mode):
            Path(_ROOT + path).mkdir(parents=True, exist_ok=True)
        else:
            Path(_ROOT + path).parent.mkdir(parents=True, exist_ok=True)
            Path(_ROOT + path).touch()
        _mount(f"/proc/self/fd/{source}", _ROOT + path, None, _BIND | _REC)
        kept = os.statvfs(_ROOT + path).f_flag & (_NOSUID | _NODEV | 8 | 1024 | 2048 | 4096)
        # statvfs and mount agree on the first bits; the kernel refuses to drop a flag that is locked.
        access_time = {1024: 1 << 10, 2048: 1 << 11, 4096: 1 << 21}
        flags = (kept & 15) | sum(bit for seen, bit in access_time.items() if kept & seen)
        closed = _NOSUID | _NODEV if path in writable else _RDONLY
        _mount("none", _ROOT + path, None, _REMOUNT | _BIND | closed | flags)
        os.close(source)
    scratch = Path(_ROOT, "tmp")
    scratch.mkdir(exist_ok=True)  # Python may be installed below the real one
    scratch.chmod(0o777)  # inside a tmpfs that nobody else sees
    os.chroot(_ROOT)
    os.chdir(_ROOT)


def _isolate(order: dict[str, Any]) -> None:
    """Namespaces, then two forks; those above only wait. Returns in the lowest, without privileges."""
    uid, gid = os.geteuid(), os.getegid()
    own = _own_user()
    names = _NEWNS | _NEWPID | _NEWNET | _NEWIPC
    if uid == 0:
        _check(_LIBC.unshare(names), "unshare")
    else:
        _check(_LIBC.unshare(names | _NEWUSER), "unshare")
        for file, text in (("setgroups", "deny"), ("gid_map", f"1000 {gid} 1"), ("uid_map", f"1000 {uid} 1")):
            Path("/proc/self", file).write_text(text)
    _new_root(order)
    _become_child()
    # The first of the new processes keeps its privileges, so that what runs below cannot touch it; with it all end.
    _check(_LIBC.prctl(_PDEATHSIG, _KILL), "prctl")
    _become_child()
    if uid == 0:
        os.setgroups([])
        os.setresgid(_NOBODY, _NOBODY, _NOBODY)
        os.setresuid(own, own, own)
    _drop_privileges()


def _own_user() -> int:
    """A user that no other sandbox is: the kernel counts processes by user, so one program could use up all of another's."""
    widest = max(
        (line.split() for line in Path("/proc/self/uid_map").read_text().splitlines()),
        key=lambda m: int(m[2]),
    )
    first, length = int(widest[0]), int(widest[2])
    return first + length - 2 - os.getpid() % max(1, length // 2)


def _become_child() -> None:
    child = os.fork()
    if child:
        _, status = os.waitpid(child, 0)
        os._exit(os.waitstatus_to_exitcode(status) & 0xFF)


def _drop_privileges() -> None:
    _check(_LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    header = (ctypes.c_uint32 * 2)(_CAPABILITY_VERSION, 0)
    nothing = (ctypes.c_uint32 * 6)()
    _check(_LIBC.capset(header, nothing), "capset")


def _limit(order: dict[str, Any]) -> None:
    limits = {
        resource.RLIMIT_AS: order["memory_bytes"],
        resource.RLIMIT_FSIZE: order.get("file_bytes", 1 << 20),
        resource.RLIMIT_NOFILE: order.get("files", 64),
        resource.RLIMIT_NPROC: order["processes"],
        resource.RLIMIT_CORE: 0,
    }
    if order["cpu_s"]:
        limits[resource.RLIMIT_CPU] = order["cpu_s"]
    for kind, value in limits.items():
        # Never above what is allowed already.
        _, hard = resource.getrlimit(kind)
        least = value if hard == resource.RLIM_INFINITY else min(value, hard)
        resource.setrlimit(kind, (least, least))


def _say(out: TextIO, answer: dict[str, Any]) -> None:
    out.write(json.dumps(answer) + "\n")
    out.flush()


def _run_tests(order: dict[str, Any], out: TextIO) -> None:
    """Say how many of the tests pass. The secret keeps code from claiming success by printing or by exiting."""
    run, build, quiet = exec, compile, contextlib.suppress  # code may replace the builtins
    passed = 0
    names: dict[str, Any] = {"__name__": "solution"}
    with quiet(BaseException):
        run(build(order["code"], "solution", "exec"), names)
        for test in order["tests"]:
            with quiet(Exception):
                run(build(test, "test", "exec"), dict(names))
                passed += 1
    _say(out, {"secret": order["secret"], "passed": passed})
    os._exit(0)


def _serve_file(order: dict[str, Any], lines: TextIO, out: TextIO) -> None:
    """Answer questions to a reward function, one JSON line each."""
    names: dict[str, Any] = {"__name__": "reward"}
    try:
        exec(compile(order["code"], order["name"], "exec"), names)  # noqa: S102 - allowed by an admin, and locked up
        function = names["reward"]
        answer: dict[str, Any] = {"ready": True}
    except BaseException as error:  # noqa: BLE001 - told to the parent
        answer = {"error": f"{type(error).__name__}: {error}"[:500]}
    _say(out, answer)
    for line in lines:
        try:
            asked = json.loads(line)
            answer = {"reward": float(function(asked["prompt"], asked["completion"], asked["row"]))}
        except Exception as error:  # noqa: BLE001 - told to the parent
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        _say(out, answer)


def _run_script(order: dict[str, Any]) -> None:
    """Run the file as a program. How it ends is its exit status, and what it prints goes to standard error."""
    sys.argv = ["/script.py", *order["arguments"]]
    sys.path += order["libraries"]
    os.chdir(order["writable"])
    try:
        names = {"__name__": "__main__", "__file__": "/script.py"}
        exec(compile(order["code"], order["name"], "exec"), names)  # noqa: S102 - allowed by an admin, and locked up
    except SystemExit:
        raise
    except BaseException:  # noqa: BLE001 - told in its own words, without our frames
        traceback.print_exc()
        sys.exit(1)


def main() -> None:
    """Read the order, lock up, run it."""
    lines = os.fdopen(os.dup(0), encoding="utf-8")
    order = json.loads(lines.readline())
    out = os.fdopen(os.dup(1), "w", encoding="utf-8")
    nowhere = os.open(os.devnull, os.O_RDWR)
    is_script = order["mode"] == "script"
    for fd in (0,) if is_script else (0, 1, 2):  # what rewards print is nobody's to read
        os.dup2(nowhere, fd)
    if is_script:
        os.dup2(2, 1)
    os.close(nowhere)
    try:
        _check(_LIBC.prctl(_PDEATHSIG, _KILL), "prctl")
        if order["isolate"]:
            _isolate(order)
        _limit(order)
    except OSError as error:
        _say(out, {"closed": str(error)})
        return
    _say(out, {"locked": True})
    if is_script:
        lines.close()
        out.close()
        _run_script(order)
    elif order["mode"] == "tests":
        lines.close()
        _run_tests(order, out)
    else:
        _serve_file(order, lines, out)


if __name__ == "__main__":
    main()
