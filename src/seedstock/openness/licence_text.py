"""Which licence a LICENSE file holds, told by phrases that its text must contain and must not.

The phrases are compared after case, punctuation and line breaks are taken away. A match says that the wording
is there; conditions that were added to it are looked for by a few known phrases and reported as `modified`.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from functools import lru_cache

import msgspec

MAX_TEXT_CHARS = 128 << 10  # the longest known text, GPL-3.0, has 35 kB
_LICENCE_FILE = re.compile(r"(?:\A|/)(?:un)?(?:licen[cs]e|copying)[^/]*\Z", re.IGNORECASE)
_NOT_A_LICENCE = re.compile(r"use[_ -]?policy|acceptable", re.IGNORECASE)
_NOT_THE_WEIGHTS = re.compile(r"licen[cs]e[-_.](?:code|software|docs?|documentation)\b", re.IGNORECASE)
_NOT_WORDS = re.compile(r"[^a-z0-9+]+")

_CC_BODY = "licensed material"
_LLAMA = ("llama materials", "monthly active users")
_RAIL = ("use based restrictions", "attachment a")
_BSD = (
    "redistribution and use in source and binary forms with or without modification are permitted",
    "redistributions of source code must retain",
    "redistributions in binary form must reproduce",
)
_ENDORSE = "endorse or promote products derived from this software"
# Conditions that are known to be added to permissive texts.
_ADDED = (
    "non commercial", "noncommercial", "commons clause", "monthly active users", "annual revenue", "monthly revenue",
    "use based restrictions", "military", "may not be used for commercial",
)  # fmt: skip
_ADDABLE = frozenset(
    {"mit", "apache-2.0", "bsd-2-clause", "bsd-3-clause", "isc", "unlicense", "cc-by-4.0", "cc0-1.0"}
)
_OWN_WORDS = {"cc-by-4.0": {"non commercial", "noncommercial"}}


class _Mark(msgspec.Struct, frozen=True):
    licence: str
    phrases: tuple[str, ...]
    absent: tuple[str, ...] = ()


def _cc(licence: str, words: str) -> _Mark:
    return _Mark(licence, (f"creative commons {words} 4 0 international public license", _CC_BODY))


_MARKS = (
    _Mark(
        "mit",
        (
            "permission is hereby granted free of charge to any person obtaining a copy",
            "the above copyright notice and this permission notice shall be included in all copies",
            "the software is provided as is without warranty of any kind",
        ),
    ),
    _Mark("apache-2.0", ("apache license version 2 0 january 2004", "grant of patent license", "redistribution")),
    _Mark("apache-2.0", ("licensed under the apache license version 2 0", "except in compliance with the license")),
    _Mark("bsd-2-clause", _BSD, (_ENDORSE, "all advertising materials")),
    _Mark("bsd-3-clause", (*_BSD, _ENDORSE), ("all advertising materials",)),
    _Mark("isc", ("permission to use copy modify and or distribute this software for any purpose with or without fee",)),
    _Mark("unlicense", ("this is free and unencumbered software released into the public domain",)),
    _Mark("gpl-2.0", ("gnu general public license version 2 june 1991", "verbatim copies")),
    _Mark("gpl-3.0", ("gnu general public license version 3 29 june 2007", "verbatim copies")),
    _Mark("agpl-3.0", ("gnu affero general public license version 3 19 november 2007", "verbatim copies")),
    _Mark("lgpl-3.0", ("gnu lesser general public license version 3 29 june 2007", "the library")),
    _Mark("lgpl-2.1", ("gnu lesser general public license version 2 1 february 1999", "the library")),
    _Mark("mpl-2.0", ("mozilla public license version 2 0", "covered software", "larger work")),
    _Mark("cc0-1.0", ("cc0 1 0 universal", "statement of purpose", "affirmer")),
    _cc("cc-by-4.0", "attribution"),
    _cc("cc-by-sa-4.0", "attribution sharealike"),
    _cc("cc-by-nc-4.0", "attribution noncommercial"),
    _cc("cc-by-nc-sa-4.0", "attribution noncommercial sharealike"),
    _cc("cc-by-nd-4.0", "attribution noderivatives"),
    _cc("cc-by-nc-nd-4.0", "attribution noncommercial noderivatives"),
    _Mark("odbl-1.0", ("open database license", "derivative database", "produced work")),
    _Mark("cdla-permissive-2.0", ("community data license agreement permissive version 2 0", "data recipient")),
    _Mark("openmdw-1.0", ("openmdw license agreement version 1 0", "model materials")),
    _Mark("openmdw-1.1", ("openmdw license agreement version 1 1", "model materials")),
    _Mark("creativeml-openrail-m", ("creativeml open rail m", *_RAIL)),
    _Mark("openrail++", ("creativeml open rail++ m", *_RAIL)),
    _Mark("bigscience-openrail-m", ("bigscience open rail m", *_RAIL), ("bigcode",)),
    _Mark("bigscience-bloom-rail-1.0", ("bigscience rail license v1 0", *_RAIL)),
    _Mark("bigcode-openrail-m", ("bigcode open rail m", "attachment a")),
    _Mark("llama2", ("llama 2 community license agreement", *_LLAMA)),
    _Mark("llama3", ("meta llama 3 community license agreement", *_LLAMA)),
    _Mark("llama3.1", ("llama 3 1 community license agreement", *_LLAMA)),
    _Mark("llama3.2", ("llama 3 2 community license agreement", *_LLAMA)),
    _Mark("llama3.3", ("llama 3 3 community license agreement", *_LLAMA)),
    _Mark("llama4", ("llama 4 community license agreement", *_LLAMA)),
    _Mark("gemma", ("gemma terms of use", "model derivatives", "prohibited use policy")),
    _Mark("deepseek", ("deepseek license agreement", *_RAIL)),
    _Mark("tongyi-qianwen", ("tongyi qianwen license agreement", "materials", "monthly active users")),
    _Mark("qwen", ("qwen license agreement", "materials", "monthly active users"), ("tongyi qianwen license",)),
    _Mark("qwen-research", ("qwen research license agreement", "materials")),
    _Mark("mistral-research", ("mistral ai research license", "derivatives")),
    _Mark("stability-ai-community", ("stability ai community license agreement", "stability ai materials")),
    _Mark("nvidia-open-model", ("nvidia open model license", "trustworthy ai")),
)  # fmt: skip


class TextMatch(msgspec.Struct, frozen=True):
    """A licence that a text may be. `share` of its phrases were found; only `complete` supports a statement."""

    licence: str
    share: float
    complete: bool
    modified: bool = False


def normalise(text: str) -> str:
    """Words in lower case, one space apart."""
    plain = unicodedata.normalize("NFKC", text[:MAX_TEXT_CHARS]).lower()
    return _NOT_WORDS.sub(" ", plain).strip()


@lru_cache(maxsize=64)  # the same few texts stand all along a family; reading one of 128 kB takes 10 ms
def identify_text(text: str) -> tuple[TextMatch, ...]:
    """Licences whose wording a text holds, best first; empty when none is recognised."""
    words = normalise(text)
    found: dict[str, TextMatch] = {}
    for mark in _MARKS:
        hits = sum(phrase in words for phrase in mark.phrases)
        share = hits / len(mark.phrases)
        if mark.phrases[0] not in words or any(phrase in words for phrase in mark.absent):
            continue
        complete = hits == len(mark.phrases)
        match = TextMatch(
            mark.licence, round(share, 3), complete, complete and _is_modified(mark.licence, words)
        )
        known = found.get(mark.licence)
        if known is None or match.share > known.share:
            found[mark.licence] = match
    return tuple(sorted(found.values(), key=lambda match: (-match.share, match.licence)))


def _is_modified(licence: str, words: str) -> bool:
    own = _OWN_WORDS.get(licence, set())
    return licence in _ADDABLE and any(phrase in words for phrase in _ADDED if phrase not in own)


def is_licence_file(path: str) -> bool:
    """Whether a path is that of a licence's text, going by its name."""
    return bool(_LICENCE_FILE.search(path)) and not _NOT_A_LICENCE.search(path)


def licences_in(texts: Mapping[str, str]) -> dict[str, tuple[TextMatch, ...]]:
    """Complete matches by path, for the licence files among some texts; empty tuple where none is recognised."""
    return {
        path: tuple(match for match in identify_text(texts[path]) if match.complete)
        for path in sorted(texts)
        if is_licence_file(path)
    }


def covers_weights(path: str) -> bool:
    """Whether a licence file at the top is about the model itself, not about code or documents beside it."""
    return "/" not in path and not _NOT_THE_WEIGHTS.match(path)
