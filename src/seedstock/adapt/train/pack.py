"""Sequences in batches: padded, or several to a row without seeing each other.

Rows of packed sequences keep their batch dimension, positions begin anew with each sequence, and no attention mask
is given: transformers then makes the block-diagonal mask itself. (trl joins the whole batch into one row, whose dense
mask on a CPU costs as many times more as the batch has rows.)
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Sequence
from typing import Any

import torch

from seedstock.adapt.train.encode import IGNORED, Encoded

Batch = dict[str, torch.Tensor]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Which sequences share a row: the longest first, each into the fullest row that has room (best fit).

    Rows are in the order of their first sequence, so that packing depends on nothing but the lengths.
    """
    order = sorted(range(len(lengths)), key=lambda at: (-lengths[at], at))
    rooms: list[tuple[int, int]] = []  # (room left, row), sorted
    rows: list[list[int]] = []
    for at in order:
        found = bisect.bisect_left(rooms, (lengths[at], -1))
        if found < len(rooms):
            room, row = rooms.pop(found)
        else:
            room, row = capacity, len(rows)
            rows.append([])
        rows[row].append(at)
        if room > lengths[at]:
            bisect.insort(rooms, (room - lengths[at], row))
    return sorted((sorted(row) for row in rows), key=lambda row: row[0])


def join(parts: Iterable[Encoded]) -> dict[str, list[int]]:
    """One packed row. The first token of a sequence is predicted by nothing, so it carries no loss."""
    input_ids: list[int] = []
    labels: list[int] = []
    lengths: list[int] = []
    for part in parts:
        input_ids += part.input_ids
        labels += [IGNORED, *part.labels[1:]]
        lengths.append(len(part.input_ids))
    return {"input_ids": input_ids, "labels": labels, "seq_lengths": lengths}


class Padding:
    """Makes a batch of rows with `input_ids` and `labels`, and for packed rows `seq_lengths`."""

    def __init__(self, pad_token_id: int) -> None:
        self.pad_token_id = pad_token_id

    def __call__(self, rows: Sequence[dict[str, Any]]) -> Batch:
        """A batch on the CPU."""
        ids = [torch.tensor(row["input_ids"]) for row in rows]
        batch = {
            "input_ids": _padded(ids, self.pad_token_id),
            "labels": _padded([torch.tensor(row["labels"]) for row in rows], IGNORED),
        }
        if rows[0].get("seq_lengths") is None:
            batch["attention_mask"] = _padded([torch.ones_like(row) for row in ids], 0)
        else:
            width = batch["input_ids"].shape[1]
            batch["position_ids"] = torch.stack([_positions(row["seq_lengths"], width) for row in rows])
        return batch


def _padded(rows: list[torch.Tensor], value: int) -> torch.Tensor:
    return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True, padding_value=value)


def _positions(lengths: Sequence[int], width: int) -> torch.Tensor:
    """Positions within each sequence; the padding at the end is one more, which nothing looks at."""
    rest = width - sum(lengths)
    return torch.cat([torch.arange(length) for length in (*lengths, rest) if length])
