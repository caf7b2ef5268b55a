"""What a process runs on, for the record of what it makes: texts by name. Those of torch are there if it was imported."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from pathlib import Path
from typing import Any

VARIABLES = (
    "ATEN_CPU_CAPABILITY",
    "CUBLAS_WORKSPACE_CONFIG",
    "MKL_CBWR",
    "MKL_NUM_THREADS",
    "OMP_NUM_THREADS",
    "PYTHONHASHSEED",
)
"""Environment variables that are recorded; those of MKL, ATEN and cuBLAS decide too."""


def platform_facts() -> dict[str, str]:
    """Facts of this process; `recipes.platform` says which of them decide what comes out."""
    facts = {
        "architecture": platform.machine(),
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.release()}",
        **_cpu(),
        **_torch(sys.modules.get("torch")),
    }
    return facts | {f"env.{name}": os.environ[name] for name in VARIABLES if name in os.environ}


def _torch(torch: Any) -> dict[str, str]:
    if torch is None:
        return {"device": "cpu", "threads": os.environ.get("OMP_NUM_THREADS", "1")}
    config = torch.__config__.show()
    facts = {
        "torch": str(torch.__version__),
        "torch_build": f"sha256:{hashlib.sha256(config.encode()).hexdigest()}",
        "blas": "mkl" if "BLAS_INFO=mkl" in config else "other",
        "cpu_capability": str(torch.backends.cpu.get_cpu_capability()),
        "threads": str(torch.get_num_threads()),
        "device": "cpu",
    }
    if torch.cuda.is_available():
        facts |= {
            "device": "cuda",
            "gpu": torch.cuda.get_device_name(),
            "cuda": str(torch.version.cuda),
        }
    return facts


def _cpu() -> dict[str, str]:
    """Model, maker and vector instructions, by which MKL and oneDNN pick their code; where Linux says them."""
    try:
        text = Path("/proc/cpuinfo").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return {"cpu": platform.processor()}
    lines = [line.partition(":") for line in text.split("\n\n", 1)[0].splitlines()]
    found = {key.strip(): value.strip() for key, _, value in lines}
    flags = [
        flag for flag in found.get("flags", "").split() if flag.startswith(("avx", "amx", "fma", "sse4"))
    ]
    return {
        "cpu": found.get("model name", platform.processor()),
        "cpu_maker": found.get("vendor_id", ""),
        "cpu_vectors": " ".join(sorted(flags)),
    }
