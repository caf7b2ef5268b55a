"""Checks the `model.sig` of a commit: lays its files out in a folder and asks the library."""

from __future__ import annotations

import os
from pathlib import Path

from seedstock.content.service import Content
from seedstock.core.clock import Clock
from seedstock.db import publishers, repos, signatures
from seedstock.db.engine import Database
from seedstock.db.signatures import SignatureRow
from seedstock.hub.trees import Entry
from seedstock.lineage.revisions import ModelRevision, ModelRevisions

SIGNATURE_FILE = "model.sig"
_PIECE_BYTES = 4 << 20


class SignatureChecker:
    """Runs in a process of its own: signatures are hostile until they hold."""

    def __init__(self, database: Database, revisions: ModelRevisions, content: Content, clock: Clock) -> None:
        self._database = database
        self._revisions = revisions
        self._content = content
        self._clock = clock

    def check(self, repo_id: int, commit: str, folder: Path) -> SignatureRow | None:
        """Check a commit, using an empty folder; None if it is gone or holds no signature."""
        from seedstock.openness.model_signing import check_signature

        revision = self._revisions.find(repo_id, commit)
        if revision is None or revision.find(SIGNATURE_FILE) is None:
            return None
        model = folder / "model"
        for entry in revision.entries:
            self._lay_out(revision, entry, model / entry.path)
        with self._database.read() as connection:
            namespace = revision.repo.namespace
            profile = publishers.find_publishers(connection, [namespace]).get(namespace.lower())
        keys = []
        if profile is not None and profile.signing_key is not None:
            keys = [folder / f"{profile.namespace}.pem"]
            keys[0].write_text(profile.signing_key)
        found = check_signature(model, keys=keys)
        row = SignatureRow(found.state.value, found.text, (found.signer or "")[:200] or None, self._clock())
        with self._database.write() as connection:
            if repos.find_repo_by_id(connection, repo_id) is not None:
                signatures.put_signature(connection, repo_id, commit, row)
        return row

    def _lay_out(self, revision: ModelRevision, entry: Entry, target: Path) -> None:
        """A second name for the stored file where that can be had, else a copy, read with every check."""
        target.parent.mkdir(parents=True, exist_ok=True)
        stored = self._content.local_file(self._content.get(entry.digest)) if entry.digest else None
        if stored is not None:
            try:
                os.link(stored, target)
            except OSError:  # another file system
                pass
            else:
                return
        reader = self._revisions.open(revision, entry)
        with target.open("wb") as file:
            for start in range(0, entry.size_bytes, _PIECE_BYTES):
                file.write(reader.read(start, min(start + _PIECE_BYTES, entry.size_bytes)))

    def find(self, repo_id: int, commit: str) -> SignatureRow | None:
        """What the check of a commit gave."""
        with self._database.read() as connection:
            return signatures.find_signature(connection, repo_id, commit)
