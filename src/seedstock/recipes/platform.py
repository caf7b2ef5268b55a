"""Platform classes: machines and builds on which the same stage may be expected to give the same bytes.

Measured: 1 and 2 threads, AVX2 and scalar code, and another BLAS mode each give other weights; the same of all gives
equal ones. No library promises more, so bit-exactness is asked for within one class only.
"""

from __future__ import annotations

from collections.abc import Mapping

from seedstock.openness.canonical import canonical_json, sha256_of

CLASS_FACTS = (
    "architecture",
    "blas",
    "cpu_capability",
    "cpu_maker",
    "cpu_vectors",
    "device",
    "driver",
    "gpu",
    "threads",
    "torch",
    "torch_build",
)
"""Facts that decide; other ones (Python, model of the CPU, host) are kept in records and do not."""

_DECIDING = ("ATEN_CPU_CAPABILITY", "CUBLAS_WORKSPACE_CONFIG", "MKL_CBWR")


def platform_class(facts: Mapping[str, str]) -> str:
    """`sha256:...` of what decides among the facts; a fact that is absent is different from every value of it."""
    deciding = {key: facts.get(key) for key in (*CLASS_FACTS, *(f"env.{name}" for name in _DECIDING))}
    return sha256_of(canonical_json(deciding))
