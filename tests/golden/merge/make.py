"""Writes the golden files beside it: `python -m tests.golden.merge.make` (installs mergekit into .cache/clients)."""

from __future__ import annotations

import gzip
import os
import subprocess
import tempfile
from pathlib import Path

from tests.contract.clients import interpreter
from tests.golden.merge.cases import HERE, cases, write_models

ROOT = HERE.parents[2]


def merge_with_mergekit(work: Path, *wanted: str) -> None:
    """Have mergekit merge the cases into `work/out`."""
    for dtype in sorted({case["dtype"] for case in cases()}):
        write_models(work / dtype, dtype)
    subprocess.run(
        [str(interpreter("mergekit")), "-m", "tests.golden.merge.oracle", str(work), *wanted],
        env={
            "PATH": os.environ["PATH"],
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "HOME": str(work),
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
        cwd=work,
        check=True,
    )


def main() -> None:
    """Write every case's weights, compressed so that equal inputs give equal files."""
    with tempfile.TemporaryDirectory() as folder:
        work = Path(folder)
        merge_with_mergekit(work)
        for case in cases():
            raw = (work / "out" / case["name"] / "model.safetensors").read_bytes()
            (HERE / f"{case['name']}.safetensors.gz").write_bytes(gzip.compress(raw, mtime=0))


if __name__ == "__main__":
    main()
