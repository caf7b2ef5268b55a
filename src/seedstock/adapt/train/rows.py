"""The rows of a stage's datasets, read through once before any weights load: a fault is found here, with its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from seedstock.adapt.dataset import Dataset, open_dataset
from seedstock.adapt.methods import Rows
from seedstock.adapt.stage import Event
from seedstock.adapt.train.model import Say


class CheckedRows:
    """Rows of one dataset after another, which may be read as often as wanted."""

    def __init__(self, datasets: Sequence[Dataset]) -> None:
        self._datasets = datasets

    def __iter__(self) -> Iterator[dict[str, Any]]:
        for dataset in self._datasets:
            yield from dataset

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self._datasets)


def open_rows(
    work: Path, wanted: Sequence[Rows], method: str, say: Say, *, columns: Sequence[str] = ()
) -> CheckedRows:
    """The checked rows of a stage's inputs; what is odd about them is said in the log.

    `columns` are further ones that every row must have, for the rewards.
    """
    datasets = []
    for item in wanted:
        folder = work / "inputs" / item.input
        dataset = open_dataset(folder, columns=item.columns, split=item.split, method=method)
        say(Event(log=str(dataset.mapped)))
        for warning in dataset.check(method, columns=columns).warnings:
            say(Event(log=f"Warning: {warning}"))
        datasets.append(dataset)
    return CheckedRows(datasets)
