"""Rows of .txt: paragraphs where blank lines divide the text, else lines."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import Any

from seedstock.adapt.rows.limits import Place
from seedstock.adapt.rows.lines import iter_lines

_LOOK_LINES = 1000
_PARAGRAPH_CHARACTERS = 1 << 16
"""A longer paragraph is divided at a line's end."""


def iter_text(path: Path, name: str, gzipped: bool) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield `{"text": ...}` per paragraph or line; a file is read by paragraphs if its first 1,000 lines have some."""
    blocks = _paragraphs if _has_paragraphs(path, name, gzipped) else _single_lines
    for number, text in blocks(iter_lines(path, name, gzipped)):
        yield Place(name, number), {"text": text}


def _has_paragraphs(path: Path, name: str, gzipped: bool) -> bool:
    lines = [line.strip() for _, line in islice(iter_lines(path, name, gzipped), _LOOK_LINES)]
    return "" in "\n".join(lines).strip("\n").split("\n")


def _single_lines(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    return ((number, line) for number, line in lines if line.strip())


def _paragraphs(lines: Iterator[tuple[int, str]]) -> Iterator[tuple[int, str]]:
    held: list[str] = []
    first = size = 0
    for number, line in lines:
        blank = not line.strip()
        if held and (blank or size + len(line) > _PARAGRAPH_CHARACTERS):
            yield first, "\n".join(held)
            held, size = [], 0
        if not blank:
            first = first if held else number
            held.append(line)
            size += len(line) + 1
    if held:
        yield first, "\n".join(held)
