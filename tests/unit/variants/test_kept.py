"""Checkpoints that outlive their job: what is kept, in which bounds, and what removes it."""

from __future__ import annotations

from pathlib import Path

import pytest

from seedstock.adapt.train.checkpoints import Link, Progress, checkpoints, complete, thin
from seedstock.variants.kept import Kept, KeptRuns

SIZE = 1000


def checkpoint(state: Path, step: int, *, links: int) -> None:
    """One of SIZE bytes and a little; at its step there is a link, unless its chain ends before."""
    folder = state / f"checkpoint-{step}"
    folder.mkdir(parents=True)
    (folder / "weights").write_bytes(bytes(SIZE))
    complete(
        folder, Progress(step=step, chain=[Link(10 * number, "0" * 8) for number in range(1, links + 1)])
    )


def stage(folder: Path, steps: int = 3) -> Path:
    """The folder of a stage that is over."""
    for number in range(1, steps + 1):
        checkpoint(folder / "state", 10 * number, links=number)
    (folder / "state" / "best.safetensors").write_bytes(b"best")
    (folder / "state" / "result.json").write_bytes(b"{}")
    (folder / "state" / "rows").mkdir()
    return folder


def about(at_ms: int) -> Kept:
    return Kept(repo_id=7, commit="c", stage="sft", device="cpu", at_ms=at_ms, segments=3, checkable=3)


def test_checkpoints_and_the_files_beside_them_are_moved_and_nothing_else(tmp_path: Path) -> None:
    runs, work, made = KeptRuns(tmp_path / "kept", 1 << 20), stage(tmp_path / "work"), tmp_path / "made"
    made.mkdir()
    (made / "data.jsonl").write_bytes(b"{}\n")
    assert runs.keep(1, about(1), work, {"data": made}, print)
    place = runs.place(1)
    assert {path.name for path in (place / "state").iterdir()} == {
        "best.safetensors", "checkpoint-10", "checkpoint-20", "checkpoint-30"
    }  # fmt: skip
    assert (place / "made" / "data" / "data.jsonl").read_bytes() == b"{}\n"
    found = runs.find(1)
    assert found is not None
    assert found.size_bytes > 3 * SIZE
    assert runs.keep(1, about(2), work, {"data": made}, print), "an attempt that did not know of it"
    assert len(checkpoints(place / "state")) == 3
    assert (runs.forget(1), runs.forget(1), runs.find(1)) == (True, False, None)
    assert not place.exists()


def test_the_oldest_make_room_and_what_is_too_large_is_not_kept(tmp_path: Path) -> None:
    runs, said = KeptRuns(tmp_path / "kept", 9 * SIZE), list[str]()
    for job, at_ms in ((5, 20), (6, 10), (7, 30)):
        assert runs.keep(job, about(at_ms), stage(tmp_path / str(job)), {}, said.append)
    assert [job for job in (5, 6, 7) if runs.find(job)] == [5, 7], "6 is the oldest"
    assert said == ["To make room, the checkpoints that were kept longest were removed, of 1 job(s)"]
    assert not runs.keep(8, about(40), stage(tmp_path / "8", steps=9), {}, said.append)
    assert "SEEDSTOCK_KEPT_BYTES" in said[1]
    assert [job for job in (5, 6, 7, 8) if runs.find(job)] == [5, 7]


def test_what_is_kept_of_forgotten_jobs_is_swept(tmp_path: Path) -> None:
    runs = KeptRuns(tmp_path / "kept", 1 << 20)
    assert runs.sweep(lambda ids: ids) == 0
    for job in (5, 6):
        assert runs.keep(job, about(job), stage(tmp_path / str(job)), {}, print)
    (tmp_path / "kept" / "9.part").mkdir()
    assert runs.sweep(lambda _: {6}) == 2
    assert {path.name for path in (tmp_path / "kept").iterdir()} == {"6", ".lock"}


@pytest.mark.parametrize(
    ("limit", "stay"),
    [
        (100 * SIZE, [10, 20, 30, 40, 50, 60, 70, 80]),
        (7 * SIZE, [20, 40, 60, 70, 80]),
        (5 * SIZE, [40, 70, 80]),
        (0, [70, 80]),
    ],
)
def test_a_run_thins_its_checkpoints_evenly(tmp_path: Path, limit: int, stay: list[int]) -> None:
    stage(tmp_path, steps=8)
    checkpoint(tmp_path / "state", 15, links=1)  # an interruption's
    thin(tmp_path / "state", limit)
    assert [progress.step for _, progress in checkpoints(tmp_path / "state")] == stay
