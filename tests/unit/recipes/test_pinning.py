"""Pinning: only the lines that must change do."""

from __future__ import annotations

import difflib
from collections.abc import Sequence

import msgspec
import pytest

from seedstock.adapt.methods import Lora
from seedstock.core.errors import Invalid
from seedstock.recipes.pinning import Kind, Pinned, pin
from seedstock.recipes.reading import read_recipe, recipe_digest
from seedstock.recipes.toml_lines import read_toml
from tests.unit.recipes.samples import SHORT, commit, digest, pinned, resolve


def never(kind: Kind, reference: str, _revision: str | None, _files: Sequence[str] = ()) -> Pinned:
    raise AssertionError(f"{kind} {reference} is pinned already")


def test_comments_and_lines_that_need_no_change_stay() -> None:
    removed = [
        line[2:] for line in difflib.ndiff(SHORT.splitlines(), pinned().splitlines()) if line[:2] == "- "
    ]
    assert [line.split(" ")[0] for line in removed] == [
        "env",
        *("base", "small", "prompts"),
        "revision",
        "",  # the indented revision of inputs.test
        *("args", "rewards"),
        "args",
    ]
    assert "  digest" in pinned(), "a new line is indented as its neighbours are"
    for comment in (
        "# How tiny is made.",
        "# of the recipe",
        "# the foundation",
        "# a tag",
        "# chosen on dev",
    ):
        assert comment in pinned()


def test_the_result_is_a_recipe_and_pinning_it_again_changes_nothing() -> None:
    once = pinned()
    assert read_recipe(once)
    assert pin(once, never) == once


def test_branches_are_asked_for_and_commits_are_kept() -> None:
    asked: list[tuple[str, str, str | None]] = []

    def record(kind: Kind, reference: str, revision: str | None, _files: Sequence[str] = ()) -> Pinned:
        asked.append((kind, reference, revision))
        return resolve(kind, reference, revision)

    pin(SHORT, record)
    assert asked == [
        ("model", "ada/base", "main"),
        ("model", "ada/small", "main"),
        ("content", "prompts.jsonl", None),
        ("dataset", "ada/cold", "v1"),
        ("dataset", "ada/test", "main"),
        ("file", "requirements.lock", None),
    ]
    fixed = SHORT.replace('revision = "v1"', f'revision = "{commit("x")}"')
    text = pin(fixed, resolve)
    assert f'revision = "{commit("x")}"  # a tag' in text
    assert digest("dataset ada/cold") in text


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("[inputs]\nx = {}", None),
        (
            '[inputs]\nx = { kind = "model", ref = "a/b" }',
            '[inputs]\nx = { kind = "model", ref = "a/b", revision = "R", digest = "D" }',
        ),
        (
            '[inputs]\nx.kind = "model"\nx.ref = "a/b" # b\ny = 1',
            '[inputs]\nx.kind = "model"\nx.ref = "a/b" # b\nx.revision = "R"\nx.digest = "D"\ny = 1',
        ),
        (
            'inputs.x = { kind = "model", ref = "a/b" }',
            'inputs.x = { kind = "model", ref = "a/b", revision = "R", digest = "D" }',
        ),
        (
            'inputs = { x.kind = "model", x.ref = "a/b" }',
            'inputs = { x.kind = "model", x.ref = "a/b", x.revision = "R", x.digest = "D" }',
        ),
        (
            '[inputs.x]\nkind = "model"\nref = """\na/b"""\n\n[y]',
            '[inputs.x]\nkind = "model"\nref = """\na/b"""\nrevision = "R"\ndigest = "D"\n\n[y]',
        ),
        (
            '[inputs."x y"]\r\nkind = "model"\r\nref = "a/b"\r\n',
            '[inputs."x y"]\r\nkind = "model"\r\nref = "a/b"\r\nrevision = "R"\r\ndigest = "D"\r\n',
        ),
        (
            '[stage.s.args.lora]\nr = 4\nalpha = 1\ndropout = 0.0\ntargets = "all-linear"\nquantised = false\n'
            '[stage.s]\nop = "quantize"\n',
            None,
        ),
        (
            '[stage.s]\nop = "script"\n[stage.s.args]\nfile = "a.py" # m\n[z]\n',
            '[stage.s]\nop = "script"\n[stage.s.args]\nfile = "a.py" # m\nsha256 = "D"\n[z]\n',
        ),
    ],
)
def test_values_are_added_however_a_table_is_written(before: str, after: str | None) -> None:
    def fixed(kind: Kind, reference: str, revision: str | None, _files: Sequence[str] = ()) -> Pinned:
        return Pinned("D", "R")

    if after is None:
        if "lora" in before:
            with pytest.raises(Invalid, match=r"unknown key stage\.s\.args\.lora"):
                pin(before, fixed)
        else:
            assert pin(before, fixed) == before
        return
    assert pin(before, fixed) == after


def test_of_named_files_of_a_model_the_digest_is_theirs() -> None:
    def of_files(_kind: Kind, _reference: str, _revision: str | None, files: Sequence[str] = ()) -> Pinned:
        return Pinned(" and ".join(files), "R")

    text = '[inputs.x]\nkind = "model"\nref = "a/b"\nfiles = ["c", "d"]\n'
    assert pin(text, of_files) == f'{text[:-1]}\nrevision = "R"\ndigest = "c and d"\n'


def test_a_table_that_only_a_header_below_implies_gets_a_header() -> None:
    text = (
        '[stage.s]\nop = "grpo"\n\n# low rank\n[stage.s.args.lora]\nr = 4\n\n'
        '[[stage.s.args.rewards]]\nfn = "countdown"\n'
    )
    args = read_toml(pin(text, never), "x").located.value["stage"]["s"]["args"]
    assert args["lora"] == msgspec.to_builtins(Lora(r=4))
    assert args["rewards"] == [{"fn": "countdown", "weight": 1.0, "args": {}}]
    assert args["group"] == 8
    assert "# low rank" in pin(text, never)


def test_pinning_is_what_the_digest_is_of() -> None:
    assert recipe_digest(read_recipe(pinned())) != recipe_digest(
        read_recipe(pin(SHORT.replace('revision = "v1"', 'revision = "v2"'), resolve))
    )
