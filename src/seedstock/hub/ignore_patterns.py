"""Patterns of `.gitignore` and `.gitattributes`, matched in time that does not explode.

Both files may come from anybody who uploads, and pathspec turns each wildcard into a loop that Python's
`re` tries in every combination: `*a*a*a*a*b` against 200 letters would hold a server for hours. Within a
segment, and between `**`, taking the leftmost place for each piece is as good as any other, for the next
wildcard takes up the rest; atomic groups say so.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from pathspec import GitIgnoreSpec
from pathspec.patterns.gitignore.spec import GitIgnoreSpecPattern

_ANY_FOLDERS = "(?:/.+)?"
_ANY_FOLDERS_FIRST = "(?:.+/)?"
_STARS = re.compile(r"(?:\[\^/\]\*){2,}")
# A wildcard, the text up to the next one in the same segment: escapes, sets, `?`, plain characters.
_PIECE = re.compile(
    r"(\[\^/\][*+])((?:\\.|\[\^/\](?![*+])|\[(?!\^/\])\^?\]?(?:\\.|[^\]\\])*\]|[^\[\\(.*+?^$|)/])+)(?=\[\^/\]\*)",
    re.DOTALL,
)


class _Pattern(GitIgnoreSpecPattern):
    """A pattern whose regular expression does not backtrack from one wildcard into another."""

    @classmethod
    def pattern_to_regex(cls, pattern: str) -> tuple[str | None, bool | None]:  # type: ignore[override]
        """See the base class."""
        regex, include = super().pattern_to_regex(pattern)
        return (None if regex is None else _atomic(regex)), include


def compile_patterns(lines: Iterable[str]) -> GitIgnoreSpec:
    """A matcher for lines of a `.gitignore`; the last line that matches decides."""
    return GitIgnoreSpec.from_lines(lines, _Pattern)


def _atomic(regex: str) -> str:
    regex = _PIECE.sub(r"(?>\1?\2)", _STARS.sub("[^/]*", regex))
    *parts, last = regex.split(_ANY_FOLDERS)
    if not parts:
        return regex
    first = parts[0].removeprefix("^").replace(_ANY_FOLDERS_FIRST, "(?:.+?/)??", 1)
    between = [f"(?>(?:/.+?)??{part}(?=/))" for part in parts[1:]]
    return "".join([f"^(?>{first}(?=/))", *between, _ANY_FOLDERS, last])
