"""Answers held to a schema while they are written."""

from __future__ import annotations

from typing import Any

import pytest

pytest.importorskip("llguidance", reason="the `adapt` extra is not installed")

from tests.factories.tiny_transformers import write_gpt2

from seedstock.core.errors import Invalid
from seedstock.run.engines.transformers_choice import Piece
from seedstock.run.engines.transformers_grammar import GrammarFailed
from seedstock.run.engines.transformers_model import Loaded, load
from seedstock.run.engines.transformers_request import read_request
from seedstock.run.engines.transformers_text import write

THINKING = "{% for m in messages %}{{ m.content }}{% endfor %}<think>{{ '\\n' }}"
SCRIPT = ("hm", "mm", "\n</think>\n\n", "no JSON")


@pytest.fixture(scope="module")
def loaded(tmp_path_factory: pytest.TempPathFactory) -> Loaded:
    """Thinks `hmmm`, says `no JSON`, and stops."""
    return load(
        write_gpt2(tmp_path_factory.mktemp("thinker") / "model", chat=THINKING, script=SCRIPT), "float32"
    )


def written(loaded: Loaded, **more: Any) -> list[Piece]:
    body = {"messages": [{"role": "user", "content": "hi"}], "temperature": 0} | more
    wanted = read_request(loaded, body, chat=True)
    pieces: list[Piece] = []
    write(loaded, wanted, wanted.prompts[0], 0, 40, pieces.append, lambda: False)
    return pieces


def schema(value: Any) -> Any:
    return {"type": "json_schema", "json_schema": {"schema": value}}


def test_a_thought_is_free_and_what_follows_is_held(loaded: Loaded) -> None:
    free = written(loaded)
    assert "".join(piece.text for piece in free) == "no JSON"
    held = written(loaded, response_format=schema({"enum": ["yes", "yet"]}))
    assert "".join(piece.thought for piece in held) == "hmmm"
    assert "".join(piece.text for piece in held) in {'"yes"', '"yet"'}
    assert held[-1].finish == "stop"


def test_what_has_no_answer_fails_without_one(loaded: Loaded) -> None:
    with pytest.raises(GrammarFailed):
        written(loaded, response_format=schema({"$ref": "#"}))
    with pytest.raises(Invalid, match="'ignore_eos'"):
        written(loaded, response_format=schema({}), ignore_eos=True)
