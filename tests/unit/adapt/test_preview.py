"""What a preview shows: the rows as the base's template writes them, where the loss lies, lengths, warnings."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt import preview as preview_module
from seedstock.adapt.chat_template import CHATML, PLAIN, read_chat_template, shared_length
from seedstock.adapt.dataset import open_dataset
from seedstock.adapt.preview import Bin, Preview, Segment, histogram, preview
from seedstock.adapt.preview_process import Order, preview_isolated
from seedstock.core.errors import Invalid, TooLarge
from tests.factories.hf_model import tokenizer_json

SMOLLM = (
    "{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}"
    "{{ '<|im_start|>system\nYou help.<|im_end|>\n' }}{% endif %}"
    "{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
ROW = {"messages": [{"role": "user", "content": "the?"}, {"role": "assistant", "content": " in"}]}


@pytest.fixture
def base(tmp_path: Path) -> Path:
    """A folder with a tokenizer and no chat template."""
    pytest.importorskip("tokenizers")
    folder = tmp_path / "base"
    folder.mkdir()
    made = json.loads(tokenizer_json({"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": False}))
    made["decoder"] = made["pre_tokenizer"]
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    made["added_tokens"] = [{**token, **flags} for token in made["added_tokens"]]
    (folder / "tokenizer.json").write_text(json.dumps({"version": "1.0", **made}))
    return folder


def template(base: Path, source: Any, **more: Any) -> None:
    (base / "tokenizer_config.json").write_text(
        json.dumps({"chat_template": source, "eos_token": "<|end|>", **more})
    )


def rows(tmp_path: Path, *rows: dict[str, Any]) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(exist_ok=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


def show(base: Path, folder: Path, method: str = "sft", **options: Any) -> Preview:
    return preview(open_dataset(folder, method=method), base, method=method, **options)


def test_the_part_that_is_learnt_is_marked_by_comparing(tmp_path: Path, base: Path) -> None:
    template(base, SMOLLM)
    talk = {"messages": [*ROW["messages"], *ROW["messages"]]}
    found = show(base, rows(tmp_path, talk)).samples[0]
    assert [segment.text for segment in found.segments if segment.trained] == [" in<|im_end|>"] * 2
    assert "".join(segment.text for segment in found.segments) == (
        "<|im_start|>system\nYou help.<|im_end|>\n"
        + "<|im_start|>user\nthe?<|im_end|>\n<|im_start|>assistant\n in<|im_end|>\n" * 2
    )
    everything = show(base, rows(tmp_path, talk), assistant_only=False).samples[0]
    assert [segment.trained for segment in everything.segments] == [True]
    assert everything.tokens == found.tokens


def test_the_templates_own_marks_count(tmp_path: Path, base: Path) -> None:
    template(base, "{% for m in messages %}[{% generation %}{{ m.content }}{% endgeneration %}]{% endfor %}")
    found = show(base, rows(tmp_path, ROW))
    assert found.samples[0].segments == (
        Segment("[", False), Segment("the?", True), Segment("][", False), Segment(" in", True), Segment("]", False),
    )  # fmt: skip
    assert found.warnings[1:] == (
        "The assistant's turns end with no special token: the model would not learn to stop",
    )


def test_templates_come_out_as_transformers_writes_them(tmp_path: Path, base: Path) -> None:
    """The oracle is the library that the trainer uses."""
    transformers = pytest.importorskip("transformers")
    messages = [{"role": "system", "content": "s"}, *ROW["messages"], *ROW["messages"]]
    for source in (
        SMOLLM,
        CHATML,
        PLAIN,
        "{%- for m in messages -%}\n  {{ m | tojson }}{% if loop.index > 2 %}{% break %}{% endif %}\n{% endfor %}",
    ):
        template(base, source)
        ours = read_chat_template(base, lambda _: True, ["<|im_end|>"])
        tokenizer = transformers.PreTrainedTokenizerFast(
            tokenizer_file=str(base / "tokenizer.json"), eos_token="<|end|>", chat_template=source
        )
        for ask in (False, True):
            expected = tokenizer.apply_chat_template(messages, tokenize=False, add_generation_prompt=ask)
            assert ours.write(messages, ask=ask) == expected
        if "endgeneration" in source:
            masked = tokenizer.apply_chat_template(
                messages, return_dict=True, return_assistant_tokens_mask=True
            )
            ids = [i for i, bit in zip(masked["input_ids"], masked["assistant_masks"], strict=True) if bit]
            rendered = ours.render(messages)
            assert tokenizer.decode(ids) == "".join(
                rendered.text[slice(*span)] for span in rendered.spans or ()
            )


def test_tokens_are_those_of_the_tokenizer(tmp_path: Path, base: Path) -> None:
    from tokenizers import Tokenizer

    tokenizer = Tokenizer.from_file(str(base / "tokenizer.json"))
    template(base, SMOLLM)
    found = show(base, rows(tmp_path, ROW))
    text = "".join(segment.text for segment in found.samples[0].segments)
    assert (
        found.samples[0].tokens
        == len(tokenizer.encode(text).ids)
        == found.longest_tokens
        == found.total_tokens
    )
    plain = show(base, rows(tmp_path, {"prompt": "the", "completion": " in"}))
    assert plain.samples[0].segments == (Segment("the", False), Segment(" in", True))
    assert plain.samples[0].tokens == len(tokenizer.encode("the in").ids) + 1
    assert "The base has a chat template, but the rows are plain text" in plain.warnings[-1]


def test_prompts_completions_and_preferences(tmp_path: Path, base: Path) -> None:
    template(base, SMOLLM)
    user, said = ROW["messages"]
    found = show(base, rows(tmp_path, {"prompt": [user], "completion": [said]})).samples[0]
    assert [segment.text for segment in found.segments if segment.trained] == [" in<|im_end|>"]
    pair = {"prompt": [user], "chosen": [said], "rejected": [{**said, "content": "the the the"}]}
    found = show(base, rows(tmp_path, pair), "dpo").samples[0]
    assert found.segments[1] == Segment(" in<|im_end|>", True)
    assert found.rejected[1] == Segment("the the the<|im_end|>", True)
    asked = show(base, rows(tmp_path, {"prompt": [user], "answer": "1"}), "grpo").samples[0]
    assert len(asked.segments) == 1
    assert asked.segments[0].text.endswith("the?<|im_end|>\n<|im_start|>assistant\n")
    assert not asked.segments[0].trained


def test_lengths_cuts_and_totals(tmp_path: Path, base: Path) -> None:
    """Bytes are tokens here, and one ends the text: rows of 1 to 50 x make 2 to 51 tokens."""
    data = rows(tmp_path, *({"text": "x" * (1 + at % 50)} for at in range(200)))
    found = show(base, data, "pretrain", max_length=41, samples=2)
    assert (found.rows, found.counted, found.more, found.exact) == (200, 200, False, True)
    assert [sample.tokens for sample in found.samples] == [2, 3]
    assert (found.median_tokens, found.longest_tokens, found.mean_tokens) == (26, 51, 26.5)
    assert found.cut_share == 0.2
    assert found.total_tokens == 4 * (sum(range(2, 42)) + 10 * 41)
    assert sum(one.rows for one in found.histogram) == 200
    assert found.warnings == (
        "150 of 200 rows equal an earlier one",
        "20.0% of the rows are longer than 41 tokens and would be cut",
    )
    assert "most of them would be cut" in show(base, data, "pretrain", max_length=20).warnings[1]


def test_only_some_rows_of_many_are_counted(
    tmp_path: Path, base: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(preview_module, "MAX_COUNTED", 100)
    data = rows(tmp_path, *({"text": f"{at} " + "x" * (at % 64)} for at in range(3000)))
    found = show(base, data, "pretrain")
    assert 25 <= found.counted <= 100
    assert found.mean_tokens == pytest.approx(36.5, abs=6)
    assert found.rows == 3000
    monkeypatch.setattr(preview_module, "MAX_ROWS", 1000)
    assert (show(base, data, "pretrain").rows, show(base, data, "pretrain").more) == (1000, True)


def test_long_rows_are_shown_short_and_counted_whole(tmp_path: Path, base: Path) -> None:
    found = show(base, rows(tmp_path, {"text": "xy" * 300_000}), "pretrain").samples[0]
    assert len(found.segments[0].text) == preview_module.MAX_SHOWN + 4
    assert found.tokens == 600_001 or found.tokens == pytest.approx(600_000, rel=0.001)


def test_histogram_bins_are_equal_and_complete() -> None:
    assert histogram([0, 3, 3]) == (Bin(0, 1, 1), Bin(1, 2, 0), Bin(2, 3, 0), Bin(3, 4, 2))
    found = histogram([5, 900, 1999])
    assert len(found) == 20
    assert {one.stop - one.start for one in found} == {100}
    assert found[-1] == Bin(1900, 2000, 1)


def test_bases_without_template_or_tokenizer(tmp_path: Path, base: Path) -> None:
    data = rows(tmp_path, ROW)
    found = show(base, data)
    assert "no chat template" in found.warnings[-1]
    assert found.samples[0].segments[0].text == "<|im_start|>user\nthe?<|im_end|>\n<|im_start|>assistant\n"
    (base / "tokenizer.json").unlink()
    found = show(base, data)
    assert found.samples[0].segments[0].text == "User:\nthe?\nAssistant:\n"
    assert not found.exact
    assert "lengths are guessed" in found.warnings[1]


@pytest.mark.parametrize("where", ["file", "list"])
def test_other_places_of_templates(tmp_path: Path, base: Path, where: str) -> None:
    if where == "file":
        (base / "chat_template.jinja").write_text("F{{ messages[0].content }}")
    else:
        template(
            base,
            [
                {"name": "tool", "template": "x"},
                {"name": "default", "template": "F{{ messages[0].content }}"},
            ],
        )
    assert read_chat_template(base, lambda _: False).write(ROW["messages"]) == "Fthe?"


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("{% if %}", "The base's chat template cannot be read"),
        ("{{ raise_exception('Roles must alternate') }}", "train.jsonl, line 1: .* Roles must alternate"),
        ("{{ messages[9].content.x }}", "does not take this conversation"),
        ("{{ 1 / 0 }}", "does not take this conversation: division by zero"),
        ("{{ ''.__class__.__mro__ }}", "access to attribute '__class__' of 'str' object is unsafe"),
        ("{{ messages.append(1) }}", "unsafe"),
    ],
)
def test_templates_that_fail(tmp_path: Path, base: Path, source: str, message: str) -> None:
    template(base, source)
    with pytest.raises(Invalid, match=message):
        show(base, rows(tmp_path, ROW))


def test_a_template_that_writes_without_end_is_stopped(base: Path) -> None:
    template(
        base, "{% for a in range(99999) %}{% for b in range(99999) %}{{ 'x' * 9999 }}{% endfor %}{% endfor %}"
    )
    with pytest.raises(TooLarge, match="writes more than"):
        read_chat_template(base, lambda _: True).write(ROW["messages"])


def test_where_turns_change_inside_a_conversation_it_is_said(tmp_path: Path, base: Path) -> None:
    template(base, "{% for m in messages %}{{ m.content if loop.last else '-' }}{% endfor %}")
    talk = {"messages": [*ROW["messages"], *ROW["messages"]]}
    assert "it cannot be told what carries loss" in show(base, rows(tmp_path, talk)).warnings[-1]


@pytest.mark.parametrize("name", ["tokenizer.json", "tokenizer_config.json"])
def test_broken_files_of_the_base(tmp_path: Path, base: Path, name: str) -> None:
    (base / name).write_text("{")
    with pytest.raises(Invalid, match=name):
        show(base, rows(tmp_path, ROW))


def test_faults_of_rows_are_named(tmp_path: Path, base: Path) -> None:
    data = rows(tmp_path, ROW, {"messages": []})
    with pytest.raises(Invalid, match="line 2: 'messages' has no messages"):
        show(base, data)
    with pytest.raises(Invalid, match="no columns for dpo"):
        preview(open_dataset(data), base, method="dpo")


def test_in_a_process_of_its_own_it_is_the_same_and_has_limits(tmp_path: Path, base: Path) -> None:
    template(base, SMOLLM)
    data = rows(tmp_path, ROW, ROW)
    order = Order(data=str(data), base=str(base), method="sft", samples=1)
    assert preview_isolated(order) == show(base, data, samples=1)
    template(base, "{{ ('x' * 2000000000) | length }}")
    with pytest.raises(Invalid, match="memory"):
        preview_isolated(order, memory_bytes=1 << 30)
    loop = "{% for i in range(99999) %}"
    template(base, loop * 3 + "{% set x = 1 %}" + "{% endfor %}" * 3)
    started = time.monotonic()
    with pytest.raises(Invalid, match="took more than 2 s"):
        preview_isolated(order, timeout_s=2)
    assert time.monotonic() - started < 10
    with pytest.raises(Invalid, match="no columns for dpo"):
        preview_isolated(Order(data=str(data), base=str(base), method="dpo"))


def test_shared_length() -> None:
    assert [shared_length(*pair) for pair in (("", "a"), ("ab", "abc"), ("abd", "abc"), ("x", "y"))] == [
        0,
        2,
        2,
        0,
    ]
