"""YAML with lines: what is read, what is refused, and where a fault is said to be."""

from __future__ import annotations

from typing import Literal

import msgspec
import pytest

from seedstock.adapt.located import Position
from seedstock.adapt.methods import Sft
from seedstock.adapt.yaml_lines import MAX_YAML_BYTES, read_yaml
from seedstock.core.errors import Invalid


class Part(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    rank: int
    kind: Literal["a", "b"] = "a"


class Whole(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    part: Part | None = None
    parts: dict[str, Part] = {}
    numbers: list[float] = []


def fails(text: str | bytes) -> str:
    with pytest.raises(Invalid) as caught:
        read_yaml(text, "s.yaml").convert(Whole)
    return f"{caught.value.message} ({caught.value.hint})" if caught.value.hint else caught.value.message


def test_scalars_are_those_of_yaml_1_2_and_exponents_are_numbers() -> None:
    text = "[3e-4, 1E6, 1., .5, -2, yes, no, on, true, null, ~, '3e-4', 0x1f, 2020-01-01, 1:30]"
    assert read_yaml(text, "x").value == [
        *(3e-4, 1e6, 1.0, 0.5, -2, "yes", "no", "on", True, None, None),
        *("3e-4", "0x1f", "2020-01-01", "1:30"),
    ]


def test_an_empty_text_is_null() -> None:
    assert read_yaml("", "x").value is None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("part:\n  rnak: 1\n", "s.yaml:2:3: unknown key part.rnak (did you mean rank?)"),
        ("numbers: [1]\nzz: 1\n", "s.yaml:2:1: unknown key zz (known are numbers, part, parts)"),
        ("part:\n  rank: x\n", "s.yaml:2:9: part.rank: expected `int`, got `str`"),
        ("part:\n  kind: b\n", "s.yaml:2:3: part.rank is missing"),
        ("part: {rank: 1, kind: c}\n", "s.yaml:1:23: part.kind: invalid enum value 'c'"),
        ("numbers:\n  - 1\n  - b\n", "s.yaml:3:5: numbers[1]: expected `float`, got `str`"),
        (
            "parts:\n  x y: {rank: 1}\n  z.w: {rank: 1.5}\n",
            "s.yaml:3:15: parts.z.w.rank: expected `int`, got `float`",
        ),
        (
            "parts:\n  a: {rank: 1}\n  b: {ronk: 1}\n",
            "s.yaml:3:7: unknown key parts.b.ronk (did you mean rank?)",
        ),
        ("- 1", "s.yaml:1:1: the document: expected `object`, got `array`"),
        ("part: !!python/none x", "s.yaml:1:7: tag tag:yaml.org,2002:python/none: tags are not read"),
        (
            "part: &p {rank: 1}\nparts: {x: *p}",
            "s.yaml:2:12: alias *p: aliases are not read (write the value out where it is needed)",
        ),
        ("part:\n  rank: 1\npart: null", "s.yaml:3:1: key 'part' is in line 1 already"),
        ("--- {}\n--- {}", "s.yaml:2:1: a second document (one file, one document)"),
        ("? [1]\n: 2", "s.yaml:1:3: a key is a word, not a list or mapping"),
        ("numbers: [1e999]", "s.yaml:1:11: 1e999 is no finite number"),
        (b"part: 1\n\xff", "s.yaml:2:1: not UTF-8"),
        ("[" * 40, "s.yaml:1:33: nested more than 32 deep"),
        ("a: [", "s.yaml:2:1: did not find expected node content"),
        ("#" * (MAX_YAML_BYTES + 1), f"s.yaml:1:1: more than {MAX_YAML_BYTES} bytes"),
    ],
)
def test_faults_name_line_column_and_key(text: str | bytes, said: str) -> None:
    assert fails(text) == said


def test_what_cannot_be_printed_is_not() -> None:
    assert "\x1b" not in fails('"a\\eb": 1')


def test_billions_of_laughs_are_not_expanded() -> None:
    text = "a: &a [x, x]\n" + "".join(
        f"{b}: &{b} [*{a}, *{a}]\n" for a, b in zip("abcdefgh", "bcdefghi", strict=True)
    )
    assert "aliases are not read" in fails(text)


def test_a_part_of_the_document_is_converted_with_its_own_places() -> None:
    located = read_yaml("method: sft\nsettings:\n  learning_rate: 3e-4\n  lora:\n    r: 0\n", "spec.yaml")
    with pytest.raises(Invalid, match=r"spec.yaml:5:8: settings.lora.r: expected `int` >= 1"):
        located.convert(Sft, ("settings",))
    assert located.position(("settings", "learning_rate")) == Position(3, 18)
    assert located.position(("settings", "learning_rate"), key=True) == Position(3, 3)
    assert located.position(("settings", "absent")) == Position(3, 3)
