"""Rows out of files: which files, which shape, which columns, and the same rows from every format."""

from __future__ import annotations

import csv
import gzip
import io
import json
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt.dataset import Shape, conversational, leaks, open_dataset, shared_rows
from seedstock.adapt.rows import plain_text
from seedstock.adapt.rows.files import splits_of
from seedstock.core.errors import Invalid

Rows = list[dict[str, Any]]
PAIRS: Rows = [
    {"prompt": "2 + 2?", "completion": "4"},
    {"prompt": 'say "a, b"\nand {c}', "completion": "[a]\\,é\n🌱"},
    {"prompt": "long " * 2000, "completion": "x"},
]


def put(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    return folder


def lines(rows: Rows) -> str:
    return "".join(json.dumps(row) + "\n" for row in rows)


def read(folder: Path, method: str = "", **options: Any) -> Rows:
    return list(open_dataset(folder, method=method, **options))


def columns(rows: Rows) -> dict[str, list[Any]]:
    return {name: [row[name] for row in rows] for name in rows[0]}


def separated(rows: Rows, delimiter: str) -> str:
    out = io.StringIO()
    writer = csv.DictWriter(out, list(rows[0]), delimiter=delimiter)
    writer.writeheader()
    writer.writerows(rows)
    return out.getvalue().replace("\r\n", "\n")


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.jsonl", lines(PAIRS)),
        ("a.jsonl", "\ufeff\n" + lines(PAIRS).replace("\n", "\r\n")),
        ("a.ndjson", lines(PAIRS).rstrip("\n")),
        ("a.jsonl.gz", gzip.compress(lines(PAIRS).encode())),
        ("a.json", json.dumps(PAIRS)),
        ("a.json", " \n" + json.dumps(PAIRS, indent=3, ensure_ascii=False)),
        ("a.json.gz", gzip.compress(json.dumps(PAIRS).encode())),
        ("a.json", json.dumps(columns(PAIRS))),
        ("a.json", json.dumps({"data": PAIRS})),
        ("a.json", lines(PAIRS)),
        ("a.csv", separated(PAIRS, ",")),
        ("a.csv", "\ufeff" + separated(PAIRS, ",")),
        ("a.tsv", separated(PAIRS, "\t")),
        ("a.csv.gz", gzip.compress(separated(PAIRS, ",").encode())),
    ],
)
def test_every_format_gives_the_same_rows(tmp_path: Path, name: str, content: str | bytes) -> None:
    data = open_dataset(put(tmp_path, name, content))
    assert data.shape is Shape.PROMPT_COMPLETION
    assert list(data) == PAIRS == list(data)
    assert len(data) == 3


def test_parquet_gives_the_same_rows_and_nested_ones(tmp_path: Path) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    talks = [
        [{"role": "user", "content": str(at)}, {"role": "assistant", "content": "é"}] for at in range(100)
    ]
    pq.write_table(pa.table(columns(PAIRS)), tmp_path / "a.parquet")
    assert read(tmp_path) == PAIRS
    (tmp_path / "data").mkdir()
    pq.write_table(
        pa.table({"messages": talks}), tmp_path / "data" / "train-00000-of-00001.parquet", row_group_size=7
    )
    assert [row["messages"] for row in read(tmp_path, files=["data/*"])] == talks


def test_array_elements_are_found_across_pieces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = [{"text": '}],{["\\' * at + "é" * at} for at in range(1, 40)]
    put(tmp_path, "a.json", json.dumps(rows, ensure_ascii=False, indent=1))
    for piece in (1, 2, 3, 7, 64):
        monkeypatch.setattr("seedstock.adapt.rows.json_rows._PIECE", piece)
        assert read(tmp_path) == rows


