"""Results in a model card's `model-index`, as the Hub's clients read them.

Only the lines of `model-index` are written anew; every other line of the card stays as it is, byte for byte.
"""

from __future__ import annotations

import re
from typing import Any

import msgspec
import yaml

from seedstock.core.errors import Invalid
from seedstock.metadata.card import parse_card

_KEY = "model-index"
_FENCE = re.compile(r"---[ \t]*\r?\n(.*?)^---[ \t]*\r?$", re.DOTALL | re.MULTILINE)


class CardResult(msgspec.Struct, frozen=True):
    """One result, in the card's terms."""

    dataset_name: str
    dataset_type: str
    revision: str
    args: dict[str, Any]
    score: float
    metric_args: dict[str, Any]
    source_name: str
    source_url: str

    def as_entry(self) -> dict[str, Any]:
        """The entry of `results`."""
        return {
            "task": {"type": "text-generation", "name": "Text generation"},
            "dataset": {
                "name": self.dataset_name,
                "type": self.dataset_type,
                "revision": self.revision,
                "args": self.args,
            },
            "metrics": [
                {
                    "type": "accuracy",
                    "name": "Accuracy",
                    "value": round(self.score, 6),
                    "args": self.metric_args,
                }
            ],
            "source": {"name": self.source_name, "url": self.source_url},
        }


def with_result(text: str, name: str, result: CardResult) -> str:
    """The card with the result; it takes the place of an earlier one on the same questions.

    `name` is what a model without an index is called in it. Raises Invalid for a card whose YAML cannot be read.
    """
    bom = "\ufeff" if text.startswith("\ufeff") else ""
    body = text.removeprefix("\ufeff")
    newline = "\r\n" if "\r\n" in body.partition("---")[2][:200] else "\n"
    match = _FENCE.match(body)
    if match is None:
        block = _dump(_merged([], name, result), newline)
        return f"{bom}---{newline}{block}---{newline}{body}"
    card = parse_card(text)
    if card.problem is not None:
        raise Invalid(f"The card's metadata cannot be read: {card.problem}", hint="correct README.md first")
    index = card.data.get(_KEY) or []
    if not isinstance(index, list) or not all(isinstance(model, dict) for model in index):
        raise Invalid("The card's model-index is not a list of models", hint="correct README.md first")
    front = match[1]
    start, end = _span(front)
    block = _dump(_merged(index, name, result), newline)
    front = f"{front[:start]}{block}{front[end:]}"
    return f"{bom}{body[: match.start(1)]}{front}{body[match.end(1) :]}"


def _span(front: str) -> tuple[int, int]:
    """Where the lines of the index are, in characters; an empty place at the end where there is none."""
    try:
        node = yaml.compose(front, Loader=yaml.SafeLoader)
    except yaml.YAMLError:  # what the reader of cards replaces, such as bytes that are no UTF-8
        raise Invalid("The card's metadata cannot be read", hint="correct README.md first") from None
    if node is None:
        return len(front), len(front)
    if not isinstance(node, yaml.MappingNode) or node.flow_style:
        raise Invalid(
            "The card's metadata is not written as lines of `key: value`", hint="correct README.md first"
        )
    for key, value in node.value:
        if key.value != _KEY:
            continue
        if "&" in front[key.start_mark.index : value.start_mark.index + 2] or _has_alias(front, value):
            raise Invalid("The card's model-index uses YAML anchors", hint="write them out first")
        return key.start_mark.index, _end(front, key.start_mark.index, value.end_mark.index)
    return len(front), len(front)


def _end(front: str, start: int, mark: int) -> int:
    """Where the lines of a value end: comments and blank lines that follow are not its own."""
    if front[mark - 1 : mark] != "\n":
        at = front.find("\n", mark)
        return len(front) if at < 0 else at + 1
    lines = front[start:mark].splitlines(keepends=True)
    while len(lines) > 1 and (not lines[-1].strip() or lines[-1].startswith("#")):
        lines.pop()
    return start + sum(map(len, lines))


def _has_alias(front: str, value: yaml.Node) -> bool:
    events = yaml.parse(front[value.start_mark.index - value.start_mark.column : value.end_mark.index])
    try:
        return any(isinstance(event, yaml.AliasEvent) or getattr(event, "anchor", None) for event in events)
    except yaml.YAMLError:
        return False


def _merged(index: list[Any], name: str, result: CardResult) -> list[Any]:
    """The index with the result in its first model."""
    fresh = result.as_entry()
    model = dict(index[0]) if index else {"name": name}
    results = model.get("results") or []
    if not isinstance(results, list):
        raise Invalid("The results of the card's model-index are no list", hint="correct README.md first")
    model["results"] = [old for old in results if not _same_questions(old, fresh)] + [fresh]
    return [model, *index[1:]]


def _same_questions(old: Any, fresh: dict[str, Any]) -> bool:
    if not isinstance(old, dict) or not isinstance(old.get("dataset"), dict):
        return False
    source = old.get("source")
    ours = isinstance(source, dict) and str(source.get("name", "")).startswith("Seedstock evaluation ")
    same = all(old["dataset"].get(key) == fresh["dataset"][key] for key in ("type", "revision", "args"))
    return ours and same


def _dump(index: list[Any], newline: str) -> str:
    text = yaml.safe_dump({_KEY: index}, sort_keys=False, allow_unicode=True, width=1_000_000)
    return text.replace("\n", newline)
