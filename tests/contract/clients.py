"""Stock clients of several ages, each in its own interpreter.

The clients read HF_ENDPOINT when they are imported and keep caches, so that every scenario is a process of
its own with a clean environment and home. Virtual environments are made on first use below `.cache/clients`
and kept; their pins are exact, so that a new release of a client is a decision and not a surprise.
"""

from __future__ import annotations

import fcntl
import os
import subprocess
import sys
import venv
from dataclasses import dataclass
from pathlib import Path

from tests.contract.server import ROOT

CACHE = Path(os.environ.get("SEEDSTOCK_CLIENTS") or ROOT / ".cache" / "clients")
SCENARIOS = Path(__file__).parent / "scenarios"

REQUIREMENTS: dict[str, tuple[str, ...]] = {
    "hf-1.28": ("huggingface_hub==1.28.0", "hf-xet==1.8.0"),  # 60 MB
    "mergekit": ("mergekit==0.1.5", "torch==2.13.0"),  # 1.2 GB
}
OWN = "hf-newest"


class ClientMissing(Exception):
    """An interpreter could not be made, most likely because there is no network."""


@dataclass(frozen=True)
class Done:
    """How a client process ended."""

    returncode: int
    stdout: str
    stderr: str

    @property
    def text(self) -> str:
        """All that it printed."""
        return f"{self.stdout}\n{self.stderr}"


def interpreter(client: str) -> Path:
    """Python of that client, installed if need be. Raises ClientMissing."""
    if client == OWN:
        return Path(sys.executable)
    folder = CACHE / client
    python = folder / "bin" / "python"
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / f"{client}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        wanted = "\n".join(REQUIREMENTS[client])
        stamp = folder / "installed.txt"
        if not stamp.exists() or stamp.read_text() != wanted:
            _install(folder, python, REQUIREMENTS[client])
            stamp.write_text(wanted)
    return python


def _install(folder: Path, python: Path, requirements: tuple[str, ...]) -> None:
    venv.create(folder, with_pip=True)
    environ = {key: value for key, value in os.environ.items() if key != "PIP_CONSTRAINT"}
    command = [str(python), "-m", "pip", "install", "--quiet", *requirements]
    done = subprocess.run(command, env=environ, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ClientMissing(f"{folder.name} cannot be installed: {done.stderr[-500:]}")


@dataclass(frozen=True)
class Client:
    """One client against one hub."""

    name: str
    url: str
    token: str
    home: Path
    xet: bool

    def environ(self, **extra: str) -> dict[str, str]:
        """A clean environment: nothing of the developer's own Hugging Face set-up leaks in."""
        kept = {key: os.environ[key] for key in ("LANG", "TMPDIR", "LD_LIBRARY_PATH") if key in os.environ}
        path = f"{interpreter(self.name).parent}:{os.environ['PATH']}"
        return {
            **kept,
            "PATH": path,
            "HOME": str(self.home),
            "HF_HOME": str(self.home / "hf"),
            "HF_ENDPOINT": self.url,
            "HF_TOKEN": self.token,
            "HF_HUB_DISABLE_TELEMETRY": "1",
            "HF_HUB_DISABLE_UPDATE_CHECK": "1",
            "HF_HUB_DISABLE_PROGRESS_BARS": "1",
            "HF_HUB_DISABLE_XET": "0" if self.xet else "1",
            "NO_PROXY": "127.0.0.1,localhost",
            "no_proxy": "127.0.0.1,localhost",
            "PYTHONWARNINGS": "ignore",
            "OMP_NUM_THREADS": "1",
            **extra,
        }

    def python(self, *arguments: str, timeout_s: float = 180, **extra: str) -> Done:
        """Run the client's Python."""
        return self._run([str(interpreter(self.name)), *arguments], timeout_s, extra)

    def scenario(self, group: str, name: str, timeout_s: float = 180, **extra: str) -> Done:
        """Run one function of a scenario file."""
        return self.python(str(SCENARIOS / f"{group}.py"), name, timeout_s=timeout_s, **extra)

    def hf(self, *arguments: str, timeout_s: float = 120, **extra: str) -> Done:
        """Run the `hf` command."""
        return self._run([str(interpreter(self.name).parent / "hf"), *arguments], timeout_s, extra)

    def _run(self, command: list[str], timeout_s: float, extra: dict[str, str]) -> Done:
        self.home.mkdir(parents=True, exist_ok=True)
        done = subprocess.run(
            command,
            env=self.environ(**extra),
            cwd=self.home,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
        return Done(done.returncode, done.stdout, done.stderr)
