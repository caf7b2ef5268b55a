"""Schemas and grammars of strangers, looked through in a process of its own."""

from __future__ import annotations

import json
import sys

import pytest

pytest.importorskip("llguidance", reason="the `adapt` extra is not installed")

from seedstock.core.errors import Invalid
from seedstock.run.engines import transformers_grammar
from seedstock.run.engines.grammar_check import MAX_LENGTH, Asked, check


def test_llama_cpp_s_notation_is_read() -> None:
    assert "WHOLE__" in check(
        Asked(gbnf='root ::= [a-z]+ "b"'), "'grammar'"
    )  # as one expression, which gives the b
    assert "WHOLE__" not in check(Asked(gbnf='root ::= "(" root ")" | "b"'), "'grammar'")
    for wrong in ("root", 'root ::= "', "root ::= gone", 'other ::= "a"', "root ::= " + "(" * 3000):
        with pytest.raises(Invalid, match="'grammar' cannot be followed: "):
            check(Asked(gbnf=wrong), "'grammar'")


def test_what_takes_too_long_ends_its_process_and_nothing_else() -> None:
    # Every pattern is held against every other: minutes.
    patterns = {f"^x{n}[a-z]*$": {"type": "string"} for n in range(600)}
    schema = json.dumps({"type": "object", "patternProperties": patterns})
    with pytest.raises(Invalid, match="'response_format' is too complicated"):
        check(Asked(schema=schema), "'response_format'", cpu_s=1)
    with pytest.raises(Invalid, match=f"longer than {MAX_LENGTH}"):
        check(Asked(schema=" " * MAX_LENGTH + "{}"), "'response_format'")


def test_without_the_library_the_refusal_says_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(transformers_grammar, "find_spec", lambda name: None if name == "llguidance" else sys)
    with pytest.raises(Invalid, match=r"pip install 'seedstock\[adapt\]'"):
        transformers_grammar.read_grammar({"response_format": {"type": "json_object"}, "grammar": None})
