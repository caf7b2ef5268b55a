"""What a folder holds, by digest: its content as a whole, and each tensor by itself, whatever file it lies in.

Two copies of a model may differ in headers and in how they are cut into files and still hold the same weights, so
tensors are compared, not files.
"""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path

import msgspec

from seedstock.core.errors import Invalid, NotFound
from seedstock.metadata.source import LocalFile
from seedstock.openness.canonical import canonical_json, sha256_of
from seedstock.weights.checkpoint import Checkpoint, open_checkpoint

MAX_FILES = 100_000
WEIGHT_SUFFIXES = (".safetensors", ".gguf")
_CHUNK_BYTES = 1 << 20

# Beside the content: what describes it, and what publication adds to it. Of a dataset the card counts too, since
# it may say which files make a split.
_DESCRIPTIVE = re.compile(
    r"\.git(attributes|ignore)|recipe\.toml|([^/]+\.)?run-record\.dsse\.json|README\.md|(?i:(licen[cs]e|notice|copying|use_policy)[^/]*)"
    r"|licences/.*",
    re.DOTALL,
)


def describes(path: str, kind: str) -> bool:
    """Whether a file of a repo of that kind (`model`, `dataset`) only describes its content."""
    return _DESCRIPTIVE.fullmatch(path) is not None and not (kind == "dataset" and path == "README.md")


class TensorDigest(msgspec.Struct, frozen=True):
    """One tensor: what it is, and the SHA-256 of its stored bytes."""

    dtype: str
    shape: tuple[int, ...]
    sha256: str


class OutputDigest(msgspec.Struct, frozen=True):
    """A folder: path to SHA-256 of its files, the digest of its content, its tensors and one digest of them all."""

    files: dict[str, str]
    tree: str
    tensors: dict[str, TensorDigest] = {}
    weights: str | None = None
    """None: it holds no tensors."""


def tree_digest(files: Mapping[str, str]) -> str:
    """`sha256:...` of path to SHA-256, in the order of the paths."""
    return sha256_of(canonical_json([[path, files[path]] for path in sorted(files)]))


def content_digest(files: Mapping[str, str], kind: str) -> str:
    """Digest of what a repo of that kind (`model`, `dataset`) holds, less the files that only describe it.

    Equal for a stage's output and for the repo that it was published as.
    """
    return tree_digest({path: sha256 for path, sha256 in files.items() if not describes(path, kind)})


def list_files(folder: Path) -> list[str]:
    """Paths of all files below a folder, sorted. Raises Invalid for links and special files."""
    if not folder.is_dir():
        raise NotFound(f"{folder} is no folder")
    found = []
    for path in folder.rglob("*"):
        relative = path.relative_to(folder).as_posix()
        if path.is_symlink() or not (path.is_file() or path.is_dir()):
            raise Invalid(f"{relative!r} in {folder} is neither a file nor a folder")
        if path.is_file():
            found.append(relative)
        if len(found) > MAX_FILES:
            raise Invalid(f"{folder} holds more than {MAX_FILES} files")
    return sorted(found)


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def describe_output(folder: Path, kind: str = "model") -> OutputDigest:
    """Digests of a folder. Raises UnsupportedFormat for a weight file that cannot be read."""
    files = {path: file_sha256(folder / path) for path in list_files(folder)}
    with open_tensors(folder, files) as found:
        return _described(files, kind, found)


def describe_file(path: str, file: Path, sha256: str) -> OutputDigest:
    """Digests of a folder that holds one weight file as `path`; its bytes lie in `file`, whose SHA-256 is known."""
    source = LocalFile(file)
    try:
        checkpoint = open_checkpoint({path: source})
        return _described({path: sha256}, "model", {name: (checkpoint, name) for name in checkpoint.tensors})
    finally:
        source.close()


def _described(files: dict[str, str], kind: str, found: Mapping[str, tuple[Checkpoint, str]]) -> OutputDigest:
    tensors = {}
    for key, (checkpoint, name) in sorted(found.items()):
        info, digest = checkpoint.tensors[name], hashlib.sha256()
        for piece in checkpoint.pieces(name):
            digest.update(piece)
        # Of a GGUF type that is not known no bytes are: the whole file stands for them.
        unknown = info.elements and not info.size_bytes
        sha256 = files[info.path] if unknown else digest.hexdigest()
        tensors[key] = TensorDigest(info.dtype, info.shape, sha256)
    weights = sha256_of(canonical_json(msgspec.to_builtins(tensors))) if tensors else None
    return OutputDigest(files, content_digest(files, kind), tensors, weights)


@contextmanager
def open_tensors(
    folder: Path, files: Mapping[str, str] | list[str]
) -> Iterator[dict[str, tuple[Checkpoint, str]]]:
    """All tensors of a folder's weight files: by name, with the file's path where two files have one of that name."""
    opened: dict[str, Checkpoint] = {}
    with ExitStack() as stack:
        for path in sorted(files):
            if path.lower().endswith(WEIGHT_SUFFIXES):
                file = LocalFile(folder / path)
                stack.callback(file.close)
                opened[path] = open_checkpoint({path: file})
        uses = Counter(name for checkpoint in opened.values() for name in checkpoint.tensors)
        yield {
            name if uses[name] == 1 else f"{path}:{name}": (checkpoint, name)
            for path, checkpoint in opened.items()
            for name in checkpoint.tensors
        }
