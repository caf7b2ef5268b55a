"""Bad datasets are refused before weights load, with file, line and what to do."""

from __future__ import annotations

import gzip
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from seedstock.adapt.dataset import open_dataset
from seedstock.adapt.rows import limits, lines, parquet
from seedstock.core.errors import Invalid

GOOD = '{"prompt": "a", "completion": "b"}\n'
USER = {"role": "user", "content": "q"}


def fault(folder: Path, name: str, content: str | bytes, method: str = "sft", **options: Any) -> str:
    """The message and hint with which a dataset of one file is refused."""
    (folder / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(Invalid) as raised:
        open_dataset(folder, method=method).check(method, **options)
    assert raised.value.hint
    return f"{raised.value.message} | {raised.value.hint}"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("a.jsonl", "", "There are no rows in a.jsonl"),
        ("a.jsonl", "\n \n", "There are no rows in a.jsonl"),
        ("a.json", "[]", "There are no rows in a.json"),
        ("a.csv", "prompt,completion\n", "There are no rows in a.csv"),
        ("README.md", "# rows", "There is no data file: found only 'README.md'"),
        ("a.jsonl", GOOD + '{"prompt": "é", "completion": }\n', "a.jsonl, line 2: broken JSON at column 31"),
        ("a.jsonl", GOOD + GOOD[:-5], "a.jsonl, line 2: broken JSON: Input data was truncated"),
        ("a.jsonl", GOOD + "\n[1]\n", "a.jsonl, line 3: an array where an object is wanted"),
        ("a.jsonl", GOOD + "null\n", "a.jsonl, line 2: null where an object is wanted"),
        ("a.jsonl", GOOD + '{"a": NaN}\n', "a.jsonl, line 2: broken JSON at column 7"),
        ("a.jsonl", GOOD.encode() + b'{"prompt": "\xe9"}', "a.jsonl, line 2: not UTF-8: byte 0xe9 at byte 47 of the"),
        ("a.jsonl", GOOD.encode("utf-16"), "a.jsonl, line 1: not UTF-8: this looks like UTF-16"),
        ("a.jsonl", GOOD + '{"a": "\0"}', "a.jsonl, line 2: NUL byte at byte 42 of the file"),
        ("a.jsonl", GOOD.replace("b", "\\u0000b"), "a.jsonl, line 1: 'completion' holds a NUL character"),
        ("a.jsonl", '{"prompt": "' + "x" * 10_000_000 + '"}\n', "a.jsonl, line 1: longer than 8388608 bytes"),
        ("a.csv", "prompt,completion\n" + "x" * 10_000_000, "a.csv, line 2: longer than 8388608 bytes"),
        ("a.json", '[{"prompt": "' + "x" * 10_000_000 + '"}]', "a.json, element 1: longer than 8388608 bytes"),
        ("a.txt", "x" * 10_000_000, "a.txt, line 1: longer than 8388608 bytes"),
        ("a.jsonl", "[" * 100_000, "a.jsonl, line 1: nested too deeply"),
        ("a.jsonl", '{"a":' * 100_000, "a.jsonl, line 1: nested too deeply"),
        ("a.json", "[" * 100_000, "a.json: the array ends in its element 1"),
        ("a.json", '{"a":' * 100_000, "a.json: nested too deeply"),
        ("a.jsonl", GOOD[:-2] + f', "x": {"[" * 70 + "]" * 70}}}', "'x' is nested more than 64 deep"),
        ("a.json", f"[{GOOD}, {GOOD}", "a.json: the array ends in its element 2"),
        ("a.json", f"[{GOOD}, {{1: 2}}]", "a.json, element 2: broken JSON at column 3"),
        ("a.json", f"[{GOOD},]", "a.json, element 2: broken JSON"),
        ("a.json", f"[{GOOD}] 1", "a.json: something follows the array"),
        ("a.json", '{"prompt": ["a", "b"], "completion": ["c"]}', "a.json: columns of different lengths: 'prompt' 2"),
        ("a.json", '{"prompt": "a", "completion": "c"}', "a.json: 'prompt' is no list: one object is not rows"),
        ("a.json", "3", "a.json: neither an array nor an object"),
        ("a.csv", "prompt;completion\na;b\n", "a.csv, line 1: one column, called 'prompt;completion'"),
        ("a.csv", "prompt,prompt\na,b\n", "a.csv, line 1: column names twice or empty"),
        ("a.csv", 'prompt,completion\n"a\n",b\nc\n', "a.csv, line 4: 1 values; the first line names 2 columns"),
        ("a.csv", 'prompt,completion\na,b\n"c\n,d\n', "a.csv, line 3: broken quotes: unexpected end of data"),
        ("a.jsonl.gz", b"no gzip", "a.jsonl.gz: the gzip data is broken or cut off"),
        ("a.jsonl.gz", gzip.compress(GOOD.encode() * 9)[:-9], "a.jsonl.gz: the gzip data is broken or cut off"),
        ("a.jsonl.gz", gzip.compress(b"\n" * 30_000_000), "a.jsonl.gz, line 10001: more than 10000 empty lines in a row"),
        ("a.jsonl.gz", gzip.compress(GOOD.replace("b", "b" * 10**6).encode() * 30), "expands to more than 200 times its size"),
        ("a.jsonl.gz", gzip.compress(b" " * 30_000_000), "a.jsonl.gz, line 1: longer than 8388608 bytes"),
    ],
)  # fmt: skip
def test_broken_files(tmp_path: Path, name: str, content: str | bytes, message: str) -> None:
    assert message in fault(tmp_path, name, content)


