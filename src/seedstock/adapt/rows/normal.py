"""One row as the file has it, made into the columns of its shape, or refused with the reason."""

from __future__ import annotations

from typing import Any

from seedstock.adapt.rows.conversation import Message, as_messages, check_depth, check_text, kind_of
from seedstock.adapt.rows.limits import Place, bad, brief
from seedstock.adapt.rows.shapes import Mapped, Shape

Row = dict[str, Any]
_NO_ANSWER = "Leave the row out: there is nothing to learn from it"


def normal_row(row: Row, mapped: Mapped, place: Place) -> Row:
    """The row in its shape, the file's other columns kept. Raises Invalid naming place and column."""
    for ours, theirs in mapped.sources.items():
        if theirs not in row and ours in mapped.shape.columns:
            columns = ", ".join(brief(name, 40) for name in list(row)[:12]) or "none"
            raise bad(
                place,
                f"there is no column {brief(theirs)}; columns are {columns}",
                "Give all rows the same columns",
            )
    for name, value in row.items():
        if isinstance(value, list | dict) and name not in mapped.sources.values():
            check_depth(value, name, place)
    return {**row, **_SHAPED[mapped.shape](row, mapped, place)}


def kinds(row: Row, shape: Shape) -> dict[str, str]:
    """Whether each column of the shape is text or messages, to be compared between rows."""
    return {name: "a list of messages" if isinstance(row[name], list) else "text" for name in shape.columns}


def _text(row: Row, mapped: Mapped, place: Place) -> Row:
    return {"text": _string(row, mapped.sources["text"], place, empty="Leave the row out")}


def _messages(row: Row, mapped: Mapped, place: Place) -> Row:
    column = mapped.sources["messages"]
    turns = _with_system(as_messages(row[column], column, place), row, mapped, place)
    _check_answer(turns, column, place)
    return {"messages": turns}


def _prompt(row: Row, mapped: Mapped, place: Place) -> Row:
    return {"prompt": _read_prompt(row, mapped, place)}


def _read_prompt(row: Row, mapped: Mapped, place: Place) -> str | list[Message]:
    column = mapped.sources["prompt"]
    value = row[column]
    if isinstance(value, list):
        turns = as_messages(value, column, place)
        turns = _before_answer(turns, column, place)
        return _with_system(turns, row, mapped, place)
    prompt = _string(row, column, place, empty="A prompt needs text")
    extra = row.get(mapped.sources.get("input", ""))
    if isinstance(extra, str) and extra.strip():
        prompt = f"{prompt}\n\n{extra}"
    if "system" in mapped.sources:
        return _with_system([{"role": "user", "content": prompt}], row, mapped, place)
    return prompt


def _prompt_completion(row: Row, mapped: Mapped, place: Place) -> Row:
    prompt = _read_prompt(row, mapped, place)
    column = mapped.sources["completion"]
    completion = _answer(row[column], column, place)
    return _alike({"prompt": prompt, "completion": completion})


def _preference(row: Row, mapped: Mapped, place: Place) -> Row:
    columns = [mapped.sources[ours] for ours in ("chosen", "rejected")]
    chosen, rejected = (_answer(row[column], column, place) for column in columns)
    if isinstance(chosen, list) != isinstance(rejected, list):
        raise bad(
            place, f"{brief(columns[0])} and {brief(columns[1])} are not alike", "Both text, or both messages"
        )
    if isinstance(chosen, list) and isinstance(rejected, list):
        shared = _shared(chosen, rejected)
        prompt = chosen[:shared]
        if prompt:
            prompt = _with_system(prompt, row, mapped, place)
            return {"prompt": prompt, "chosen": chosen[shared:], "rejected": rejected[shared:]}
    if mapped.sources["prompt"] == columns[0]:
        raise bad(place, "there is no prompt: chosen and rejected begin differently", "Add a column `prompt`")
    return _alike({"prompt": _read_prompt(row, mapped, place), "chosen": chosen, "rejected": rejected})


def _answer(value: Any, column: str, place: Place) -> str | list[Message]:
    if isinstance(value, list):
        turns = as_messages(value, column, place)
        _check_answer(turns, column, place)
        return turns
    if not isinstance(value, str):
        raise bad(place, f"{brief(column)} is {kind_of(value)}, not text", "Write it as a string")
    return check_text(value, column, place, empty=_NO_ANSWER)


def _string(row: Row, column: str, place: Place, *, empty: str) -> str:
    value = row[column]
    if not isinstance(value, str):
        raise bad(place, f"{brief(column)} is {kind_of(value)}, not text", "Write it as a string")
    return check_text(value, column, place, empty=empty)


def _check_answer(turns: list[Message], column: str, place: Place) -> None:
    said = [turn for turn in turns if turn["role"] == "assistant"]
    if not said:
        raise bad(place, f"{brief(column)} has no turn of the assistant", _NO_ANSWER)
    if not any(turn["content"].strip() or turn.get("tool_calls") for turn in said):
        raise bad(place, f"all turns of the assistant in {brief(column)} are empty", _NO_ANSWER)


def _before_answer(turns: list[Message], column: str, place: Place) -> list[Message]:
    """A prompt given as a whole conversation ends before its last answer."""
    end = len(turns)
    while end and turns[end - 1]["role"] == "assistant":
        end -= 1
    if not end:
        raise bad(place, f"{brief(column)} is the assistant's alone: there is no prompt", "Leave the row out")
    return turns[:end]


def _with_system(turns: list[Message], row: Row, mapped: Mapped, place: Place) -> list[Message]:
    column = mapped.sources.get("system", "")
    system = row.get(column)
    if system is not None and not isinstance(system, str):
        raise bad(place, f"{brief(column)} is {kind_of(system)}, not text", "Write it as a string")
    if not system or not system.strip() or turns[0]["role"] == "system":
        return turns
    return [{"role": "system", "content": system}, *turns]


def _shared(chosen: list[Message], rejected: list[Message]) -> int:
    """Messages at the beginning that both have; the answers themselves are left out."""
    most = min(len(chosen), len(rejected)) - 1
    return next((index for index in range(most) if chosen[index] != rejected[index]), most)


def _alike(row: Row) -> Row:
    """All columns as messages where one is."""
    if not any(isinstance(value, list) for value in row.values()):
        return row
    return conversational(row)


def conversational(row: Row) -> Row:
    """The row with the texts of a prompt and its answers made into messages: for bases with a chat template."""
    return {
        name: [{"role": _ROLE_OF[name], "content": value}]
        if name in _ROLE_OF and isinstance(value, str)
        else value
        for name, value in row.items()
    }


_ROLE_OF = {"prompt": "user", "completion": "assistant", "chosen": "assistant", "rejected": "assistant"}
_SHAPED = {
    Shape.TEXT: _text,
    Shape.MESSAGES: _messages,
    Shape.PROMPT: _prompt,
    Shape.PROMPT_COMPLETION: _prompt_completion,
    Shape.PREFERENCE: _preference,
}
