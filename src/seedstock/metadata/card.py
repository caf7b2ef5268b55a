"""README.md front matter: YAML to JSON values, with bounds on size, depth and alias expansion.

Scalars follow YAML 1.2 (`no` is text, `true` is a boolean) as the public hub reads them; the fields that
become tags keep their source text whatever it looks like. A card that cannot be read is an empty card that
says why: a commit never fails over its README.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import msgspec
import yaml

from seedstock.core.names import RepoType

MAX_FRONT_MATTER_BYTES = 1 << 20
MAX_EXPANDED = 4 << 20  # characters and nodes after aliases are expanded
MAX_DEPTH = 64

TEXT_FIELDS = frozenset(
    "license license_name license_link language tags library_name pipeline_tag datasets base_model metrics"
    " base_model_relation task_categories task_ids size_categories annotations_creators language_creators"
    " multilinguality source_datasets pretty_name sdk sdk_version title".split()
)
SINGLE_FIELDS = ("pipeline_tag", "library_name", "base_model_relation", "license_name")
LIST_FIELDS = ("license", "language", "tags", "base_model", "datasets", "task_categories", "size_categories")
RELATIONS = frozenset({"finetune", "adapter", "merge", "quantized"})

_FENCE = re.compile(r"---[ \t]*\n(.*?)^---[ \t]*$\n?", re.DOTALL | re.MULTILINE)
_INTEGER = re.compile(r"[-+]?[0-9]{1,18}\Z")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,2})?\Z")
_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8})*\Z|code\Z|multilingual\Z")
_WORDS = {"true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False}
_NULLS = frozenset({"", "~", "null", "Null", "NULL"})
_YAML_TAG = "tag:yaml.org,2002:"
_COLLECTION_TAGS = frozenset({None, "!", f"{_YAML_TAG}map", f"{_YAML_TAG}seq"})
_LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)


class CardProblem(msgspec.Struct, frozen=True):
    """Why a front matter could not be read; `line` counts from 1 in README.md."""

    message: str
    line: int | None = None

    def __str__(self) -> str:
        return self.message if self.line is None else f"line {self.line}: {self.message}"


class Card(msgspec.Struct, frozen=True):
    """A README: front matter as JSON values, the text below it, and the fault that emptied `data` if any."""

    data: dict[str, Any]
    body: str
    problem: CardProblem | None = None


class CardReport(msgspec.Struct, frozen=True):
    """The verdict of `validate_yaml`; a commit may go ahead when `errors` is empty."""

    errors: tuple[str, ...]
    warnings: tuple[str, ...]


class _Collection:
    """A list or mapping being built, and what it weighs once aliases are expanded."""

    def __init__(self, anchor: str | None, field: str | None, is_mapping: bool) -> None:
        self.anchor = anchor
        self.field = field
        self.is_mapping = is_mapping
        self.mapping: dict[str, Any] = {}
        self.items: list[Any] = []
        self.key: str | None = None
        self.weight = 1


def parse_card(content: bytes | str) -> Card:
    """Split README.md into card and text. Never raises: malformed YAML gives an empty card and its problem."""
    text = content.decode("utf-8", "replace") if isinstance(content, bytes) else content
    text = text.removeprefix("\ufeff").replace("\r\n", "\n")
    match = _FENCE.match(text)
    if match is None:
        return Card(data={}, body=text)
    body = text[match.end() :]
    source = match[1].encode("utf-8", "replace")
    if len(source) > MAX_FRONT_MATTER_BYTES:
        return Card({}, body, CardProblem(f"front matter of more than {MAX_FRONT_MATTER_BYTES} bytes"))
    data, problem = _load(source)
    if problem is None and data is not None and not isinstance(data, dict):
        problem = CardProblem("front matter is not a mapping of fields", 2)
    return Card(data or {} if problem is None else {}, body, problem)


def _load(source: bytes) -> tuple[Any, CardProblem | None]:
    try:
        return _build(yaml.parse(source, Loader=_LOADER)), None
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        return None, CardProblem(error.problem or str(error), mark.line + 2 if mark else None)
    except yaml.YAMLError as error:
        return None, CardProblem(" ".join(str(error).split())[:200])


def _fault(event: yaml.Event, text: str) -> yaml.MarkedYAMLError:
    mark: Any = event.start_mark  # the C parser has a Mark class of its own, alike but unrelated
    return yaml.MarkedYAMLError(problem=text, problem_mark=mark)


def _build(events: Iterator[yaml.Event]) -> Any:
    """Fold parser events into JSON values without recursion."""
    stack: list[_Collection] = []
    anchors: dict[str, tuple[Any, int]] = {}
    root = _Collection(None, None, is_mapping=False)
    for event in events:
        top = stack[-1] if stack else root
        if isinstance(event, yaml.CollectionStartEvent):
            if len(stack) >= MAX_DEPTH or (top.is_mapping and top.key is None):
                raise _fault(event, f"deeper than {MAX_DEPTH} levels, or a collection used as a key")
            if event.tag not in _COLLECTION_TAGS:
                raise _fault(event, f"unknown tag {str(event.tag)[:80]}")
            field = top.key if len(stack) == 1 else top.field
            stack.append(_Collection(event.anchor, field, isinstance(event, yaml.MappingStartEvent)))
        elif isinstance(event, yaml.CollectionEndEvent):
            done = stack.pop()
            finished: Any = done.mapping if done.is_mapping else done.items
            _add(stack[-1] if stack else root, event, finished, done.weight, done.anchor, anchors)
        elif isinstance(event, yaml.AliasEvent):
            if event.anchor not in anchors:
                raise _fault(event, f"alias of an anchor that is not finished: {str(event.anchor)[:80]}")
            _add(top, event, *anchors[event.anchor], None, anchors)
        elif isinstance(event, yaml.ScalarEvent):
            field = top.key if len(stack) == 1 else top.field
            value = event.value if top.is_mapping and top.key is None else _scalar(event, field)
            _add(top, event, value, len(event.value) + 1, event.anchor, anchors)
        elif isinstance(event, yaml.DocumentStartEvent) and root.items:
            raise _fault(event, "more than one YAML document")
    return root.items[0] if root.items else None


def _add(
    parent: _Collection,
    event: yaml.Event,
    value: Any,
    weight: int,
    anchor: str | None,
    anchors: dict[str, tuple[Any, int]],
) -> None:
    """Put a finished value into its collection, as key or value, and under its anchor."""
    parent.weight += weight
    if parent.weight > MAX_EXPANDED:
        raise _fault(event, f"more than {MAX_EXPANDED} characters once aliases are expanded")
    if anchor is not None:
        anchors[anchor] = (value, weight)
    if not parent.is_mapping:
        parent.items.append(value)
    elif parent.key is None:
        if not isinstance(value, str):
            raise _fault(event, "a key that is not text")
        if value in parent.mapping:
            raise _fault(event, f"duplicated key: {value[:80]}")
        parent.key = value
    else:
        parent.mapping[parent.key] = value
        parent.key = None


def _scalar(event: yaml.ScalarEvent, field: str | None) -> Any:
    text: str = event.value
    tag = event.tag
    if tag is not None and tag != "!" and not tag.startswith(_YAML_TAG):
        raise _fault(event, f"unknown tag {tag[:80]}")
    is_plain = event.implicit[0] or (
        tag is not None and tag[len(_YAML_TAG) :] in {"int", "float", "bool", "null"}
    )
    if tag is not None and tag.startswith(_YAML_TAG + "python"):
        raise _fault(event, f"unknown tag {tag[:80]}")
    if not is_plain:
        return text
    if text in _NULLS:
        return None
    return text if field in TEXT_FIELDS else _plain_value(text)


def _plain_value(text: str) -> Any:
    """Booleans and finite numbers that JSON can carry; everything else, dates included, stays text."""
    if text in _WORDS:
        return _WORDS[text]
    if _INTEGER.match(text):
        return int(text)
    if _FLOAT.match(text) and len(text) <= 40:
        return float(text)
    return text


def texts(data: dict[str, Any], field: str) -> tuple[str, ...]:
    """Values of a field as text: a scalar and a list of one are equal; what is not text is left out."""
    value = data.get(field)
    items = value if isinstance(value, list) else [value]
    return tuple(item.strip() for item in items if isinstance(item, str) and item.strip())


def validate_yaml(content: str, repo_type: RepoType) -> CardReport:
    """Check a README's front matter before a commit: errors forbid it, warnings are shown."""
    card = parse_card(content)
    if card.problem is not None:
        return CardReport((f"YAML metadata cannot be read: {card.problem}",), ())
    if not card.data:
        return CardReport((), ("empty or missing yaml metadata in repo card",))
    errors = [f'"{field}" must be a string' for field in SINGLE_FIELDS if not _is_text(card.data.get(field))]
    errors += [
        f'"{field}" must be a string or a list of strings'
        for field in LIST_FIELDS
        if not _is_texts(card.data, field)
    ]
    relation = card.data.get("base_model_relation")
    if isinstance(relation, str) and relation not in RELATIONS:
        errors.append(f'"base_model_relation" must be one of {", ".join(sorted(RELATIONS))}')
    if repo_type is RepoType.MODEL and not isinstance(card.data.get("model-index") or [], list):
        errors.append('"model-index" must be a list')
    return CardReport(tuple(errors), tuple(_warnings(card.data)))


def _is_text(value: Any) -> bool:
    return value is None or isinstance(value, str)


def _is_texts(data: dict[str, Any], field: str) -> bool:
    value = data.get(field)
    return all(isinstance(item, str) for item in value) if isinstance(value, list) else _is_text(value)


def _warnings(data: dict[str, Any]) -> Iterator[str]:
    if "license" not in data:
        yield 'no "license" is given'
    if "other" in texts(data, "license") and not data.get("license_name"):
        yield '"license_name" should name the licence when "license" is other'
    for code in texts(data, "language"):
        if not _LANGUAGE.match(code):
            yield f'"language" should hold ISO 639 codes, not {code[:40]!r}'
