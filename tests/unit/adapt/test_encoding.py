"""Which tokens carry loss, and that packing changes nothing but the layout."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.adapt.stage import Event
from seedstock.adapt.train import chat
from seedstock.adapt.train.encode import (
    IGNORED,
    Encoded,
    encode_completion,
    encode_messages,
    encode_pair,
    encode_text,
)
from seedstock.adapt.train.heldout import Measured, choose, drop, token_losses
from seedstock.adapt.train.model import load_tokenizer
from seedstock.adapt.train.pack import Padding, join, pack
from seedstock.core.errors import Invalid
from tests.factories.tiny_llama import CHAT, config, write_tokenizer
from tests.unit.adapt.stages import LIBRARY_WARNINGS

pytestmark = LIBRARY_WARNINGS
MESSAGES = [
    {"role": "system", "content": "the ring"},
    {"role": "user", "content": "ärger 12\n"},
    {"role": "assistant", "content": "thing ü 🎈 "},
    {"role": "user", "content": "thing ü"},
    {"role": "assistant", "content": "the end"},
]
SAID = "thing ü 🎈 <|im_end|>the end<|im_end|>"


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory: pytest.TempPathFactory) -> Any:
    folder = tmp_path_factory.mktemp("tokenizer")
    write_tokenizer(folder)
    return load_tokenizer(folder)


def learnt(tokenizer: Any, encoded: Encoded) -> str:
    assert all(
        label in {IGNORED, token} for token, label in zip(encoded.input_ids, encoded.labels, strict=True)
    )
    return str(tokenizer.decode([label for label in encoded.labels if label != IGNORED]))


def test_only_the_assistant_is_learnt_where_the_template_has_no_marks(tokenizer: Any) -> None:
    encoded = encode_messages(tokenizer, MESSAGES, assistant_only=True)
    assert learnt(tokenizer, encoded) == SAID
    whole = tokenizer.apply_chat_template(MESSAGES, tokenize=False)
    assert tokenizer.decode(encoded.input_ids) == whole


@pytest.mark.parametrize("template", [chat.CHATML, chat.PLAIN])
def test_our_own_templates_mark_what_the_assistant_says(tokenizer: Any, template: str) -> None:
    kept = tokenizer.chat_template
    try:
        tokenizer.chat_template = template
        marked = encode_messages(tokenizer, MESSAGES, assistant_only=True)
        end = "<|im_end|>" if template is chat.CHATML else "<|end|>"
        assert learnt(tokenizer, marked) == SAID.replace("<|im_end|>", end)
        tokenizer.chat_template = template.replace("{%- generation %}", "").replace(
            "{%- endgeneration %}", ""
        )
        unmarked = encode_messages(tokenizer, MESSAGES, assistant_only=True)
        assert unmarked == marked
    finally:
        tokenizer.chat_template = kept


def test_thoughts_that_a_template_drops_from_earlier_turns_are_refused_not_guessed(tokenizer: Any) -> None:
    kept = tokenizer.chat_template
    dropping = CHAT.replace(
        "{{ message['content'] }}",
        "{{ message['content'] if loop.last else message['content'].split('|')[-1] }}",
    )
    messages = [
        {"role": "user", "content": "in"},
        {"role": "assistant", "content": "her|sing"},
        {"role": "user", "content": "in"},
        {"role": "assistant", "content": "her|ring"},
    ]
    try:
        tokenizer.chat_template = dropping
        with pytest.raises(Invalid, match="turn 2 differently"):
            encode_messages(tokenizer, messages, assistant_only=True)
        assert (
            learnt(tokenizer, encode_messages(tokenizer, messages[:2], assistant_only=True))
            == "her|sing<|im_end|>"
        )
    finally:
        tokenizer.chat_template = kept


def test_all_is_learnt_where_that_is_wanted(tokenizer: Any) -> None:
    encoded = encode_messages(tokenizer, MESSAGES, assistant_only=False)
    assert encoded.labels == encoded.input_ids


def test_a_conversation_without_an_answer_is_refused(tokenizer: Any) -> None:
    with pytest.raises(Invalid, match="no turn of the assistant"):
        encode_messages(tokenizer, MESSAGES[:2], assistant_only=True)


def test_completions_are_learnt_with_their_end(tokenizer: Any) -> None:
    strings = encode_completion(tokenizer, "say in", " ring", assistant_only=True)
    assert learnt(tokenizer, strings) == " ring<|end|>"
    turns = encode_completion(tokenizer, MESSAGES[:2], MESSAGES[2:3], assistant_only=True)
    assert learnt(tokenizer, turns) == "thing ü 🎈 <|im_end|>"
    whole = encode_completion(tokenizer, "say in", " ring", assistant_only=False)
    assert learnt(tokenizer, whole) == "say in ring<|end|>"


def test_text_ends(tokenizer: Any) -> None:
    assert learnt(tokenizer, encode_text(tokenizer, "the thing")) == "the thing<|end|>"


def test_a_token_across_the_border_belongs_to_the_answers(tokenizer: Any) -> None:
    prompt, chosen, rejected = encode_pair(tokenizer, "say t", "he ring", "in")
    assert tokenizer.decode(prompt) == "say"
    assert tokenizer.decode(chosen) == " the ring<|end|>"
    assert tokenizer.decode(rejected) == " tin<|end|>"


def test_pieces_lose_nothing() -> None:
    whole = Encoded(list(range(10)), list(range(10)))
    assert [piece.input_ids for piece in whole.pieces(4)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert whole.cut(3).labels == [0, 1, 2]
    assert not Encoded([1, 2], [1, IGNORED]).learns, "nothing predicts the first token"


@given(st.lists(st.integers(1, 32), max_size=60))
def test_every_sequence_is_packed_once_and_no_row_is_too_long(lengths: list[int]) -> None:
    rows = pack(lengths, 32)
    assert sorted(at for row in rows for at in row) == list(range(len(lengths)))
    assert all(sum(lengths[at] for at in row) <= 32 for row in rows)
    halves = [row for row in rows if sum(lengths[at] for at in row) <= 16]
    assert len(halves) <= 1, "two rows that would fit into one"


def test_packed_sequences_do_not_see_each_other() -> None:
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM
    from trl.trainer.utils import add_fused_lm_head

    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(AutoConfig.for_model(**config()))
    add_fused_lm_head(model)
    rows = [Encoded(ids, [IGNORED, *ids[1:]]) for ids in ([5, 6, 7, 8, 9], [1, 2], [3, 3, 3], [4, 1, 4, 1])]
    padding = Padding(0)
    with torch.no_grad():
        apart = token_losses(model, rows, padding, 2)
        batch = padding([join(rows[:2]), join(rows[2:]), join(rows[:1])])
        assert "attention_mask" not in batch
        found = model(**batch, fused_lm_head=True).log_probs.sum(dim=1)
    expected = [sum(apart.losses[:2]), sum(apart.losses[2:]), apart.losses[0]]
    assert (-found).tolist() == pytest.approx(expected, rel=1e-4)
    assert apart.weights == [4, 1, 2, 3]


def test_held_out_rows_are_the_same_for_a_seed_and_never_all() -> None:
    assert choose(100, 0.1, 3) == choose(100, 0.1, 3) != choose(100, 0.1, 4)
    assert len(choose(100, 0.1, 3)) == 10
    assert len(choose(100_000, 0.1, 3)) == 200
    assert len(choose(2, 0.9, 3)) == 1
    assert choose(1, 0.5, 3) == choose(100, 0.0, 3) == []


def test_the_interval_of_a_drop_widens_with_what_rows_disagree_on() -> None:
    before = Measured([2.0] * 20, [1.0] * 20)
    steady = drop(before, Measured([1.0] * 20, [1.0] * 20))
    assert steady["eval_loss_drop_low"] == steady["eval_loss_drop_high"] == 1.0
    mixed = drop(before, Measured([0.0, 2.0] * 10, [1.0] * 20))
    assert mixed["eval_loss_drop"] == 1.0
    assert 0.5 < mixed["eval_loss_drop_low"] < 0.9
    assert 1.1 < mixed["eval_loss_drop_high"] < 1.5


def test_a_template_is_only_given_where_none_is(tokenizer: Any, tmp_path: Path) -> None:
    said: list[Event] = []
    chat.ensure_chat_template(tokenizer, said.append)
    assert not said
    write_tokenizer(tmp_path, chat=None)
    bare = load_tokenizer(tmp_path)
    chat.ensure_chat_template(bare, said.append)
    assert len(said) == 1
    assert bare.chat_template == chat.CHATML
