"""What the machine has for a training process: cores, free memory, and assumed speed."""

from __future__ import annotations

import os
import time
from functools import cache
from pathlib import Path

import msgspec
import numpy as np

CORE_FLOPS = 45e9
"""Float32 a second and core in transformer layers: 43e9 training, 47e9 reading prompts, measured on AVX2 without AVX-512."""
_OF_A_PRODUCT = 0.6
"""Training's share of what a bare product of matrices reaches: 0.58 to 0.80 for models of 18 to 135 million parameters."""
CORE_BYTES_PER_S = 7e9
"""Weights read during generation: 13 tokens/s of a 538 MB model, one at a time."""
CUDA_FLOPS = 60e12
"""bfloat16 in small batches, on cards from an A10 to an H100: assumed, not measured."""
CUDA_BYTES_PER_S = 600e9
_SECOND_CORE = 0.85
"""n cores are worth n to this power: 1.8 for two, measured."""


class Machine(msgspec.Struct, frozen=True, kw_only=True):
    """Where a run would be."""

    cores: int
    memory_bytes: int
    """Free: of the machine for `cpu`, of the card for `cuda`."""
    device: str = "cpu"
    flops: float
    bytes_per_s: float
    element_bytes: int = 4
    """Of weights and activations: bfloat16 on cards, float32 else."""

    def __str__(self) -> str:
        """For a sentence."""
        if self.device != "cpu":
            return "the graphics card"
        return f"{self.cores} {'core' if self.cores == 1 else 'cores'}"


def cpu_machine(cores: int, memory_bytes: int, *, core_flops: float = CORE_FLOPS) -> Machine:
    """A machine without a card that is used."""
    return Machine(
        cores=cores,
        memory_bytes=memory_bytes,
        flops=core_flops * cores**_SECOND_CORE,
        bytes_per_s=CORE_BYTES_PER_S * cores**_SECOND_CORE,
    )


def cuda_machine(memory_bytes: int, *, flops: float = CUDA_FLOPS) -> Machine:
    """A machine whose card has so much free memory."""
    return Machine(
        cores=1,
        memory_bytes=memory_bytes,
        device="cuda",
        flops=flops,
        bytes_per_s=CUDA_BYTES_PER_S,
        element_bytes=2,
    )


def this_machine(*, threads: int = 0, memory_bytes: int | None = None) -> Machine:
    """This one: the cores the process may use (`threads` at most), memory free now or what is allowed.

    Its speed is measured once per process, in some 50 ms.
    """
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    free = free_memory()
    free = free if memory_bytes is None else min(free, memory_bytes)
    return cpu_machine(min(cores, threads or cores), free, core_flops=measured_flops())


@cache
def measured_flops() -> float:
    """What a core of this machine does in training, from the best of some products of matrices."""
    # 64 x 64: as fast as larger ones, and too small for OpenBLAS to use threads, which wait for each other on a
    # busy machine (12 in place of 79 GFLOP/s).
    left, right, into = (np.ones((200, 64, 64), np.float32) for _ in range(3))
    best = float("inf")
    until = time.monotonic() + 0.05
    while time.monotonic() < until or best == float("inf"):
        started = time.thread_time()
        np.matmul(left, right, out=into)
        best = min(best, max(time.thread_time() - started, 1e-6))
    return _OF_A_PRODUCT * 200 * 2 * 64**3 / best


def free_memory(proc: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int:
    """Bytes that a new process could take: what the kernel calls available, within the control group's limit."""
    free = _available(proc)
    limit, used = (_read_number(cgroup / name) for name in ("memory.max", "memory.current"))
    if limit is not None:
        free = min(free, max(0, limit - (used or 0)))
    return free


def _available(proc: Path) -> int:
    try:
        for line in proc.read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError, IndexError):
        pass
    return os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")


def _read_number(path: Path) -> int | None:
    try:
        return int(path.read_text())
    except (OSError, ValueError):
        return None
