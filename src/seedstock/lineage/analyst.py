"""The work of the job `analyse_lineage`: signs a commit's weights, compares them, and files what was found."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import sqlalchemy as sa

from seedstock.core.clock import Clock, iso
from seedstock.core.errors import HubError, Integrity, Unavailable
from seedstock.core.names import RepoType
from seedstock.db import lineage as rows
from seedstock.db import lineage_status, refs, repos
from seedstock.db import weights as weight_rows
from seedstock.db.engine import Database
from seedstock.hub.index_queue import enqueue_analysis, enqueue_grade
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.queue import Queue
from seedstock.lineage.declared import Declared, read_declared
from seedstock.lineage.discovery import Discovery
from seedstock.lineage.findings import Finding, badge, certain_direction, statement
from seedstock.lineage.merging import explain_merges
from seedstock.lineage.pairing import Pairer, Pairing, Subject
from seedstock.lineage.reading import WeightReader
from seedstock.lineage.revisions import ModelRevision, ModelRevisions
from seedstock.lineage.weight_sets import MAX_SETS, group_weights

SignRecord = Callable[[dict[str, Any]], str]
"""An in-toto statement as plain values to the text of its signed envelope."""


class Analyst:
    """Analyses commits. It sees every repo; who may read of what it finds is decided when it is read."""

    def __init__(
        self,
        database: Database,
        revisions: ModelRevisions,
        discovery: Discovery,
        queue: Queue,
        sign_record: SignRecord,
        clock: Clock,
    ) -> None:
        self._database = database
        self._revisions = revisions
        self._reader = WeightReader(database, revisions, clock)
        self._pairer = Pairer(database, self._reader, clock)
        self._discovery = discovery
        self._queue = queue
        self._sign_record = sign_record
        self._clock = clock

    def analyse(self, context: JobContext, repo_id: int, commit_oid: str) -> dict[str, Any] | None:
        """Analyse a commit; None when the repo is gone by now. A failure is recorded and raised."""
        revision = self._revisions.find(repo_id, commit_oid)
        if revision is None:
            return None
        self._say(revision, "running")
        try:
            findings = self._findings(context, revision)
        except Unavailable:
            self._say(revision, "queued")
            raise
        except HubError as error:
            self._say(revision, "failed", error.message)
            raise
        except Exception:
            self._say(revision, "failed", "The analysis failed unexpectedly; its job's log says how")
            raise
        self._file(revision, findings)
        return {"edges": len(findings), "verdicts": [finding.verdict for finding in findings]}

    def ask_all(self, limit: int) -> int:
        """Queue the analysis of heads that none was ever asked for; how many."""
        with self._database.write() as connection:
            heads = lineage_status.heads_without_status(connection, limit)
            for repo_id, commit in heads:
                enqueue_analysis(self._queue, connection, repo_id, commit, self._clock())
        return len(heads)

    def _say(self, revision: ModelRevision, status: str, error: str | None = None) -> None:
        with self._database.write() as connection:
            if repos.find_repo_by_id(connection, revision.repo.id) is not None:
                lineage_status.put_status(
                    connection, revision.repo.id, revision.commit_oid, status, self._clock(), error
                )

    def _findings(self, context: JobContext, revision: ModelRevision) -> list[Finding]:
        subject = self._sign(context, revision)
        header = next((found.held for found in subject.sets if found.held.is_gguf), None)
        gguf = self._reader.gguf_header(revision, header) if header else None
        declared = read_declared(revision, self._revisions, gguf)
        findings = [self._check_declared(context, subject, item) for item in declared]
        nearest = min((f.pairing.distance for f in findings if f.pairing and f.is_positive), default=None)
        for candidate in self._discovery.relatives(subject, findings):
            other = candidate.revision
            pairing = self._pair(context, subject, other)
            context.log(f"{other.name}: {pairing.verdict if pairing else 'no weights'}")
            if candidate.is_sibling and pairing and nearest is not None and pairing.distance >= nearest:
                continue  # what two children of one parent have in common is the parent
            late = pairing is not None and self._parent_is_late(subject, other, pairing)
            findings.append(Finding(other, None, pairing, parent_is_late=late))
        kept = [finding for finding in findings if finding.is_kept]
        return explain_merges(subject, kept, self._reader, self._discovery)

    def _sign(self, context: JobContext, revision: ModelRevision) -> Subject:
        groups = group_weights(revision.entries)
        sets = []
        for held in groups[:MAX_SETS]:
            signed = self._reader.sign(revision, held)
            sets.append(signed)
            if signed.problem:
                context.log(f"{revision.name}: {held.entries[0].path}: {signed.problem}")
        with self._database.write() as connection:
            if repos.find_repo_by_id(connection, revision.repo.id) is not None:
                holds = [(signed.digest, signed.held.files) for signed in sets]
                weight_rows.hold_weights(connection, revision.repo.id, revision.commit_oid, holds)
        return Subject(revision, tuple(sets), len(groups) - len(sets))

    def _pair(self, context: JobContext, subject: Subject, other: ModelRevision) -> Pairing | None:
        try:
            return self._pairer.pair(subject, self._sign(context, other))
        except Integrity as error:  # one damaged model is not to stop the analysis of all that are near it
            context.log(f"{other.name}: {error.message}")
            return self._pairer.damaged(subject, other)

    def _parent_is_late(self, subject: Subject, other: ModelRevision, pairing: Pairing) -> bool:
        direction = certain_direction(pairing.result)
        groups = group_weights(other.entries)
        if direction is None or subject.main is None or not groups:
            return False
        with self._database.read() as connection:
            own = weight_rows.held_since(connection, subject.revision.repo.id, subject.main.digest)
            its = weight_rows.held_since(connection, other.repo.id, groups[0].digest)
        if own is None or its is None:
            return False
        return own < its if direction == "a_from_b" else its < own

    def _check_declared(self, context: JobContext, subject: Subject, declared: Declared) -> Finding:
        base = self._find_base(declared)
        if base is None or base.repo.id == subject.revision.repo.id:
            return Finding(None, declared)
        pairing = self._pair(context, subject, base)
        context.log(f"{declared.name} ({declared.relation}): {pairing.verdict if pairing else 'no weights'}")
        return Finding(base, declared, pairing)

    def _find_base(self, declared: Declared) -> ModelRevision | None:
        """The named base, at the commit that is pinned if this hub has it."""
        namespace, _, name = declared.name.partition("/")
        with self._database.read() as connection:
            repo = repos.find_repo(connection, RepoType.MODEL, namespace, name) or repos.find_moved(
                connection, RepoType.MODEL, namespace, name
            )
        if repo is None:
            return None
        pinned = self._revisions.find(repo.id, declared.commit) if declared.commit else None
        return pinned or self._revisions.find(repo.id)

    def _file(self, revision: ModelRevision, findings: Sequence[Finding]) -> None:
        at = self._clock()
        records = [self._record(revision, finding, at) for finding in findings]
        repo_id, commit = revision.repo.id, revision.commit_oid
        with self._database.write() as connection:
            repo = repos.find_repo_by_id(connection, repo_id)
            if repo is None:
                return
            touched = _others(rows.edges_of(connection, repo_id, commit))
            present = repos.repos_by_id(connection, [item.other.repo.id for item in findings if item.other])
            values = [
                {**_without_lost(finding.columns, present), "record": record, "created_at": at}
                for finding, record in zip(findings, records, strict=True)
            ]
            rows.replace_edges(connection, repo_id, commit, values)
            lineage_status.put_status(connection, repo_id, commit, "done", at)
            if refs.lock_ref(connection, repo_id, "refs/heads/main") == commit:
                repos.update_repo(connection, repo_id, lineage=badge(findings, repo, present))
            touched |= _others(rows.edges_of(connection, repo_id, commit)) | {repo_id}
            touched |= rows.parents_of(connection, repo_id)  # some were of the weights before
            rows.count_children(connection, touched)
            enqueue_grade(self._queue, connection, repo_id)
            self._ask_children(connection, revision)

    def _record(self, revision: ModelRevision, finding: Finding, at: int) -> str | None:
        if finding.other is None or finding.pairing is None:
            return None
        return self._sign_record(statement(revision, finding, iso(at)))

    def _ask_children(self, connection: sa.Connection, revision: ModelRevision) -> None:
        """Look again at those that named this model as their base before it was here."""
        for repo_id, commit in rows.declaring(connection, revision.name):
            if repo_id != revision.repo.id:
                enqueue_analysis(self._queue, connection, repo_id, commit, self._clock(), again=True)


def _others(edges: Sequence[rows.EdgeRow]) -> set[int]:
    return {edge.other_repo_id for edge in edges if edge.other_repo_id is not None}


def _without_lost(columns: dict[str, Any], present: dict[int, Any]) -> dict[str, Any]:
    """The edge without an end that was deleted while it was compared."""
    if columns["other_repo_id"] is None or columns["other_repo_id"] in present:
        return columns
    return columns | {"other_repo_id": None, "other_commit": None}
