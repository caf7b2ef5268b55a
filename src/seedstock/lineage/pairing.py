"""Compares a model with one other, over all the weight files that it has."""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable
from typing import Any

import msgspec

from seedstock.core.clock import Clock
from seedstock.core.errors import HubError, Integrity, Unavailable
from seedstock.db import weights as rows
from seedstock.db.engine import Database
from seedstock.lineage.graph import POSITIVE
from seedstock.lineage.reading import SignedSet, WeightReader
from seedstock.lineage.revisions import ModelRevision
from seedstock.lineage.weight_sets import SetKind, group_weights

MAX_COMPARED_SETS = 8


class Subject(msgspec.Struct, frozen=True):
    """A commit with its weights, signed; the first set stands for the model."""

    revision: ModelRevision
    sets: tuple[SignedSet, ...]
    unread: int = 0
    """Further sets, which were not looked at."""

    @property
    def main(self) -> SignedSet | None:
        """The set that stands for the model."""
        return self.sets[0] if self.sets else None


class Pairing(msgspec.Struct, frozen=True):
    """What the weights of two models show: one of `weights.comparison.Comparison`, as plain values, and its files."""

    result: dict[str, Any]
    files: dict[str, dict[str, str]]
    """`this` and `other`: path to digest, of what was compared."""
    agreeing: int = 1
    compared: int = 1
    left_out: int = 0

    @property
    def verdict(self) -> str:
        """The verdict."""
        return str(self.result["verdict"])

    @property
    def distance(self) -> float:
        """How far apart the weights are, for ranking relatives only; unknown is far."""
        value = self.result.get("statistics", {}).get("rho")
        return float(value) if isinstance(value, int | float) else 1e9


class Pairer:
    """Runs comparisons and remembers them by the weights they are of."""

    def __init__(self, database: Database, reader: WeightReader, clock: Clock) -> None:
        self._database = database
        self._reader = reader
        self._clock = clock

    def pair(self, subject: Subject, other: Subject) -> Pairing | None:
        """Compare every weight set of the subject with the other's own; None where one has none.

        Sets that disagree make the whole `partial`: a repo is verified only if all that it holds is.
        """
        base = other.main
        if base is None or not subject.sets:
            return None
        pairs = [(held, _counterpart(held, other) or base) for held in subject.sets[:MAX_COMPARED_SETS]]
        compared = [(held, self._compare(subject, held, other, part)) for held, part in pairs]
        result = compared[0][1]
        positive = sum(found["verdict"] in POSITIVE for _, found in compared)
        if 0 < positive < len(compared):
            named = next(
                held.held.entries[0].path for held, found in compared if found["verdict"] not in POSITIVE
            )
            result = {
                **result,
                "verdict": "partial",
                "kind": None,
                "reason": f"{positive} of {len(compared)} weight files are derived; {named} shows no such thing",
            }
        return Pairing(
            result,
            {"this": _files(held for held, _ in pairs), "other": _files(part for _, part in pairs)},
            agreeing=positive,
            compared=len(compared),
            left_out=len(subject.sets) - len(compared) + subject.unread,
        )

    def damaged(self, subject: Subject, other: ModelRevision) -> Pairing | None:
        """What is said, and not remembered, where the store has damaged or lost the bytes of one of the two."""
        groups = group_weights(other.entries)
        if subject.main is None or not groups:
            return None
        reason = "The files of one of the two are damaged in this hub's store"
        return Pairing(inconclusive(reason), {"this": subject.main.held.files, "other": groups[0].files})

    def _compare(self, subject: Subject, held: SignedSet, other: Subject, base: SignedSet) -> dict[str, Any]:
        from seedstock.weights.comparison import METHOD

        if held.digest == base.digest:
            return _same_files()
        if held.held.kind is SetKind.ADAPTER:  # by its name: the same bytes may be called a model elsewhere
            return self._run(subject, held, other, base)
        with self._database.read() as connection:
            known = rows.find_comparison(connection, held.digest, base.digest, METHOD)
        if known is not None:
            return known
        result = self._run(subject, held, other, base)
        with self._database.write() as connection:
            rows.put_comparison(connection, held.digest, base.digest, METHOD, result, self._clock())
        return result

    def _run(self, subject: Subject, held: SignedSet, other: Subject, base: SignedSet) -> dict[str, Any]:
        from seedstock.weights.adapter import check_adapter
        from seedstock.weights.compare import compare

        problem = held.problem or base.problem
        if problem is not None and (held.signature is None or base.signature is None):
            return inconclusive(problem)
        left = self._reader.open(subject.revision, held.held)
        right = self._reader.open(other.revision, base.held)
        try:
            if held.held.kind is SetKind.ADAPTER:
                found = check_adapter(left, right)
            else:
                found = compare(left, right, a_signature=held.signature, b_signature=base.signature)
        except (Unavailable, Integrity):
            raise
        except HubError as error:
            return inconclusive(error.message)
        finally:
            left.close()
            right.close()
        plain: dict[str, Any] = storable(msgspec.to_builtins(found))
        return plain


def storable(value: Any) -> Any:
    """Figures as JSON has them: hostile weights can give others, which PostgreSQL and signed records refuse.

    What is not a number goes; what is too large for one is the largest.
    """
    if isinstance(value, dict):
        return {key: storable(item) for key, item in value.items() if not _holds_nan(item)}
    if isinstance(value, list | tuple):
        return [storable(item) for item in value]
    if isinstance(value, float) and math.isinf(value):
        return math.copysign(sys.float_info.max, value)
    return value


def _holds_nan(value: Any) -> bool:
    items = value if isinstance(value, list | tuple) else [value]
    return any(isinstance(item, float) and math.isnan(item) for item in items)


def _files(sets: Iterable[SignedSet]) -> dict[str, str]:
    return {path: digest for signed in sets for path, digest in signed.held.files.items()}


def _counterpart(held: SignedSet, other: Subject) -> SignedSet | None:
    """The other's set of the same bytes, if it has one."""
    return next((candidate for candidate in other.sets if candidate.digest == held.digest), None)


def _same_files() -> dict[str, Any]:
    return {
        "verdict": "identical",
        "kind": None,
        "direction": None,
        "coefficient": None,
        "method": "file-digest@1",
        "statistics": {"files_equal": 1.0},
        "thresholds": {},
        "error_rate": {"text": "SHA-256 of all files is equal; collisions are not known"},
        "facts": {},
        "per_layer": [],
        "shared_tensors": [],
        "tensors_read": 0,
        "bytes_read": 0,
        "reason": "The weight files are byte for byte the same",
    }


def inconclusive(reason: str) -> dict[str, Any]:
    """The result where nothing could be compared."""
    return _same_files() | {
        "verdict": "inconclusive",
        "statistics": {},
        "error_rate": {},
        "method": "weights-compare@1",
        "reason": reason,
    }
