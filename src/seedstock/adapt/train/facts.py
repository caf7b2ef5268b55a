"""What a run took, and the versions of what it ran on."""

from __future__ import annotations

import importlib.metadata
import time
from pathlib import Path

PACKAGES = (
    "torch",
    "transformers",
    "peft",
    "trl",
    "accelerate",
    "datasets",
    "tokenizers",
    "safetensors",
    "numpy",
)


def versions() -> dict[str, str]:
    """Installed versions of what decides results."""
    return {name: importlib.metadata.version(name) for name in PACKAGES}


def peak_memory_bytes() -> int:
    """The most memory this process has held. `ru_maxrss` would count what its parent held before."""
    status = Path("/proc/self/status")
    if not status.is_file():
        return 0
    line = next((row for row in status.read_text().splitlines() if row.startswith("VmHWM:")), "VmHWM: 0 kB")
    return int(line.split()[1]) * 1024


class Spent:
    """Wall and CPU time from when it was made until `stop`, or now."""

    def __init__(self) -> None:
        self._wall, self._cpu = time.monotonic(), time.process_time()
        self._stopped: tuple[float, float] | None = None

    def stop(self) -> None:
        """Let nothing that follows count."""
        self._stopped = self.seconds, self.cpu_seconds

    @property
    def seconds(self) -> float:
        """Wall time."""
        return self._stopped[0] if self._stopped else time.monotonic() - self._wall

    @property
    def cpu_seconds(self) -> float:
        """CPU time of all threads."""
        return self._stopped[1] if self._stopped else time.process_time() - self._cpu
