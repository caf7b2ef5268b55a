"""Which files of a folder are the dataset, and which of them are a split, by the Hub's conventions."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath

from seedstock.adapt.rows.limits import MAX_FILES, brief
from seedstock.core.errors import Invalid

FORMATS: Mapping[str, str] = {
    ".jsonl": "jsonl", ".ndjson": "jsonl", ".json": "json", ".csv": "csv", ".tsv": "tsv",
    ".parquet": "parquet", ".txt": "txt",
}  # fmt: skip
READ = ".jsonl, .json, .csv, .tsv, .txt (each also with .gz) and .parquet"
# Files that describe a dataset or a project, not rows.
_NOT_DATA = {
    "dataset_info.json", "dataset_infos.json", "dataset_dict.json", "state.json", "config.json", "package.json",
    "readme.txt", "license.txt", "licence.txt", "notice.txt", "requirements.txt", "croissant.json",
}  # fmt: skip
_SPLITS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_WORDS = {word: split for split, words in _SPLITS.items() for word in words}


def format_of(name: str) -> tuple[str, bool] | None:
    """The format of a file by its name, and whether it is gzipped; None for what is no data file."""
    path = PurePosixPath(name.lower())
    gzipped = path.suffix == ".gz"
    kind = FORMATS.get(path.with_suffix("").suffix if gzipped else path.suffix)
    return None if kind is None or (gzipped and kind == "parquet") else (kind, gzipped)


def splits_of(folder: Path) -> dict[str, tuple[str, ...]]:
    """The data files of a folder by split, sorted by name; all are `train` where no name tells a split."""
    found = sorted(_data_files(folder))
    if any(_kind(name) != "txt" for name in found):
        found = [name for name in found if _kind(name) != "txt"]
    named: dict[str, list[str]] = {}
    for name in found:
        named.setdefault(_split(name), []).append(name)
    if set(named) == {""}:
        named["train"] = named[""]
    named.pop("", None)
    return {split: tuple(names) for split, names in named.items()}


def choose_files(folder: Path, files: Sequence[str], split: str) -> tuple[str, ...]:
    """The files to read, sorted by name. Raises Invalid where there are none or they are copies of each other."""
    if files:
        return _given(folder, files)
    splits = splits_of(folder)
    if not splits:
        raise Invalid(f"There is no data file: {_present(folder)}", hint=f"Read are {READ}")
    if split not in splits:
        raise Invalid(
            f"There is no split {brief(split)}; there is {', '.join(splits)}",
            hint="Name one of these, or the files",
        )
    _one_format(splits[split])
    return splits[split]


def _given(folder: Path, files: Sequence[str]) -> tuple[str, ...]:
    present = sorted(_walk(folder))
    chosen: set[str] = set()
    for pattern in files:
        matched = [name for name in present if name == pattern or fnmatchcase(name, pattern)]
        if not matched:
            raise Invalid(f"There is no file {brief(pattern)}", hint="Paths and patterns start at the folder")
        for name in matched:
            if format_of(name) is None:
                raise Invalid(f"{brief(name)} is in no format that is read", hint=f"Read are {READ}")
        chosen.update(matched)
    return tuple(sorted(chosen))


def _one_format(names: Sequence[str]) -> None:
    kinds = {_kind(name): name for name in reversed(names)}
    if len(kinds) > 1:
        raise Invalid(
            f"Files in several formats, which may be copies of each other: {', '.join(sorted(kinds.values()))}",
            hint="Name the files to read",
        )


def _kind(name: str) -> str:
    kind = format_of(name)
    return kind[0] if kind else ""


def _split(name: str) -> str:
    """The split that the last telling word of a path names; `""`: none. Words end at anything but letters."""
    for part in reversed(PurePosixPath(name.lower()).parts):
        for word in re.findall(r"[a-z]+", part.split(".")[0]):
            if word in _WORDS:
                return _WORDS[word]
    return ""


def _data_files(folder: Path) -> Iterator[str]:
    for name in _walk(folder):
        if format_of(name) is not None and PurePosixPath(name).name.lower() not in _NOT_DATA:
            yield name


def _walk(folder: Path) -> Iterator[str]:
    """Files below the folder as POSIX paths, none hidden; folders that are links are not followed."""
    seen = 0
    for top, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith((".", "_")))
        for name in names:
            seen += 1
            if seen > MAX_FILES:
                raise Invalid(f"More than {MAX_FILES} files", hint="Put the rows into fewer files")
            if not name.startswith("."):
                yield (Path(top) / name).relative_to(folder).as_posix()


def _present(folder: Path) -> str:
    names = sorted(_walk(folder))
    if not names:
        return "the folder is empty"
    return f"found only {', '.join(brief(name) for name in names[:5])}" + (" ..." if len(names) > 5 else "")
