"""The card of a converted model: what it was made from, to the byte, and how."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from seedstock.convert.plan import Plan

RECORD_SUFFIX = ".run-record.dsse.json"
"""Added to a file's name: the signed record of how it was made."""
_INHERITED = ("license", "license_name", "license_link", "language", "pipeline_tag")


class Origin(msgspec.Struct, frozen=True):
    """The exact source: repo, commit, and the SHA-256 of each file that was read."""

    repo: str
    commit: str
    files: Mapping[str, str]


def write_card(origin: Origin, inherited: Mapping[str, Any], plan: Plan, path: str, sha256: str) -> str:
    """README.md; `inherited` is the source card's front matter, of which the licence and the like are kept."""
    front = [f"{key}: {json.dumps(inherited[key])}" for key in _INHERITED if inherited.get(key)]
    front += [f"base_model: {origin.repo}", "base_model_relation: quantized", "library_name: gguf"]
    types = ", ".join(f"{count} in {dtype}" for dtype, count in plan.types.items())
    notes = [f"- {note}" for note in (*plan.notes, *fallback_note(plan))]
    how = "the weights were read tensor by tensor and rounded; nothing was trained, no calibration data was used."
    lines = [
        "---",
        *front,
        "---",
        "",
        f"# {origin.repo.partition('/')[2]}, {plan.target.name}",
        "",
        f"`{path}` was made by this hub from [{origin.repo}](/{origin.repo}) at commit `{origin.commit}`: {how}",
        "",
        "| | |",
        "|---|---|",
        f"| Tensors | {types} |",
        f"| SHA-256 of `{path}` | `{sha256}` |",
        *(f"| Read from `{_plain(name)}` | `{digest}` |" for name, digest in sorted(origin.files.items())),
        "",
        *notes,
        *([""] if notes else []),
        (
            f"`recipe.toml` makes every file here again, and `{path}{RECORD_SUFFIX}` is the signed record of how this one"
            " was made: `seedstock verify-record` reads it. Files that join it have records of their own."
        ),
    ]
    return "\n".join(lines).rstrip() + "\n"


def _plain(path: str) -> str:
    """A path that ends neither the code nor the cell it stands in."""
    return "".join(letter if letter.isprintable() and letter not in "`|" else "_" for letter in path)


def fallback_note(plan: Plan) -> tuple[str, ...]:
    """What a reader should know where rows do not fill blocks."""
    if not plan.fallbacks:
        return ()
    text = f"{plan.fallbacks} matrices have rows that are no multiple of 256 long"
    return (f"{text}: they are stored in a larger type than {plan.target.base}.",)
