"""Runs in an interpreter that has mergekit: `python oracle.py WORK CASE...` merges each case into WORK/out/<case>.

WORK/<dtype>/ holds the models. DARE's chance is taken from Seedstock's masks: which changes are dropped is the one thing
that two programs cannot agree on by themselves, so both are given the same, and all else must come out equal.
So it is with TIES: of changes that are equal in size at the threshold, mergekit keeps those that torch's unstable sort
puts first, which depends on the processor; here the sort is made stable, which is what Seedstock's choice is defined as.
CASE may end in `!unstable`: then it is left as it is, and the result is that case's under its full name.
"""

from __future__ import annotations

import json
import shutil
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import run_merge
from mergekit.merge_methods import task_adapter
from mergekit.options import MergeOptions

from seedstock.adapt.merge.masks import kept
from tests.golden.merge.cases import SEED, cases

_ARGSORT = torch.argsort
_NOW: dict[str, Any] = {"tensor": "", "model": 0}


def main(work: Path, wanted: list[str]) -> None:
    """Merge the cases named, or all."""
    torch.set_num_threads(1)
    task_adapter.ExecuteMergeMethodTask.execute = _named(task_adapter.ExecuteMergeMethodTask.execute)
    torch.bernoulli = _given
    known = {case["name"]: case for case in cases()}
    for name in wanted or known:
        case = known[name.removesuffix("!unstable")]
        torch.argsort = _ARGSORT if name.endswith("!unstable") else partial(_ARGSORT, stable=True)
        out = work / "out" / name
        shutil.rmtree(out, ignore_errors=True)
        config = MergeConfiguration.model_validate(
            yaml.safe_load(_placed(json.dumps(case["yaml"]), work / case["dtype"]))
        )
        run_merge(config, str(out), MergeOptions(copy_tokenizer=False, write_model_card=False, quiet=True))


def _placed(text: str, folder: Path) -> str:
    for name in ("base", "model_0", "model_1", "model_2"):
        text = text.replace(f'"{name}"', json.dumps(str(folder / name)))
    return text


def _named(execute: Any) -> Any:
    def wrapped(self: Any, tensors: Any, **kwargs: Any) -> Any:
        _NOW.update(tensor=self.output_weight.name, model=0)
        return execute(self, tensors, **kwargs)

    return wrapped


def _given(chances: torch.Tensor) -> torch.Tensor:
    density = DENSITY[_NOW["model"]]
    assert abs(float(chances.reshape(-1)[0]) - density) < 0.01
    mask = kept(SEED, _NOW["tensor"], _NOW["model"], density, chances.numel())
    _NOW["model"] += 1
    return torch.from_numpy(mask).reshape(chances.shape).to(chances.dtype)


DENSITY = (0.5, 0.35, 0.6)

if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
