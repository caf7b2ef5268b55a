"""What a row is to training, and which columns of a file it is made of."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum

import msgspec

from seedstock.adapt.rows.limits import brief
from seedstock.core.errors import Invalid


class Shape(StrEnum):
    """Which columns every row of an opened dataset has."""

    MESSAGES = "messages"
    PROMPT_COMPLETION = "prompt_completion"
    PROMPT = "prompt"
    PREFERENCE = "preference"
    TEXT = "text"

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of a row; a row may have more, under the file's own names."""
        return _COLUMNS[self]


_COLUMNS = {
    Shape.MESSAGES: ("messages",),
    Shape.PROMPT_COMPLETION: ("prompt", "completion"),
    Shape.PROMPT: ("prompt",),
    Shape.PREFERENCE: ("prompt", "chosen", "rejected"),
    Shape.TEXT: ("text",),
}

# Other names that the field uses for our columns, the likelier first.
ALIASES: Mapping[str, tuple[str, ...]] = {
    "messages": ("messages", "conversations", "conversation", "dialog"),
    "prompt": ("prompt", "question", "instruction", "problem", "query"),
    "completion": ("completion", "response", "output", "answer", "solution"),
    "chosen": ("chosen",),
    "rejected": ("rejected",),
    "text": ("text", "content", "document"),
    "input": ("input", "context"),
    "system": ("system", "system_prompt"),
}

METHOD_SHAPES: Mapping[str, tuple[Shape, ...]] = {
    "sft": (Shape.MESSAGES, Shape.PROMPT_COMPLETION, Shape.TEXT),
    "pretrain": (Shape.TEXT,),
    "dpo": (Shape.PREFERENCE,),
    "grpo": (Shape.PROMPT,),
    "distil": (Shape.MESSAGES, Shape.PROMPT_COMPLETION, Shape.PROMPT),
    "sample": (Shape.PROMPT,),
    "eval": (Shape.PROMPT,),
}
"""What each method reads, the shape that is taken first where columns allow several."""
_ANY = (Shape.PREFERENCE, Shape.MESSAGES, Shape.PROMPT_COMPLETION, Shape.PROMPT, Shape.TEXT)


class Mapped(msgspec.Struct, frozen=True):
    """A shape, and for each of its columns the file's column that it is read from."""

    shape: Shape
    sources: dict[str, str]

    def __str__(self) -> str:
        """What was taken for what, for the log and the form."""
        parts = [
            f"{ours} from {theirs!r}" if ours != theirs else repr(ours)
            for ours, theirs in self.sources.items()
        ]
        return f"Rows are read as {self.shape.value}: {', '.join(parts)}"


def map_columns(found: Sequence[str], columns: Mapping[str, str], method: str, where: str) -> Mapped:
    """Choose the shape for a method (`""`: any) from the columns that a file has.

    `columns` says which of the file's columns is ours (`{"prompt": "frage"}`); what it leaves out is found
    by the usual names. Raises Invalid naming the columns found and wanted.
    """
    if method and method not in METHOD_SHAPES:
        raise Invalid(
            f"{brief(method)} is no method that reads rows", hint=f"One of {', '.join(METHOD_SHAPES)}"
        )
    _check_choice(found, columns, where)
    for shape in METHOD_SHAPES.get(method, _ANY):
        sources = _sources(shape, found, columns)
        if sources is not None and set(columns) <= set(sources):
            return Mapped(shape, sources)
    chosen = (
        f" with {', '.join(f'{ours} from {brief(theirs)}' for ours, theirs in columns.items())}"
        if columns
        else ""
    )
    raise Invalid(
        f"{where}: no columns for {method or 'training'}{chosen}; it has {_named(found)}",
        hint=_wanted(method),
    )


def _check_choice(found: Sequence[str], columns: Mapping[str, str], where: str) -> None:
    for ours, theirs in columns.items():
        if ours not in ALIASES:
            raise Invalid(
                f"{brief(ours)} is no column of training data", hint=f"Map one of {', '.join(ALIASES)}"
            )
        if theirs not in found:
            raise Invalid(
                f"{where}: there is no column {brief(theirs)}; it has {_named(found)}",
                hint=f"Name the column that holds `{ours}`",
            )


def _sources(shape: Shape, found: Collection[str], columns: Mapping[str, str]) -> dict[str, str] | None:
    """For each column of the shape the file's; None where one is missing."""
    sources: dict[str, str] = {}
    for ours in shape.columns:
        theirs = columns.get(ours) or _find(ours, found, columns)
        if theirs is None and shape in {Shape.PROMPT, Shape.PREFERENCE} and ours == "prompt":
            theirs = _without_prompt(shape, found, columns)
        if theirs is None:
            return None
        sources[ours] = theirs
    return sources | _companions(shape, sources, found, columns)


def _companions(
    shape: Shape, sources: Mapping[str, str], found: Collection[str], columns: Mapping[str, str]
) -> dict[str, str]:
    """What is read along with the shape's own columns where it is there."""
    companions: dict[str, str] = {}
    if sources.get("prompt") == "instruction" or ("input" in columns and "prompt" in sources):
        companions["input"] = columns.get("input") or _find("input", found, columns) or ""
    if shape is not Shape.TEXT:
        companions["system"] = columns.get("system") or _find("system", found, columns) or ""
    return {ours: theirs for ours, theirs in companions.items() if theirs}


def _find(ours: str, found: Collection[str], columns: Mapping[str, str]) -> str | None:
    taken = set(columns.values())
    return next((name for name in ALIASES[ours] if name in found and name not in taken), None)


def _without_prompt(shape: Shape, found: Collection[str], columns: Mapping[str, str]) -> str | None:
    """Prompts may be the beginning of a conversation: of `messages`, or what chosen and rejected share."""
    if shape is Shape.PREFERENCE:
        return columns.get("chosen") or _find("chosen", found, columns)
    return columns.get("messages") or _find("messages", found, columns)


def _named(found: Sequence[str]) -> str:
    shown = ", ".join(brief(name, 40) for name in found[:12])
    more = f" and {len(found) - 12} more" if len(found) > 12 else ""
    return f"the columns {shown}{more}" if found else "no columns"


def _wanted(method: str) -> str:
    shapes = METHOD_SHAPES.get(method, _ANY)
    wanted = "; or ".join(" and ".join(f"`{name}`" for name in shape.columns) for shape in shapes)
    return f"Wanted: {wanted}. Rename the columns, or say which is which: columns: {{prompt: your_column}}"
