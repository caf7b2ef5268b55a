"""Reads what weights say, once for each set of weights, whoever holds them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import msgspec

from seedstock.core.clock import Clock
from seedstock.core.errors import HubError, Integrity, Unavailable
from seedstock.db import weights as rows
from seedstock.db.engine import Database
from seedstock.db.weights import WeightSetRow
from seedstock.lineage.revisions import ModelRevision, ModelRevisions
from seedstock.lineage.weight_sets import WeightSet

if TYPE_CHECKING:
    from seedstock.weights.checkpoint import Checkpoint
    from seedstock.weights.signature import Signature

_PACK = msgspec.msgpack.Encoder()


class SignedSet(msgspec.Struct, frozen=True):
    """A weight set of a commit with its signature; `problem` says why its weights cannot be compared."""

    held: WeightSet
    digest: str
    signature: Signature | None
    problem: str | None


class WeightReader:
    """Opens and signs weights."""

    def __init__(self, database: Database, revisions: ModelRevisions, clock: Clock) -> None:
        self._database = database
        self._revisions = revisions
        self._clock = clock

    def open(self, revision: ModelRevision, held: WeightSet) -> Checkpoint:
        """The tensors of a weight set. Raises UnsupportedFormat.

        What kind of file it is, its first bytes say: what is remembered of them must hold whatever they are called.
        """
        from seedstock.weights.checkpoint import open_checkpoint

        files = {f"{at:05}": self._revisions.open(revision, entry) for at, entry in enumerate(held.entries)}
        return open_checkpoint(files)

    def gguf_header(self, revision: ModelRevision, held: WeightSet) -> Mapping[str, str | int | float]:
        """The short values of a GGUF's header; none of a file that cannot be read."""
        try:
            checkpoint = self.open(revision, held)
        except Unavailable:
            raise
        except HubError:
            return {}
        checkpoint.close()
        return checkpoint.metadata

    def sign(self, revision: ModelRevision, held: WeightSet) -> SignedSet:
        """The signature of a weight set, read from its files unless that was done before.

        What is wrong with a file becomes its `problem`. Raises Unavailable.
        """
        from seedstock.weights.signature import METHOD, Signature

        digest = held.digest
        with self._database.read() as connection:
            known = rows.find_weight_set(connection, digest, METHOD)
        if known is not None:
            signature = msgspec.msgpack.decode(known.signature, type=Signature | None)
            return SignedSet(held, digest, signature, known.problem)
        signature, problem = self._read(revision, held)
        row = WeightSetRow(digest, held.kind, METHOD, problem, _PACK.encode(signature))
        usable = signature is not None and problem is None and bool(signature.sketches)
        with self._database.write() as connection:
            rows.put_weight_set(
                connection,
                row,
                signature.sketches if usable and signature is not None else None,
                self._clock(),
            )
        return SignedSet(held, digest, signature, problem)

    def _read(self, revision: ModelRevision, held: WeightSet) -> tuple[Signature | None, str | None]:
        from seedstock.weights.signature import sign

        try:
            checkpoint = self.open(revision, held)
        except (Unavailable, Integrity):
            raise
        except HubError as error:
            return None, error.message
        try:
            signature = sign(checkpoint)
        except (Unavailable, Integrity):
            raise  # damaged here, not wrong in itself: nothing is recorded of it
        except HubError as error:
            return None, error.message
        finally:
            checkpoint.close()
        return signature, signature.problem
