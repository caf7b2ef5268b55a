"""Compares every pair, two processes at a time, and counts what was right."""

from __future__ import annotations

import hashlib
import multiprocessing
import time
import zlib
from collections.abc import Iterator
from pathlib import Path

import msgspec

from seedstock.core.errors import HubError
from tests.bench.lineage import labels
from tests.bench.lineage.labels import Manifest, Pair
from tests.bench.lineage.reading import open_files


class Outcome(msgspec.Struct, frozen=True):
    """What was said of one pair. `verdict` is "error: ..." where the comparison refused the files."""

    pair: Pair
    verdict: str
    kind: str | None
    parent: str | None
    """The member that the answer names as the older one, if it names one."""
    reason: str
    statistics: dict[str, float]
    cpu_s: float
    bytes_read: int

    @property
    def right(self) -> bool:
        """Whether the verdict is one that the construction allows."""
        said = "inconclusive" if self.verdict.startswith("error") else self.verdict
        return said in labels.EXPECTED[self.pair.made].verdicts

    @property
    def right_kind(self) -> bool | None:
        """Whether the kind fits; None where the verdict or the label has none."""
        kinds = labels.EXPECTED[self.pair.made].kinds
        return None if not kinds or self.verdict != "derived" else self.kind in kinds

    @property
    def false_relation(self) -> bool:
        """The worst bug: related, said of a pair that is not."""
        return self.pair.made in labels.NEGATIVE and self.verdict in labels.RELATED

    @property
    def false_direction(self) -> bool:
        """Whether the answer names the wrong parent, or one where none of the two is."""
        return self.parent is not None and self.parent != self.pair.parent


class MergeOutcome(msgspec.Struct, frozen=True):
    """What was said of one merge; `errors` are the distances of the coefficients from the true ones."""

    merge: labels.Merge
    is_merge: bool
    coefficients: tuple[float, ...] | None
    errors: tuple[float, ...]
    method: str


def compare_all(
    folder: Path, manifest: Manifest, processes: int = 2, kept: Path | None = None
) -> list[Outcome]:
    """Compare every pair. With `kept`, answers of the same code about the same files are read from there, and added."""
    path = kept / f"{_method_digest()}.jsonl" if kept else None
    known = {_identity(outcome.pair): outcome for outcome in _read(path)}
    files = {member.name: member.files for member in manifest.members}
    tasks = [
        (folder, files[pair.a], files[pair.b], pair)
        for pair in manifest.pairs
        if _identity(pair) not in known
    ]
    for outcome in _mapped(_compare, tasks, processes):
        known[_identity(outcome.pair)] = outcome
        if path:
            path.parent.mkdir(parents=True, exist_ok=True)
            with path.open("ab") as file:
                file.write(msgspec.json.encode(outcome) + b"\n")
    return [known[_identity(pair)] for pair in manifest.pairs]


def _identity(pair: Pair) -> tuple[str, str, str]:
    return pair.a, pair.b, pair.made


def _read(path: Path | None) -> list[Outcome]:
    if path is None or not path.exists():
        return []
    return [msgspec.json.decode(line, type=Outcome) for line in path.read_bytes().splitlines()]


def _method_digest() -> str:
    """Of all code that an answer depends on."""
    import seedstock.weights

    state = hashlib.sha256(Path(__file__).read_bytes())
    for path in sorted(Path(seedstock.weights.__file__).parent.glob("*.py")):
        state.update(path.read_bytes())
    return state.hexdigest()[:16]


def explain_all(folder: Path, manifest: Manifest, processes: int = 2) -> list[MergeOutcome]:
    """Explain every merge."""
    files = {member.name: member.files for member in manifest.members}
    tasks = [(folder, files, merge) for merge in manifest.merges]
    return list(_mapped(_explain, tasks, processes))


def _mapped(work, tasks: list, processes: int) -> Iterator:  # type: ignore[no-untyped-def,type-arg]
    if processes == 1:
        yield from map(work, tasks)
        return
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        yield from pool.imap(work, tasks)


def _compare(task: tuple[Path, tuple[str, ...], tuple[str, ...], Pair]) -> Outcome:
    from seedstock.weights.compare import compare

    folder, files_a, files_b, pair = task
    began = time.process_time()
    try:
        a, b = open_files(folder, files_a), open_files(folder, files_b)
        said = compare(a, b, seed=_seed(pair))
        a.close()
        b.close()
    except HubError as error:
        reason = f"{type(error).__name__}: {error.message}"
        return Outcome(pair, "error", None, None, reason, {}, time.process_time() - began, 0)
    parent = {"a_from_b": pair.b, "b_from_a": pair.a}.get(str(said.direction))
    figures = {name: value for name, value in said.statistics.items() if isinstance(value, int | float)}
    kind = str(said.kind) if said.kind is not None else None
    return Outcome(
        pair, str(said.verdict), kind, parent, said.reason, figures, time.process_time() - began, said.bytes_read
    )  # fmt: skip


def _seed(pair: Pair) -> int:
    """Of the places that are looked at: another for each pair, the same in every run."""
    return zlib.crc32(f"{pair.a} {pair.b} {pair.made}".encode())


def _explain(task: tuple[Path, dict[str, tuple[str, ...]], labels.Merge]) -> MergeOutcome:
    from seedstock.weights.merge import explain_merge

    folder, files, merge = task
    target, base = open_files(folder, files[merge.target]), open_files(folder, files[merge.base])
    parents = [open_files(folder, files[name]) for name in merge.parents]
    said = explain_merge(target, parents, base)
    for checkpoint in (target, base, *parents):
        checkpoint.close()
    if said is None:
        return MergeOutcome(merge, False, None, (), "")
    errors: tuple[float, ...] = ()
    if merge.coefficients:
        errors = tuple(abs(a - b) for a, b in zip(said.coefficients, merge.coefficients, strict=True))
    return MergeOutcome(merge, len(said.parents) >= 2, said.coefficients, errors, said.method)