@pytest.mark.parametrize(
    ("method", "row", "message"),
    [
        ("sft", {"frage": "q"}, "a.jsonl: no columns for sft; it has the columns 'frage' | Wanted: `messages`; or"),
        ("dpo", {"prompt": "q", "chosen": "a"}, "no columns for dpo; it has the columns 'prompt', 'chosen'"),
        ("pretrain", {"messages": [USER]}, "no columns for pretrain"),
        ("sft", {"prompt": "q", "completion": " \n"}, "line 1: 'completion' is empty | Leave the row out"),
        ("sft", {"prompt": "", "completion": "a"}, "line 1: 'prompt' is empty"),
        ("sft", {"prompt": 3, "completion": "a"}, "line 1: 'prompt' is a int, not text"),
        ("sft", {"prompt": "q", "completion": None}, "line 1: 'completion' is null, not text"),
        ("sft", {"messages": [USER]}, "line 1: 'messages' has no turn of the assistant"),
        ("sft", {"messages": []}, "line 1: 'messages' has no messages"),
        ("sft", {"messages": "hi"}, "line 1: 'messages' is text, not a list of messages"),
        ("sft", {"messages": ["hi"]}, "line 1: message 1 of 'messages' is text"),
        ("sft", {"messages": [USER, {"role": "wizard", "content": "a"}]}, "message 2 of 'messages' has the role 'wiz"),
        ("sft", {"messages": [USER, {"content": "a"}]}, "message 2 of 'messages' has no role"),
        ("sft", {"messages": [USER, {"role": "assistant"}]}, "message 2 of 'messages' has no content"),
        ("sft", {"messages": [USER, {"role": "assistant", "content": " "}]}, "all turns of the assistant in 'messages'"),
        ("sft", {"messages": [{"role": "user", "content": [{"type": "image"}]}]}, "has parts that are no text"),
        ("sft", {"messages": [USER], "system": 3}, "'system' is a int, not text"),
        ("grpo", {"messages": [{"role": "assistant", "content": "a"}]}, "the assistant's alone: there is no prompt"),
        ("dpo", {"chosen": "a", "rejected": "b"}, "there is no prompt: chosen and rejected begin differently"),
        ("dpo", {"prompt": "q", "chosen": "a", "rejected": [USER]}, "'rejected' has no turn of the assistant"),
    ],
)  # fmt: skip
def test_rows_that_teach_nothing(tmp_path: Path, method: str, row: dict[str, Any], message: str) -> None:
    assert message in fault(tmp_path, "a.jsonl", json.dumps(row), method)


def test_the_first_bad_row_of_many_is_named(tmp_path: Path) -> None:
    rows = GOOD * 200 + '{"prompt": ["a"], "completion": "b"}\n'
    assert "a.jsonl, line 201: message 1 of 'prompt' is text" in fault(tmp_path, "a.jsonl", rows)
    rows = GOOD * 200 + json.dumps({"prompt": [USER], "completion": "b"})
    assert "a.jsonl, line 201: 'prompt' is a list of messages, in the first row text" in fault(
        tmp_path, "a.jsonl", rows
    )
    rows = GOOD * 200 + '{"prompt": "a", "other": "b"}\n'
    assert "line 201: there is no column 'completion'; columns are 'prompt', 'other'" in fault(
        tmp_path, "a.jsonl", rows
    )


