"""Which files of a repo or folder are the model, and what a file made of it is called."""

from __future__ import annotations

import re
from collections.abc import Mapping

from seedstock.core.errors import EntryNotFound, Invalid, UnsupportedFormat

_PART = re.compile(r"(?P<stem>.+)-\d{5}-of-\d{5}(?P<suffix>\.gguf|\.safetensors)\Z", re.IGNORECASE)
_NO_MODEL = re.compile(r"mmproj|adapter|lora|optimizer|imatrix|consolidated", re.IGNORECASE)


def pick_weights(sizes: Mapping[str, int], wanted: str | None) -> list[str]:
    """The files of the model: those that belong to `wanted`, or the safetensors in the top folder, or the largest GGUF.

    `sizes` are paths to bytes. Raises EntryNotFound, UnsupportedFormat.
    """
    if wanted is not None:
        if wanted not in sizes:
            raise EntryNotFound(f"There is no file {wanted[:200]!r}")
        if not wanted.lower().endswith((".gguf", ".safetensors")):
            raise UnsupportedFormat(
                f"{wanted[:200]!r} holds no weights that are read here: .safetensors or .gguf"
            )
        return sorted(path for path in sizes if _stem(path) == _stem(wanted))
    for suffix in (".safetensors", ".gguf"):
        sets: dict[str, list[str]] = {}
        for path in sizes:
            lower = path.lower()
            if (
                lower.endswith(suffix)
                and not _NO_MODEL.search(lower)
                and not (suffix[1] == "s" and "/" in lower)
            ):
                sets.setdefault(_stem(path), []).append(path)
        if sets:
            largest = max(sets, key=lambda stem: sum(sizes[path] for path in sets[stem]))
            return sorted(sets[largest])
    raise UnsupportedFormat("The repository holds no safetensors and no GGUF model")


def _stem(path: str) -> str:
    match = _PART.match(path)
    return f"{match['stem']}{match['suffix']}" if match else path


def file_name(source: str, target: str) -> str:
    """What the made file is called."""
    stem = re.sub(r"[-_.]gguf\Z", "", source, flags=re.IGNORECASE)
    if not stem:
        raise Invalid("The repository has no name to call the file by")
    return f"{stem}-{target}.gguf"
