"""Properties of recipes: places in TOML, and what a recipe's digest depends on."""

from __future__ import annotations

import random
import string
import tomllib
from typing import Any

import msgspec
from hypothesis import given
from hypothesis import strategies as st

from seedstock.adapt.located import Path
from seedstock.core.errors import Invalid
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.toml_lines import read_toml
from seedstock.recipes.writing import toml_key, toml_value
from tests.unit.recipes.samples import pinned

_KEYS = st.text(string.ascii_lowercase + "-_1. é\"'#", min_size=1, max_size=6)
_SCALARS = (
    st.booleans()
    | st.integers(-(2**63), 2**63 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text("ab\n\t\"'\\#[]{}=,é\x7f\x00", max_size=10)
)
_TABLES = st.recursive(
    st.dictionaries(_KEYS, _SCALARS | st.lists(_SCALARS, max_size=3), max_size=4),
    lambda inner: st.dictionaries(
        _KEYS, inner | _SCALARS | st.lists(inner, min_size=1, max_size=3), max_size=4
    ),
    max_leaves=8,
)
_WHOLE = read_recipe(pinned())


class Writer:
    """Writes a table in one of the many ways that TOML has, comments and all."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def noise(self) -> str:
        return self.random.choice(["", "", "\n", '# a = [1] "x\n', "\t\n", "  "])

    def value(self, value: Any) -> str:
        if isinstance(value, str) and self.random.random() < 0.3 and "'" not in value and value.isprintable():
            return self.random.choice([f"'{value}'", f"'''{value}'''", f"'''\n{value}'''"])
        if isinstance(value, str) and self.random.random() < 0.3:
            return f'"""{toml_value(value)[1:-1]}"""'
        if isinstance(value, list):
            gap = self.random.choice(["", " ", "\n  ", " # ] }\n"])
            items = "".join(f"{gap}{self.value(item)}{gap}," for item in value)
            return f"[{items if self.random.random() < 0.5 else items[:-1]}{gap}]"
        if isinstance(value, dict):
            return (
                "{" + ", ".join(f"{toml_key(key)}={self.value(item)}" for key, item in value.items()) + " }"
            )
        return toml_value(value)

    def table(self, path: Path, table: dict[str, Any]) -> str:
        """The entries of a table, then those of the tables below that got headers of their own."""
        text, below = "", []
        for key, value in self.random.sample(sorted(table.items()), len(table)):
            is_tables = (
                isinstance(value, list) and bool(value) and all(isinstance(item, dict) for item in value)
            )
            if (isinstance(value, dict) or is_tables) and self.random.random() < 0.6:
                below.append((key, value))
            elif isinstance(value, dict) and value and self.random.random() < 0.5:
                text += "".join(
                    f"{self.noise()}{toml_key(key, inner)} = {self.value(item)}\n"
                    for inner, item in value.items()
                )
            else:
                text += f"{self.noise()}{toml_key(key)} = {self.value(value)} # {key!r}\n"
        for key, value in below:
            header = toml_key(*path, key)
            for item in value if isinstance(value, list) else [value]:
                brackets = ("[[", "]]") if isinstance(value, list) else ("[", "]")
                text += f"{self.noise()}{brackets[0]} {header}{brackets[1]}\n{self.table((*path, key), item)}"
        return text


def _paths(value: Any, path: Path = ()) -> list[tuple[Path, Any]]:
    found = [(path, value)]
    if isinstance(value, dict | list):
        for step, inner in value.items() if isinstance(value, dict) else enumerate(value):
            found += _paths(inner, (*path, step))
    return found


@given(_TABLES, st.integers(0, 2**32))
def test_every_value_is_found_where_it_stands(table: dict[str, Any], seed: int) -> None:
    text = Writer(seed).table((), table)
    toml = read_toml(text, "x")
    assert toml.located.value == table == tomllib.loads(text)
    everywhere = _paths(table)
    assert toml.spans.keys() == {path for path, _ in everywhere}
    for path, value in everywhere:
        span = toml.spans[path]
        if path and path not in toml.headed and span.start < span.stop:
            assert tomllib.loads(f"k = {text[span.start : span.stop]}")["k"] == value
        if isinstance(value, dict | list) or not path:
            continue
        place = toml.located.position(path)
        assert text.split("\n")[place.line - 1][place.column - 1 :] == text[span.start :].split("\n")[0]


@given(st.binary(max_size=120) | st.text("ab=[]{}\"'#.,\n 1e-_:", max_size=60))
def test_anything_is_read_or_refused(text: bytes | str) -> None:
    try:
        read_toml(text, "x")
    except Invalid as error:
        message = error.message
    else:
        return
    assert message.startswith("x:")


def _document() -> dict[str, Any]:
    document: dict[str, Any] = msgspec.to_builtins(_WHOLE)
    return document


def _nones(value: Any) -> Any:
    """As people write it: "none" for None."""
    if isinstance(value, dict):
        return {key: _nones(item) for key, item in value.items()}
    return [_nones(item) for item in value] if isinstance(value, list) else "none" if value is None else value


@given(st.integers(0, 2**32))
def test_the_digest_does_not_depend_on_how_a_recipe_is_written(seed: int) -> None:
    text = Writer(seed).table((), _nones(_document()))
    assert recipe_digest(read_recipe(text)) == recipe_digest(_WHOLE)


_LEAVES = [path for path, value in _paths(_document()) if not isinstance(value, dict | list)]


def _other(value: Any) -> Any:
    """A value of the same type that is not the same."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int | float):
        return value + 1 if isinstance(value, int) else value / 2 + 0.001
    if value is None:
        return 0
    return value[:-1] + ("0" if value[-1] != "0" else "1")


def _changed(path: Path) -> dict[str, Any]:
    document = _document()
    target = document
    for step in path[:-1]:
        target = target[step]
    target[path[-1]] = _other(target[path[-1]])
    return document


def test_every_single_value_counts() -> None:
    digests = {recipe_digest(_WHOLE)}
    counted = 0
    for path in _LEAVES:
        try:
            digests.add(recipe_digest(msgspec.convert(_changed(path), type(_WHOLE))))
        except msgspec.ValidationError:
            continue  # no other value fits there
        counted += 1
    assert len(digests) == counted + 1
    assert counted > 0.9 * len(_LEAVES)