def test_text_is_read_by_paragraphs_or_lines(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put(tmp_path, "a.txt", "\nOne\ntwo\n\n \nThree\n")
    assert read(tmp_path) == [{"text": "One\ntwo"}, {"text": "Three"}]
    put(tmp_path, "a.txt", "One\ntwo\nThree")
    assert read(tmp_path) == [{"text": "One"}, {"text": "two"}, {"text": "Three"}]
    monkeypatch.setattr(plain_text, "_PARAGRAPH_CHARACTERS", 8)
    put(tmp_path, "a.txt", "One\ntwo\nThree\n\nx\n")
    assert read(tmp_path) == [{"text": "One\ntwo"}, {"text": "Three"}, {"text": "x"}]


def test_splits_follow_the_hub(tmp_path: Path) -> None:
    for name in (
        "README.md", "data/train-00001-of-00002.jsonl", "data/train-00000-of-00002.jsonl", "data/test.jsonl",
        "val/rows.jsonl", "LICENSE.txt", "dataset_infos.json", ".hidden/train.jsonl", "latest.jsonl",
    ):  # fmt: skip
        put(tmp_path, name, '{"text": "a"}\n')
    assert splits_of(tmp_path) == {
        "train": ("data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl"),
        "test": ("data/test.jsonl",),
        "validation": ("val/rows.jsonl",),
    }
    assert open_dataset(tmp_path).files == splits_of(tmp_path)["train"]
    assert open_dataset(tmp_path, split="test").files == ("data/test.jsonl",)
    assert open_dataset(tmp_path, files=["data/*", "latest.jsonl"]).files == (
        "data/test.jsonl", "data/train-00000-of-00002.jsonl", "data/train-00001-of-00002.jsonl", "latest.jsonl",
    )  # fmt: skip
    with pytest.raises(Invalid, match="no split 'dev2'; there is"):
        open_dataset(tmp_path, split="dev2")
    with pytest.raises(Invalid, match=r"There is no file '\.\./secret"):
        open_dataset(tmp_path, files=["../secret.jsonl"])


def test_files_without_split_names_are_all_read_in_the_order_of_their_names(tmp_path: Path) -> None:
    for name in ("b", "a", "c"):
        put(tmp_path, f"{name}.jsonl", lines([{"text": name}]))
    assert [row["text"] for row in read(tmp_path)] == ["a", "b", "c"]


def test_copies_in_two_formats_are_not_read_twice(tmp_path: Path) -> None:
    put(put(tmp_path, "a.jsonl", lines(PAIRS)), "a.csv", separated(PAIRS, ","))
    with pytest.raises(Invalid, match=r"several formats.*a\.csv, a\.jsonl"):
        open_dataset(tmp_path)
    assert read(tmp_path, files=["a.csv"]) == PAIRS


USER, SAID = {"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}
SYSTEM = {"role": "system", "content": "be brief"}


@pytest.mark.parametrize(
    ("method", "row", "expected"),
    [
        ("sft", {"messages": [USER, SAID]}, {"messages": [USER, SAID]}),
        (
            "sft",
            {"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]},
            {"messages": [USER, SAID]},
        ),
        ("sft", {"messages": [USER, SAID], "system": "be brief"}, {"messages": [SYSTEM, USER, SAID]}),
        ("sft", {"messages": [SYSTEM, USER, SAID], "system": "other"}, {"messages": [SYSTEM, USER, SAID]}),
        (
            "sft",
            {"messages": [{"role": "user", "content": [{"type": "text", "text": "q"}]}, SAID]},
            {"messages": [USER, SAID]},
        ),
        ("sft", {"instruction": "q", "input": "x", "output": "a"}, {"prompt": "q\n\nx", "completion": "a"}),
        ("sft", {"instruction": "q", "input": "", "output": "a"}, {"prompt": "q", "completion": "a"}),
        ("sft", {"prompt": "q", "response": "a"}, {"prompt": "q", "completion": "a"}),
        ("sft", {"question": "q", "answer": "a"}, {"prompt": "q", "completion": "a"}),
        ("sft", {"prompt": "q", "completion": "a", "system": ""}, {"prompt": [USER], "completion": [SAID]}),
        ("sft", {"prompt": [USER], "completion": "a"}, {"prompt": [USER], "completion": [SAID]}),
        ("sft", {"prompt": "q", "messages": [USER, SAID], "text": "t"}, {"messages": [USER, SAID]}),
        ("pretrain", {"content": "t", "prompt": "q"}, {"text": "t"}),
        (
            "dpo",
            {"prompt": "q", "chosen": "a", "rejected": "b"},
            {"prompt": "q", "chosen": "a", "rejected": "b"},
        ),
        (
            "dpo",
            {"prompt": "q", "chosen": [USER, SAID], "rejected": [USER, {**SAID, "content": "b"}]},
            {"prompt": [USER], "chosen": [SAID], "rejected": [{**SAID, "content": "b"}]},
        ),
        (
            "dpo",
            {"chosen": [USER, SAID], "rejected": [USER, {**SAID, "content": "b"}]},
            {"prompt": [USER], "chosen": [SAID], "rejected": [{**SAID, "content": "b"}]},
        ),
        ("dpo", {"prompt": "q", "chosen": [SAID], "rejected": [SAID]}, {"prompt": [USER], "chosen": [SAID]}),
        ("grpo", {"question": "q", "answer": 4}, {"prompt": "q", "answer": 4}),
        ("grpo", {"messages": [SYSTEM, USER, SAID]}, {"prompt": [SYSTEM, USER]}),
        ("sample", {"messages": [USER, SAID, USER]}, {"prompt": [USER, SAID, USER]}),
        ("distil", {"prompt": "q"}, {"prompt": "q"}),
    ],
)
def test_common_columns_are_understood(
    tmp_path: Path, method: str, row: dict[str, Any], expected: dict[str, Any]
) -> None:
    data = open_dataset(put(tmp_path, "a.jsonl", lines([row])), method=method)
    found = next(iter(data))
    assert {name: found[name] for name in expected} == expected
    assert set(data.shape.columns) <= set(found)
    assert set(row) <= set(found)
    assert data.check(method).rows == 1


def test_columns_are_chosen_by_hand_and_the_choice_is_said(tmp_path: Path) -> None:
    put(tmp_path, "a.jsonl", lines([{"frage": "q", "antwort": "a", "prompt": "other"}]))
    data = open_dataset(tmp_path, columns={"prompt": "frage", "completion": "antwort"})
    assert next(iter(data)) == {"frage": "q", "antwort": "a", "prompt": "q", "completion": "a"}
    assert (
        str(data.mapped)
        == "Rows are read as prompt_completion: prompt from 'frage', completion from 'antwort'"
    )


def test_chosen_columns_pick_the_shape(tmp_path: Path) -> None:
    put(
        tmp_path,
        "a.jsonl",
        lines([{"messages": [USER, SAID], "q": "q", "a": "a", "context": "c", "text": "t"}]),
    )
    chosen = {"prompt": "q", "completion": "a", "input": "context"}
    data = open_dataset(tmp_path, columns=chosen, method="sft")
    assert data.shape is Shape.PROMPT_COMPLETION
    assert next(iter(data))["prompt"] == "q\n\nc"
    assert open_dataset(tmp_path, columns={"text": "context"}, method="sft").shape is Shape.TEXT
    with pytest.raises(Invalid, match="no columns for sft with chosen from 'a'"):
        open_dataset(tmp_path, columns={"chosen": "a"}, method="sft")


def test_tool_calls_are_kept(tmp_path: Path) -> None:
    call = {
        "role": "assistant",
        "content": None,
        "tool_calls": [{"function": {"name": "f", "arguments": {}}}],
    }
    put(
        tmp_path,
        "a.jsonl",
        lines([{"messages": [USER, call, {"role": "function", "name": "f", "content": "1"}]}]),
    )
    assert next(iter(open_dataset(tmp_path)))["messages"][1:] == [
        {**call, "content": ""},
        {"role": "tool", "name": "f", "content": "1"},
    ]


def test_conversational_makes_messages_of_texts() -> None:
    assert conversational({"prompt": "q", "completion": [SAID], "id": "x"}) == {
        "prompt": [USER],
        "completion": [SAID],
        "id": "x",
    }


def test_findings_count_duplicates_and_warn(tmp_path: Path) -> None:
    rows = [
        {"prompt": str(at % 30), "chosen": "a", "rejected": "a" if at == 3 else "b", "id": at}
        for at in range(40)
    ]
    found = open_dataset(put(tmp_path, "a.jsonl", lines(rows))).check("dpo")
    assert (found.rows, found.duplicates) == (40, 9)
    assert found.warnings == (
        "9 of 40 rows equal an earlier one",
        "In 1 of 40 rows the chosen answer equals the rejected one: they teach nothing",
    )
    few = open_dataset(put(tmp_path, "a.jsonl", lines(rows[:3]))).check("dpo")
    assert few.warnings == ("Only 3 rows: a model learns them by heart",)


def test_leaks_are_rows_on_both_sides(tmp_path: Path) -> None:
    put(tmp_path, "train.jsonl", lines([{"text": str(at), "id": at} for at in range(50)]))
    put(tmp_path, "test.jsonl", lines([{"text": str(at)} for at in (7, 99, 7, 12)]))
    train, test = open_dataset(tmp_path), open_dataset(tmp_path, split="test")
    assert leaks(train, test) == (
        "3 of 4 held-out rows are among the training rows: remove them from one side",
    )
    put(tmp_path, "test.jsonl", lines([{"text": "no"}]))
    assert leaks(train, test) == ()
    assert shared_rows([{"text": "a"}], [{"text": "a"}, {"text": "b"}], Shape.TEXT) == 1
