"""A throw-away PostgreSQL server for one test session."""

from __future__ import annotations

import glob
import os
import pwd
import shutil
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

_USERS = ("postgres", "nobody")


def find_binaries() -> Path | None:
    """The folder that holds initdb, pg_ctl and postgres; None where PostgreSQL is not installed."""
    folders = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    on_path = shutil.which("initdb")
    folders += [str(Path(on_path).parent)] if on_path else []
    return next((Path(folder) for folder in folders if Path(folder, "pg_ctl").exists()), None)


def _unprivileged() -> dict[str, int]:
    """PostgreSQL refuses to run as root; another user is found for it then."""
    if os.getuid() != 0:
        return {}
    for name in _USERS:
        try:
            entry = pwd.getpwnam(name)
        except KeyError:
            continue
        return {"user": entry.pw_uid, "group": entry.pw_gid}
    raise RuntimeError("no user to run PostgreSQL as")


@contextmanager
def running(binaries: Path, folder: Path) -> Iterator[str]:
    """A server on a free loopback port; yields the URL of its maintenance database."""
    who = _unprivileged()
    if who:
        os.chown(folder, who["user"], who["group"])
    data = folder / "data"

    def call(program: str, *arguments: str) -> None:
        subprocess.run(
            [str(binaries / program), *arguments],
            check=True,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            cwd=folder,
            extra_groups=[] if who else None,
            **who,
        )

    call("initdb", "-D", str(data), "-U", "seedstock", "-A", "trust", "-E", "UTF8", "--no-sync", "--locale=C")
    with socket.create_server(("127.0.0.1", 0)) as probe:
        port = probe.getsockname()[1]
    # Durability is PostgreSQL's own business; here speed matters.
    options = (
        f"-p {port} -h 127.0.0.1 -k {folder} -c fsync=off -c synchronous_commit=off -c full_page_writes=off"
        " -c max_connections=200"
    )
    call("pg_ctl", "-D", str(data), "-o", options, "-l", str(folder / "log"), "-w", "start")
    try:
        yield f"postgresql+psycopg://seedstock@127.0.0.1:{port}/postgres"
    finally:
        call("pg_ctl", "-D", str(data), "-m", "immediate", "stop")