def test_columns_that_rewards_need(tmp_path: Path) -> None:
    rows = '{"prompt": "a", "answer": 0}\n{"prompt": "b", "answer": null}\n'
    message = fault(tmp_path, "a.jsonl", rows, "grpo", columns=["answer"])
    assert (
        "a.jsonl, line 2: there is no 'answer', which the rewards look at; columns are 'prompt', 'answer'"
        in message
    )


def test_a_dataset_of_another_shape_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "a", "prompt": "b", "completion": "c"}\n')
    data = open_dataset(tmp_path)
    with pytest.raises(Invalid, match="pretrain reads text"):
        data.check("pretrain")
    with pytest.raises(Invalid, match="'bake' reads no rows"):
        data.check("bake")
    with pytest.raises(Invalid, match="no method that reads rows"):
        open_dataset(tmp_path, method="bake")


def test_wrong_choices_of_columns(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text(GOOD)
    with pytest.raises(
        Invalid, match="there is no column 'frage'; it has the columns 'prompt', 'completion'"
    ):
        open_dataset(tmp_path, columns={"prompt": "frage"})
    with pytest.raises(Invalid, match="'frage' is no column of training data"):
        open_dataset(tmp_path, columns={"frage": "prompt"})


def test_no_folder_and_too_many_files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(Invalid, match="no folder 'none'"):
        open_dataset(tmp_path / "none")
    with pytest.raises(Invalid, match="the folder is empty"):
        open_dataset(tmp_path)
    monkeypatch.setattr("seedstock.adapt.rows.files.MAX_FILES", 3)
    for at in range(4):
        (tmp_path / f"{at}.jsonl").write_text(GOOD)
    with pytest.raises(Invalid, match="More than 3 files"):
        open_dataset(tmp_path)


def test_a_stray_quote_does_not_swallow_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (limits, lines):
        monkeypatch.setattr(module, "MAX_ROW_BYTES", 1000)
    monkeypatch.setattr("seedstock.adapt.rows.delimited.MAX_ROW_BYTES", 1000)
    message = fault(tmp_path, "a.csv", 'prompt,completion\na,b\n"c,d\n' + "e,f\n" * 1000)
    assert "a.csv, line 3: longer than 1000 bytes" in message


def parquet_bytes(folder: Path, table: dict[str, list[Any]], **options: Any) -> bytes:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    pq.write_table(pa.table(table), folder / "made", **options)
    return (folder / "made").read_bytes()


def test_parquet_that_is_cut_changed_or_none(tmp_path: Path) -> None:
    whole = parquet_bytes(tmp_path, {"prompt": ["a"] * 500, "completion": ["b"] * 500})
    for content in (b"", b"PAR1", whole[:-9], whole[9:], b"x" * 500):
        assert "a.parquet: not a whole Parquet file" in fault(tmp_path, "a.parquet", content)
    broken = parquet_bytes(tmp_path, {"text": ["grün"] * 5}, compression="none", use_dictionary=False)
    assert "not UTF-8" in fault(tmp_path, "a.parquet", broken.replace("grün".encode(), b"gr\xff\xffn"))


def test_parquet_that_is_too_large(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MAX_ROW_BYTES", 1000)
    for options in ({}, {"use_dictionary": False}):
        content = parquet_bytes(tmp_path, {"text": ["a", "b" * 1001]}, **options)
        assert "a.parquet, one of the rows from 1: longer than" in fault(tmp_path, "a.parquet", content)
    monkeypatch.setattr(parquet, "MAX_COLUMN_CHUNK_BYTES", 100)
    assert "column 'text' has" in fault(tmp_path, "a.parquet", content)


def test_memory_does_not_grow_with_the_file(tmp_path: Path) -> None:
    """120 MB in three formats, read with 50 MB more than the imports take."""
    row = json.dumps({"text": "word " * 2000}) + "\n"
    (tmp_path / "a.jsonl").write_text(row * 4000)
    (tmp_path / "b.json").write_text("[" + ",".join([row] * 4000) + "]")
    (tmp_path / "c.csv").write_text("text\n" + ("word " * 2000 + "\n") * 4000)
    program = (
        "import resource, sys\nfrom pathlib import Path\nfrom seedstock.adapt.dataset import open_dataset\n"
        "peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss\nbefore = peak()\n"
        "data = open_dataset(Path(sys.argv[1]), files=['*'])\nprint(data.check('pretrain').rows, peak() - before)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(tmp_path)],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": "src"},
    )  # fmt: skip
    rows, grown = map(int, done.stdout.split())
    assert rows == 12_000
    assert grown < 50_000
