"""Questions out of a dataset of the hub: a task file beside the rows says which columns are what.

prompt: question            # a column; or a template with columns in braces: "Q: {question}"
answer: answer              # a column: a text, or a list of which any will do
metric: exact               # exact, contains or choice
choices: options            # of choice: a column with the list of options; answer is a letter, a number or a text
split: test                 # optional, as are `files`, `name` and `max_tokens`
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec

from seedstock.adapt.rows.files import choose_files
from seedstock.adapt.rows.limits import Place, bad, brief
from seedstock.adapt.rows.read import iter_rows
from seedstock.adapt.yaml_lines import read_yaml
from seedstock.core.errors import Invalid
from seedstock.evaluation.items import MAX_ITEMS, MAX_PROMPT_CHARS, Check, Item

TASK_FILE = "eval.yaml"
_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_COLUMN = re.compile(r"\{([^{}\n]{1,100})\}")
_MAX_ANSWERS = 100
_MAX_ANSWER_CHARS = 10_000


class TaskFile(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a task file says."""

    prompt: Annotated[str, msgspec.Meta(min_length=1, max_length=4000)]
    answer: Annotated[str, msgspec.Meta(min_length=1, max_length=100)]
    metric: Literal["exact", "contains", "choice"] = "exact"
    choices: Annotated[str, msgspec.Meta(max_length=100)] | None = None
    name: Annotated[str, msgspec.Meta(max_length=100)] = ""
    split: Annotated[str, msgspec.Meta(max_length=100)] = "test"
    files: Annotated[tuple[str, ...], msgspec.Meta(max_length=100)] = ()
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=8192)] = 256


def read_task(data: bytes, name: str = TASK_FILE) -> TaskFile:
    """Read a task file. Raises Invalid saying what is wrong in it."""
    task = read_yaml(data, name).convert(TaskFile)
    if (task.metric == "choice") != (task.choices is not None):
        raise Invalid(f"{name}: `choices` is for the metric `choice`, which needs it")
    return task


def read_items(task: TaskFile, folder: Path, seed: int, limit: int | None) -> list[Item]:
    """The items of the rows in `folder`, in their order; with a limit, so many of them drawn by the seed.

    Raises Invalid naming the row that cannot be read.
    """
    items = list(iter_items(task, folder))
    return [items[number] for number in drawn(len(items), seed, limit)]


def drawn(count: int, seed: int, limit: int | None) -> list[int]:
    """The numbers of the rows that are asked, of so many. Raises Invalid where there are none."""
    if not count:
        raise Invalid("The dataset has no rows to ask")
    if limit is None or limit >= count:
        return list(range(count))
    return sorted(random.Random(f"rows:{seed}").sample(range(count), limit))  # noqa: S311 - reproducible, no secret


def iter_items(task: TaskFile, folder: Path) -> Iterator[Item]:
    """The items of all rows, one at a time. Raises Invalid."""
    number = 0
    for name in choose_files(folder, task.files, task.split):
        for place, row in iter_rows(folder, name):
            if number == MAX_ITEMS:
                raise Invalid(
                    f"The dataset has more than {MAX_ITEMS:,} rows", hint="name smaller files, or a split"
                )
            yield _item(task, row, place, f"{number:05d}")
            number += 1


def _item(task: TaskFile, row: dict[str, Any], place: Place, id: str) -> Item:
    prompt = _prompt(task.prompt, row, place)
    wanted = _value(row, task.answer, place)
    if task.metric != "choice":
        texts = _texts(wanted, task.answer, place)
        return Item(id, prompt, (Check(task.metric, texts=texts),), target=texts[0])
    assert task.choices is not None
    options = _texts(_value(row, task.choices, place), task.choices, place)
    if not 2 <= len(options) <= len(_LETTERS):
        raise bad(
            place,
            f"{brief(task.choices)} holds {len(options)} options",
            f"from 2 to {len(_LETTERS)} are read",
        )
    letter = _letter(wanted, options, task.answer, place)
    listed = "\n".join(f"{_LETTERS[at]}. {option}" for at, option in enumerate(options))
    text = f"{prompt}\n\n{listed}\n\nEnd with a line of the form `Answer: <letter>`."
    return Item(id, text, (Check("choice", text=letter),), target=letter)


def _prompt(template: str, row: dict[str, Any], place: Place) -> str:
    if template in row:
        text = _text(row[template], template, place)
    else:
        names = set(_COLUMN.findall(template))
        if not names:
            raise bad(
                place, f"no column {brief(template)}", f"there are {', '.join(map(str, list(row)[:20]))}"
            )
        values = {name: _text(_value(row, name, place), name, place) for name in names}
        text = _COLUMN.sub(lambda match: values[match[1]], template)
    if not text.strip() or len(text) > MAX_PROMPT_CHARS:
        raise bad(place, "the prompt is empty or too long", f"at most {MAX_PROMPT_CHARS:,} characters")
    return text


def _value(row: dict[str, Any], column: str, place: Place) -> Any:
    if column not in row:
        raise bad(place, f"no column {brief(column)}", f"there are {', '.join(map(str, list(row)[:20]))}")
    return row[column]


def _text(value: Any, column: str, place: Place) -> str:
    if isinstance(value, str) and "\0" not in value:
        try:
            value.encode()
        except UnicodeEncodeError:
            raise bad(place, f"{brief(column)} is no text", "lone surrogates are not read") from None
        return value
    if isinstance(value, int | float) and not isinstance(value, bool):
        return str(value)
    raise bad(
        place, f"{brief(column)} is neither a text nor a number", "name another column in the task file"
    )


def _texts(value: Any, column: str, place: Place) -> tuple[str, ...]:
    values = value if isinstance(value, list) else [value]
    texts = tuple(_text(one, column, place).strip() for one in values)
    if (
        not texts
        or len(texts) > _MAX_ANSWERS
        or not all(0 < len(text) <= _MAX_ANSWER_CHARS for text in texts)
    ):
        raise bad(
            place, f"{brief(column)} holds nothing, or too much", f"from 1 to {_MAX_ANSWERS} texts are read"
        )
    return texts


def _letter(wanted: Any, options: tuple[str, ...], column: str, place: Place) -> str:
    """The letter of the right option, named by number from 0, by letter or by its text."""
    if isinstance(wanted, int) and not isinstance(wanted, bool) and 0 <= wanted < len(options):
        return _LETTERS[wanted]
    text = _text(wanted, column, place).strip()
    if options.count(text) == 1:
        return _LETTERS[options.index(text)]
    if len(text) == 1 and text.upper() in _LETTERS[: len(options)]:
        return text.upper()
    raise bad(
        place, f"{brief(text)} is none of the options", "name its letter, its number from 0, or its text"
    )
