"""Whatever bytes are uploaded as a dataset, rows come out or a HubError."""

from __future__ import annotations

import gzip
import json
import tempfile
from pathlib import Path
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from seedstock.adapt.dataset import open_dataset
from seedstock.adapt.rows.shapes import METHOD_SHAPES
from seedstock.core.errors import HubError

_NAMES = ["a.jsonl", "a.json", "a.csv", "a.tsv", "a.txt", "a.jsonl.gz", "a.json.gz"]
_TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | _TEXT,
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["role", "content", "from", "value", "text", "tool_calls"]) | _TEXT, inner
        )
    ),
    max_leaves=12,
)
_COLUMNS = [
    "messages",
    "prompt",
    "completion",
    "chosen",
    "rejected",
    "text",
    "system",
    "input",
    "instruction",
    "x",
]
_ROW = st.dictionaries(st.sampled_from(_COLUMNS), _JSON, max_size=6)
_PIECES = st.lists(
    st.sampled_from(
        [b"{", b"}", b"[", b"]", b'"', b",", b":", b"\\", b"\n", b"\r", b"\0", b'"text":', b'"a"', b"\xff"]
    )
    | st.binary(max_size=4),
    max_size=40,
).map(b"".join)


def _judge(name: str, content: bytes, method: str) -> list[dict[str, Any]] | None:
    """The rows, or None where the dataset is refused; anything but a HubError fails the test."""
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, name).write_bytes(content)
        try:
            data = open_dataset(Path(folder), method=method)
            found = data.check(method)
            rows = list(data)
        except HubError as error:
            refused = error.message
        else:
            refused = ""
    if refused:
        assert "\n" not in refused
        return None
    assert found.rows == len(rows) > found.duplicates
    return rows


@given(st.sampled_from(_NAMES), st.binary(max_size=300) | _PIECES, st.sampled_from(sorted(METHOD_SHAPES)))
@example("a.jsonl", b'{"text": "\\ud800"}', "sft")
@example("a.json", b'[{"text": "a"}}', "sft")
@example("a.json", b"\xef\xbb\xbf[]", "sft")
@example("a.csv", b'text\n"a"b\n', "sft")
def test_random_bytes(name: str, content: bytes, method: str) -> None:
    _judge(name, content, method)
    if name.endswith(".gz"):
        _judge(name, gzip.compress(content), method)


@given(st.lists(_ROW, max_size=4), st.sampled_from(sorted(METHOD_SHAPES)))
def test_random_rows(rows: list[dict[str, Any]], method: str) -> None:
    by_line = _judge("a.jsonl", "".join(json.dumps(row) + "\n" for row in rows).encode(), method)
    in_array = _judge("a.json", json.dumps(rows, ensure_ascii=False).encode(), method)
    assert by_line == in_array
    for row in by_line or []:
        for name, value in row.items():
            if name in METHOD_SHAPES[method][0].columns and isinstance(value, list):
                assert all(turn["role"] in {"system", "user", "assistant", "tool"} for turn in value)


@given(st.lists(st.tuples(_TEXT, _TEXT), min_size=1, max_size=5))
def test_texts_come_back_as_they_were(pairs: list[tuple[str, str]]) -> None:
    rows = [{"prompt": f"p{one}", "completion": f"c{two}"} for one, two in pairs]
    content = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    found = _judge("a.jsonl", content.encode(), "sft")
    if any("\0" in text for pair in pairs for text in pair):
        assert found is None
    else:
        assert found == rows


@given(st.integers(0, 10_000), st.binary(min_size=1, max_size=8))
def test_parquet_with_bytes_overwritten(at: int, change: bytes) -> None:
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    sink = pa.BufferOutputStream()
    pq.write_table(pa.table({"text": [f"row {at}" for at in range(50)], "n": list(range(50))}), sink)
    whole = bytearray(sink.getvalue().to_pybytes())
    at %= len(whole)
    whole[at : at + len(change)] = change
    _judge("a.parquet", bytes(whole), "pretrain")
