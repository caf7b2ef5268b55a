"""Runs the file of a recipe that writes a dataset: `python FILE OUTPUT ARGS`, by its own author's convention.

It is code of the recipe's author, so an admin must have asked for the run. It gets no network, no environment, no
standard input, and limits on time, memory and the size of files; the files of this machine are in its reach.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

from seedstock.adapt.launch import shut_in
from seedstock.core.errors import Invalid
from seedstock.recipes.outputs import describe_output
from seedstock.recipes.recipe import GeneratorInput

_TIMEOUT_S = 600
_MEMORY_BYTES = 4 << 30
_FILE_BYTES = 4 << 30
_MAX_WORDS = 500


def generate(program: bytes, item: GeneratorInput, folder: Path) -> None:
    """Fill `folder` with what the input's program writes, whole and as pinned, in place of what it holds; else raise Invalid."""
    ready = folder.with_name(f"{folder.name}.new")
    shutil.rmtree(ready, ignore_errors=True)
    run_generator(program, item.args, ready)
    digest = describe_output(ready, "dataset").tree
    if digest != item.digest:
        raise Invalid(f"inputs-changed: {item.file} wrote {digest[:19]}, the recipe pins {item.digest[:19]}")
    shutil.rmtree(folder, ignore_errors=True)
    ready.rename(folder)


def run_generator(program: bytes, args: dict[str, Any], folder: Path) -> None:
    """Write the generator's dataset into `folder`. Raises Invalid with its last words if it fails."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="seedstock-generator-") as scratch:
        path = Path(scratch, "generator.py")
        path.write_bytes(program)
        try:
            done = subprocess.run(
                [sys.executable, "-I", str(path), str(folder.absolute()), json.dumps(args)],
                stdin=subprocess.DEVNULL,
                capture_output=True,
                cwd=scratch,
                env={"PATH": "/usr/bin:/bin", "PYTHONHASHSEED": "0", "TMPDIR": scratch},
                timeout=_TIMEOUT_S,
                check=False,
                preexec_fn=_limit,
            )
        except subprocess.TimeoutExpired:
            raise Invalid(f"The generator did not end within {_TIMEOUT_S} s") from None
    if done.returncode != 0:
        words = done.stderr.decode(errors="replace").strip().splitlines()
        said = words[-1][:_MAX_WORDS] if words else "it said nothing"
        raise Invalid(f"The generator ended with status {done.returncode}: {said}")


def _limit() -> None:
    shut_in()
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, _MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_FSIZE, (_FILE_BYTES, _FILE_BYTES))
    resource.setrlimit(resource.RLIMIT_CPU, (_TIMEOUT_S, _TIMEOUT_S))
