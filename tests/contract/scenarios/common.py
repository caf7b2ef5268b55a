"""What the scenario files share. Runs in the client's interpreter: stock packages only."""

import hashlib
import io
import os
import random
import sys
import tempfile
import uuid
from pathlib import Path

from huggingface_hub import HfApi

ENDPOINT = os.environ["HF_ENDPOINT"]
STRANGER_TOKEN = os.environ.get("STRANGER_TOKEN", "")
XET = os.environ["HF_HUB_DISABLE_XET"] == "0"
api = HfApi()


def fresh(prefix="ada/s"):
    """A repo name that nothing else uses."""
    return f"{prefix}-{uuid.uuid4().hex[:10]}"


def repo(**options):
    """Create a repo and return its id."""
    return api.create_repo(fresh(), **options).repo_id


def noise(size_bytes, seed=0):
    """Bytes that do not compress or repeat."""
    return random.Random(seed).randbytes(size_bytes)


def sha256(data):
    """Hex digest."""
    return hashlib.sha256(data).hexdigest()


def folder(files):
    """A temporary folder with these files."""
    root = Path(tempfile.mkdtemp())
    for path, data in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(data)
    return root


def read(repo_id, path, **options):
    """Download a file and return its bytes."""
    return Path(api.hf_hub_download(repo_id, path, **options)).read_bytes()


def raises(kind, function, *arguments, **options):
    """The error that a call raises; fails if it does not."""
    try:
        result = function(*arguments, **options)
    except kind as error:
        return error
    raise AssertionError(f"{kind} was not raised, but {result!r} came back")


def equal(left, right):
    """Compare, showing both sides."""
    assert left == right, f"{left!r} != {right!r}"


def main(scope):
    """Run the scenario that the command line names."""
    scope[sys.argv[1]]()


__all__ = [
    "ENDPOINT",
    "STRANGER_TOKEN",
    "XET",
    "HfApi",
    "Path",
    "api",
    "equal",
    "folder",
    "fresh",
    "io",
    "main",
    "noise",
    "raises",
    "read",
    "repo",
    "sha256",
    "tempfile",
]
