"""Every table, in one place.

Times are UTC milliseconds since 1970 (BigInteger). Oids and digests are lower-case hex. Names that are
looked up without regard to case have a `_key` column holding the lower-case form.
"""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy import (
    BigInteger,
    Column,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    Named,
    String,
    Text,
    TypedColumns,
)

metadata = sa.MetaData(
    naming_convention={
        "ix": "ix_%(table_name)s_%(column_0_N_name)s",
        "uq": "uq_%(table_name)s_%(column_0_N_name)s",
        "ck": "ck_%(table_name)s_%(constraint_name)s",
        "fk": "fk_%(table_name)s_%(column_0_N_name)s",
        "pk": "pk_%(table_name)s",
    }
)

BigId = BigInteger().with_variant(Integer, "sqlite")
Json: sa.types.TypeEngine[Any] = sa.JSON()


class _Accounts(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    kind: Named[str] = Column(String(8))
    """`user` or `org`."""
    name: Named[str] = Column(String(96))
    name_key: Named[str] = Column(String(96), unique=True)
    full_name: Named[str] = Column(String(200))
    email: Named[str | None] = Column(String(320))
    password_hash: Named[str | None] = Column(String(200))
    is_admin: Named[bool]
    details: Named[str] = Column(Text)
    private_by_default: Named[bool]
    disabled: Named[bool]
    created_at: Named[int] = Column(BigInteger)
    limits: Named[dict[str, int] | None] = Column(Json)
    """What an admin set in place of the hub's defaults."""


accounts = sa.Table("accounts", metadata, _Accounts)


class _Memberships(TypedColumns):
    org_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    user_id: Named[int] = Column(
        BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    role: Named[str] = Column(String(16))
    """`read`, `contributor`, `write` or `admin`."""


memberships = sa.Table("memberships", metadata, _Memberships)


class _Tokens(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    name: Named[str] = Column(String(120))
    role: Named[str] = Column(String(16))
    scopes: Named[list[dict[str, Any]] | None] = Column(Json)
    hash: Named[str] = Column(String(64), unique=True)
    hint: Named[str] = Column(String(12))
    created_at: Named[int] = Column(BigInteger)
    last_used_at: Named[int | None] = Column(BigInteger)
    expires_at: Named[int | None] = Column(BigInteger)
    limits: Named[dict[str, int] | None] = Column(Json)
    """What an admin set for it in place of the account's."""
    own_limits: Named[dict[str, int] | None] = Column(Json)
    """What its owner set beside that."""


tokens = sa.Table("tokens", metadata, _Tokens)


class _Sessions(TypedColumns):
    hash: Named[str] = Column(String(64), primary_key=True)
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), index=True)
    created_at: Named[int] = Column(BigInteger)
    expires_at: Named[int] = Column(BigInteger)


sessions = sa.Table("sessions", metadata, _Sessions)


class _Audit(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    at: Named[int] = Column(BigInteger, index=True)
    actor_id: Named[int | None] = Column(BigId)
    actor: Named[str] = Column(String(96))
    action: Named[str] = Column(String(48))
    target: Named[str] = Column(String(250), index=True)
    detail: Named[dict[str, Any] | None] = Column(Json)


audit = sa.Table("audit", metadata, _Audit)


class _Repos(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    type: Named[str] = Column(String(10))
    namespace_id: Named[int] = Column(BigId, ForeignKey("accounts.id"), index=True)
    name: Named[str] = Column(String(96))
    name_key: Named[str] = Column(String(96))
    private: Named[bool]
    gated: Named[str | None] = Column(String(8))
    disabled: Named[bool]
    created_by: Named[int | None] = Column(BigId)
    created_at: Named[int] = Column(BigInteger)
    updated_at: Named[int] = Column(BigInteger)
    head_oid: Named[str] = Column(String(40))
    """Commit at the head of `main`; copied from `refs` in the transaction that moves it."""
    likes: Named[int] = Column(server_default="0")
    downloads: Named[int] = Column(BigInteger, server_default="0")
    """In the last 30 days."""
    downloads_all_time: Named[int] = Column(BigInteger, server_default="0")
    trending_score: Named[float] = Column(server_default="0")
    pipeline_tag: Named[str | None] = Column(String(96))
    library_name: Named[str | None] = Column(String(96))
    license: Named[str | None] = Column(String(96))
    parameters: Named[int | None] = Column(BigInteger)
    runnable: Named[bool] = Column(default=False)
    """Whether the head holds a file that the embedded engine loads."""
    used_storage_bytes: Named[int] = Column(BigInteger, server_default="0")
    runs: Named[int] = Column(BigInteger, server_default="0")
    """Answers given by the run endpoint, all time."""
    lineage: Named[str | None] = Column(String(16))
    """What the head's foundations rest on: `verified`, `declared`, `contradicted` or `related`; None: nothing known."""
    children: Named[int] = Column(server_default="0")
    """Public models that are built on this one."""
    openness: Named[str | None] = Column(String(20))
    """`open-science`, `open-weight` or `weights-available`."""


repos = sa.Table(
    "repos",
    metadata,
    _Repos,
    sa.UniqueConstraint("type", "namespace_id", "name_key"),
    Index(None, "type", "trending_score"),
    Index(None, "type", "likes"),
    Index(None, "type", "downloads"),
    Index(None, "type", "updated_at"),
    Index(None, "type", "created_at"),
    Index(None, "type", "children"),
    sqlite_autoincrement=True,
)


class _RepoRedirects(TypedColumns):
    type: Named[str] = Column(String(10), primary_key=True)
    namespace_key: Named[str] = Column(String(96), primary_key=True)
    name_key: Named[str] = Column(String(96), primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)


repo_redirects = sa.Table("repo_redirects", metadata, _RepoRedirects)


class _RepoTags(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    tag: Named[str] = Column(String(250), primary_key=True, index=True)
    position: Named[int]


repo_tags = sa.Table("repo_tags", metadata, _RepoTags)


class _Refs(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    name: Named[str] = Column(String(255), primary_key=True)
    """Full name: `refs/heads/main`, `refs/tags/v1`."""
    oid: Named[str] = Column(String(40))
    message: Named[str | None] = Column(Text)


refs = sa.Table("refs", metadata, _Refs)


class _GitObjects(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Named[str] = Column(String(40), primary_key=True)
    kind: Named[str] = Column(String(6))
    """`blob`, `tree`, `commit` or `tag`."""
    size_bytes: Named[int] = Column(BigInteger)
    lfs_digest: Named[str | None] = Column(String(64))
    """For a blob that is an LFS pointer: what it points at."""
    lfs_size_bytes: Named[int | None] = Column(BigInteger)
    data: Named[bytes] = Column(LargeBinary)
    """The object's content, zlib-compressed, without git's header."""


# The small columns precede `data` so that listings never touch overflow pages.
git_objects = sa.Table("git_objects", metadata, _GitObjects)


class _Commits(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Named[str] = Column(String(40), primary_key=True)
    tree_oid: Named[str] = Column(String(40))
    generation: Named[int]
    """1 for a root, else 1 + the largest of the parents': a topological order that SQL can sort by."""
    author: Named[str] = Column(String(200))
    title: Named[str] = Column(Text)
    message: Named[str] = Column(Text)
    """What follows the title."""
    committed_at: Named[int] = Column(BigInteger)


# What `git_objects` holds as bytes, once more as columns: histories are listed without parsing objects.
commits = sa.Table("commits", metadata, _Commits)


class _CommitParents(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    oid: Named[str] = Column(String(40), primary_key=True)
    position: Named[int] = Column(primary_key=True)
    parent_oid: Named[str] = Column(String(40))


commit_parents = sa.Table("commit_parents", metadata, _CommitParents)


class _CommitChanges(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    path: Named[str] = Column(Text, primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    kind: Named[str] = Column(String(1))
    """`A` added, `M` modified, `D` deleted; `T` a folder that something changed in."""


# Against the first parent. Answers "which commit last touched this?" for a whole listing in one query.
commit_changes = sa.Table("commit_changes", metadata, _CommitChanges, Index(None, "repo_id", "commit_oid"))


class _Objects(TypedColumns):
    key: Named[str] = Column(String(100), primary_key=True)
    size_bytes: Named[int] = Column(BigInteger)
    checks: Named[bytes] = Column(LargeBinary)
    """One 16-byte XXH3-128 per MiB of stored bytes."""
    stat_signature: Named[str | None] = Column(String(64))
    """Size, inode and modification time of the local file when it was last verified whole."""
    verified_at: Named[int] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)


objects = sa.Table("objects", metadata, _Objects)


class _Files(TypedColumns):
    digest: Named[str] = Column(String(64), primary_key=True)
    """SHA-256 of the plain bytes: the identity of a large file."""
    size_bytes: Named[int] = Column(BigInteger)
    object_key: Named[str | None] = Column(String(100), ForeignKey("objects.key"))
    """Whole representation, if there is one."""
    xet_hash: Named[str | None] = Column(String(64), ForeignKey("xet_files.hash"), index=True)
    """Xet representation, if there is one."""
    header: Named[dict[str, Any] | None] = Column(Json)
    """What the file's own header says (safetensors, GGUF); immutable, as the bytes are."""
    created_at: Named[int] = Column(BigInteger)


files = sa.Table("files", metadata, _Files)


class _RepoFiles(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    digest: Named[str] = Column(String(64), ForeignKey("files.digest"), primary_key=True, index=True)
    created_at: Named[int] = Column(BigInteger)


# A file may be named by hash in a repo only if its bytes were once given there (or copied by a reader).
repo_files = sa.Table("repo_files", metadata, _RepoFiles)


class _XetFiles(TypedColumns):
    hash: Named[str] = Column(String(64), primary_key=True)
    """Xet file hash in its string form."""
    size_bytes: Named[int] = Column(BigInteger)
    terms: Named[bytes] = Column(LargeBinary)
    """48-byte records: raw xorb hash (32), first chunk, end chunk, plain bytes, zero (u32 LE each)."""
    created_at: Named[int] = Column(BigInteger)


xet_files = sa.Table("xet_files", metadata, _XetFiles)


class _Xorbs(TypedColumns):
    hash: Named[str] = Column(String(64), primary_key=True)
    object_key: Named[str] = Column(String(100), ForeignKey("objects.key"))
    size_bytes: Named[int] = Column(BigInteger)
    index: Named[bytes] = Column(LargeBinary)
    """docs/formats/xorb-index.md"""
    created_at: Named[int] = Column(BigInteger)
    last_named_at: Named[int] = Column(BigInteger)


xorbs = sa.Table("xorbs", metadata, _Xorbs)


class _XorbScopes(TypedColumns):
    xorb_hash: Named[str] = Column(String(64), ForeignKey("xorbs.hash", ondelete="CASCADE"), primary_key=True)
    repo_id: Named[int] = Column(
        BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True, index=True
    )


# Which repos hold a xorb: global dedup and shards may only name xorbs that the caller can read.
xorb_scopes = sa.Table("xorb_scopes", metadata, _XorbScopes)


class _XetChunks(TypedColumns):
    chunk_hash: Named[bytes] = Column(LargeBinary(32), primary_key=True)
    xorb_hash: Named[str] = Column(
        String(64), ForeignKey("xorbs.hash", ondelete="CASCADE"), primary_key=True, index=True
    )


xet_chunks = sa.Table("xet_chunks", metadata, _XetChunks)


class _RevisionMetadata(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    summary: Named[dict[str, Any]] = Column(Json)
    version: Named[int]
    created_at: Named[int] = Column(BigInteger)


# What cards, configs and weight headers of one commit say, read by a job after the push.
revision_metadata = sa.Table("revision_metadata", metadata, _RevisionMetadata)


class _WeightSets(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    digest: Named[str] = Column(String(64), unique=True)
    """SHA-256 over the sorted digests of the files that hold one model's tensors."""
    kind: Named[str] = Column(String(8))
    """`model` or `adapter`."""
    method: Named[str] = Column(String(48))
    problem: Named[str | None] = Column(Text)
    """Why the weights say nothing, where they do not."""
    sketch: Named[bytes | None] = Column(LargeBinary)
    """512 bytes for the scan; None where there is none."""
    signature: Named[bytes] = Column(LargeBinary)
    """MessagePack of `weights.signature.Signature`, deflated."""
    created_at: Named[int] = Column(BigInteger)


# What the weights themselves say, whoever holds them.
weight_sets = sa.Table("weight_sets", metadata, _WeightSets, sqlite_autoincrement=True)


class _RepoWeights(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    digest: Named[str] = Column(String(64), ForeignKey("weight_sets.digest"), primary_key=True, index=True)
    files: Named[dict[str, str]] = Column(Json)
    """Path to file digest."""


repo_weights = sa.Table("repo_weights", metadata, _RepoWeights)


class _Comparisons(TypedColumns):
    left_digest: Named[str] = Column(String(64), primary_key=True)
    right_digest: Named[str] = Column(String(64), primary_key=True)
    method: Named[str] = Column(String(48), primary_key=True)
    result: Named[dict[str, Any]] = Column(Json)
    created_at: Named[int] = Column(BigInteger)


# Of weights, not of repos: equal weights in another repo are not compared again.
comparisons = sa.Table("comparisons", metadata, _Comparisons)


class _LineageEdges(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"))
    commit_oid: Named[str] = Column(String(40))
    other_repo_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="SET NULL"), index=True)
    other_commit: Named[str | None] = Column(String(40))
    declared_name: Named[str | None] = Column(String(250))
    """The base as the repo's own files name it, here or elsewhere."""
    declared_key: Named[str | None] = Column(String(250), index=True)
    declared: Named[str | None] = Column(String(16))
    """`finetune`, `adapter`, `merge` or `quantized`."""
    source: Named[str | None] = Column(String(250))
    """The file that declares it."""
    role: Named[str] = Column(String(8))
    """What the other is to this repo: `parent`, `child` or `relative`."""
    verdict: Named[str | None] = Column(String(16))
    kind: Named[str | None] = Column(String(16))
    coefficient: Named[float | None]
    method: Named[str | None] = Column(String(48))
    reason: Named[str] = Column(Text)
    evidence: Named[dict[str, Any] | None] = Column(Json)
    """Statistics, thresholds, error rate, what was read."""
    record: Named[str | None] = Column(Text)
    """The evidence once more, signed: an in-toto statement in a DSSE envelope, byte for byte."""
    created_at: Named[int] = Column(BigInteger)


# Declared and verified stand in columns of their own and are never merged.
lineage_edges = sa.Table(
    "lineage_edges", metadata, _LineageEdges, Index(None, "repo_id", "commit_oid"), sqlite_autoincrement=True
)


class _RevisionLineage(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    status: Named[str] = Column(String(8))
    """`queued`, `running`, `done` or `failed`."""
    error: Named[str | None] = Column(Text)
    updated_at: Named[int] = Column(BigInteger)


revision_lineage = sa.Table("revision_lineage", metadata, _RevisionLineage)


class _Publishers(TypedColumns):
    namespace_key: Named[str] = Column(String(96), primary_key=True)
    namespace: Named[str] = Column(String(96))
    organisation: Named[str] = Column(String(200))
    country: Named[str | None] = Column(String(2))
    """ISO 3166-1 alpha-2, as stated."""
    source: Named[str] = Column(String(500))
    """Where it is stated."""
    signing_key: Named[str | None] = Column(Text)
    """PEM of the EC public key that the publisher signs models with."""
    stated_by: Named[str] = Column(String(96))
    updated_at: Named[int] = Column(BigInteger)


publishers = sa.Table("publishers", metadata, _Publishers)


class _ModelSignatures(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    commit_oid: Named[str] = Column(String(40), primary_key=True)
    state: Named[str] = Column(String(24))
    text: Named[str] = Column(Text)
    signer: Named[str | None] = Column(String(200))
    checked_at: Named[int] = Column(BigInteger)


# What checking the `model.sig` of a commit gave.
model_signatures = sa.Table("model_signatures", metadata, _ModelSignatures)


class _Likes(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    account_id: Named[int] = Column(
        BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )
    created_at: Named[int] = Column(BigInteger)


likes = sa.Table("likes", metadata, _Likes)


class _DownloadDays(TypedColumns):
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), primary_key=True)
    day: Named[int] = Column(primary_key=True)
    """Days since 1970-01-01 UTC."""
    count: Named[int] = Column(BigInteger)


download_days = sa.Table("download_days", metadata, _DownloadDays)


class _Multipart(TypedColumns):
    id: Named[str] = Column(String(32), primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    digest: Named[str] = Column(String(64))
    size_bytes: Named[int] = Column(BigInteger)
    chunk_bytes: Named[int] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)


multipart_uploads = sa.Table("multipart_uploads", metadata, _Multipart)


class _Jobs(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    kind: Named[str] = Column(String(48))
    spec: Named[dict[str, Any]] = Column(Json)
    state: Named[str] = Column(String(12))
    """`queued`, `running`, `done`, `dead` or `cancelled`."""
    priority: Named[int]
    dedup_key: Named[str | None] = Column(String(200))
    """At most one queued job per key: a second enqueue of the same work is the first one."""
    repo_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    account_id: Named[int | None] = Column(BigId)
    attempts: Named[int]
    max_attempts: Named[int]
    run_after: Named[int] = Column(BigInteger)
    lease_owner: Named[str | None] = Column(String(100))
    lease_expires_at: Named[int | None] = Column(BigInteger)
    cancel_requested: Named[bool]
    progress: Named[dict[str, Any] | None] = Column(Json)
    result: Named[dict[str, Any] | None] = Column(Json)
    error: Named[str | None] = Column(Text)
    created_at: Named[int] = Column(BigInteger)
    started_at: Named[int | None] = Column(BigInteger)
    finished_at: Named[int | None] = Column(BigInteger)


jobs = sa.Table(
    "jobs",
    metadata,
    _Jobs,
    Index(None, "state", "priority", "run_after"),
    Index(None, "account_id", "id"),
    Index(
        "ux_jobs_queued_dedup_key",
        "dedup_key",
        unique=True,
        sqlite_where=sa.text("state = 'queued' AND dedup_key IS NOT NULL"),
        postgresql_where=sa.text("state = 'queued' AND dedup_key IS NOT NULL"),
    ),
    sqlite_autoincrement=True,
)


class _JobLogs(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    job_id: Named[int] = Column(BigId, ForeignKey("jobs.id", ondelete="CASCADE"))
    at: Named[int] = Column(BigInteger)
    text: Named[str] = Column(Text)
    kind: Named[str] = Column(String(8), server_default="log")
    """`log`, or the kind of an event."""
    data: Named[dict[str, Any] | None] = Column(Json)
    """Of an event."""


# All that a job said, in the order of the ids; the second index is for plots, which want one kind.
job_logs = sa.Table(
    "job_logs", metadata, _JobLogs, Index(None, "job_id", "id"), Index(None, "job_id", "kind", "id")
)


class _Replications(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    repo_id: Named[int] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"))
    commit: Named[str] = Column(String(40))
    recipe_digest: Named[str] = Column(String(80))
    stage: Named[str] = Column(String(64))
    verdict: Named[str] = Column(String(32))
    trust: Named[str] = Column(String(32))
    ran_by: Named[str] = Column(String(96))
    """Name of the account that asked, as it was."""
    smoke: Named[bool]
    record: Named[str] = Column(Text)
    """The signed envelope."""
    created_at: Named[int] = Column(BigInteger)


# Written once, never changed: what a replication showed.
replications = sa.Table("replications", metadata, _Replications, Index(None, "repo_id", "id"))


class _Chats(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    key: Named[str] = Column(String(32), unique=True)
    """What addresses name it by."""
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"))
    title: Named[str] = Column(String(200))
    model: Named[str] = Column(String(300))
    settings: Named[dict[str, Any]] = Column(Json)
    """System prompt and sampling."""
    current: Named[str | None] = Column(String(32))
    """Key of the message that the branch on show ends with."""
    messages: Named[int]
    size_bytes: Named[int] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)
    updated_at: Named[int] = Column(BigInteger)


chats = sa.Table(
    "chats", metadata, _Chats, Index(None, "account_id", "updated_at"), sqlite_autoincrement=True
)


class _ChatMessages(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    chat_id: Named[int] = Column(BigId, ForeignKey("chats.id", ondelete="CASCADE"))
    key: Named[str] = Column(String(32))
    """Chosen by the writer, so that what may have been lost is sent again without being doubled."""
    parent: Named[str | None] = Column(String(32))
    role: Named[str] = Column(String(12))
    """`user` or `assistant`."""
    content: Named[str] = Column(Text)
    details: Named[dict[str, Any]] = Column(Json)
    """Reasoning, model, attachments, figures."""
    created_at: Named[int] = Column(BigInteger)


chat_messages = sa.Table("chat_messages", metadata, _ChatMessages, sa.UniqueConstraint("chat_id", "key"))


class _ChatShares(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    chat_id: Named[int] = Column(BigId, ForeignKey("chats.id", ondelete="CASCADE"), index=True)
    snapshot: Named[dict[str, Any]] = Column(Json)
    """The branch as it was when it was shared."""
    created_at: Named[int] = Column(BigInteger)


# Numbers are never used again: the link of a revoked share must not open a later one.
chat_shares = sa.Table("chat_shares", metadata, _ChatShares, sqlite_autoincrement=True)


class _Battles(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    key: Named[str] = Column(String(32), unique=True)
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"))
    blind: Named[bool]
    prompts: Named[list[str]] = Column(Json)
    settings: Named[dict[str, Any]] = Column(Json)
    outcome: Named[str | None] = Column(String(8))
    """Position of the best answer, `tie` or `bad`; None until there is a vote."""
    created_at: Named[int] = Column(BigInteger)
    voted_at: Named[int | None] = Column(BigInteger)


# One prompt put to several models side by side, and the one vote on it.
battles = sa.Table(
    "battles",
    metadata,
    _Battles,
    Index(None, "account_id", "id"),
    Index(None, "voted_at"),
    sqlite_autoincrement=True,
)


class _Contestants(TypedColumns):
    battle_id: Named[int] = Column(BigId, ForeignKey("battles.id", ondelete="CASCADE"), primary_key=True)
    position: Named[int] = Column(primary_key=True)
    model: Named[str] = Column(String(300))
    """As it was asked for."""
    repo_id: Named[int | None] = Column(BigId)
    """None for a model that is no repo of this hub."""
    revision: Named[str | None] = Column(String(40))


contestants = sa.Table("contestants", metadata, _Contestants)


class _BattleAnswers(TypedColumns):
    battle_id: Named[int] = Column(BigId, ForeignKey("battles.id", ondelete="CASCADE"), primary_key=True)
    position: Named[int] = Column(primary_key=True)
    turn: Named[int] = Column(primary_key=True)
    content: Named[str] = Column(Text)
    details: Named[dict[str, Any]] = Column(Json)
    created_at: Named[int] = Column(BigInteger)


battle_answers = sa.Table("battle_answers", metadata, _BattleAnswers)


class _Remotes(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    name: Named[str] = Column(String(42), unique=True)
    kind: Named[str] = Column(String(16))
    """`openai` or `anthropic`: the API that is spoken there."""
    base_url: Named[str] = Column(Text)
    sealed_key: Named[bytes | None] = Column(LargeBinary)
    """The key, encrypted; None where none is asked for."""
    everyone: Named[bool]
    """Whether all signed-in users may use it, or only `remote_accounts`."""
    models: Named[list[str] | None] = Column(Json)
    """The models that are offered; None: all that the upstream lists."""
    listed: Named[list[str]] = Column(Json)
    """What the upstream listed last."""
    listed_at: Named[int | None] = Column(BigInteger)
    created_at: Named[int] = Column(BigInteger)
    changed_at: Named[int] = Column(BigInteger)


remotes = sa.Table("remotes", metadata, _Remotes)


class _RemoteAccounts(TypedColumns):
    remote_id: Named[int] = Column(BigId, ForeignKey("remotes.id", ondelete="CASCADE"), primary_key=True)
    account_id: Named[int] = Column(
        BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True, index=True
    )


# Who may use a remote that is not for everyone: users, and the members of organisations.
remote_accounts = sa.Table("remote_accounts", metadata, _RemoteAccounts)


class _UsageDays(TypedColumns):
    day: Named[int] = Column(primary_key=True)
    """Days since 1970, UTC."""
    account_id: Named[int] = Column(BigId, ForeignKey("accounts.id", ondelete="CASCADE"), primary_key=True)
    token_id: Named[int] = Column(BigInteger, primary_key=True)
    """0: from a browser session; -1: by tokens that are revoked, whose ids may come again."""
    model: Named[str] = Column(String(250), primary_key=True)
    """The name as it was: what was used stays true when the repo is renamed or gone."""
    requests: Named[int] = Column(BigInteger)
    failures: Named[int] = Column(BigInteger)
    prompt_tokens: Named[int] = Column(BigInteger)
    cached_tokens: Named[int] = Column(BigInteger)
    """Of the prompts' tokens, those that the engine had kept."""
    completion_tokens: Named[int] = Column(BigInteger)
    duration_ms: Named[int] = Column(BigInteger)


# Sums, added to in batches by each web worker.
usage_days = sa.Table("usage_days", metadata, _UsageDays, Index(None, "account_id", "day"))


class _Allowances(TypedColumns):
    subject: Named[str] = Column(String(24), primary_key=True)
    """`account:<id>` or `token:<id>`."""
    kind: Named[str] = Column(String(24), primary_key=True)
    mark: Named[int] = Column(BigInteger)
    """Per minute: a moment in microseconds since 1970. Per day: the day."""
    spent: Named[int] = Column(BigInteger)
    """Per minute: what the bucket lacked at that moment. Per day: tokens on that day."""


# How much of each limit is used up. On SQLite in a file of its own: every limited request writes here.
allowances = sa.Table("allowances", metadata, _Allowances)


class _Evaluations(TypedColumns):
    id: Named[int] = Column(BigId, primary_key=True)
    job_id: Named[int] = Column(BigId, unique=True)
    """Each job files one result, however often it runs."""
    repo_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"))
    """None for a model that runs elsewhere: it has `remote_id`, `remote_model` and `closed` in place of a commit."""
    commit: Named[str | None] = Column(String(40))
    file: Named[str | None] = Column(String(250))
    """File or quantisation, where one was named."""
    remote_id: Named[int | None] = Column(BigId, ForeignKey("remotes.id", ondelete="CASCADE"))
    remote_model: Named[str | None] = Column(String(200))
    """The name that it has there."""
    closed: Named[dict[str, Any] | None] = Column(Json)
    """What else is known: the API's kind, revisions of the remote's settings, what the upstream called the model."""
    suite: Named[str] = Column(String(250))
    """Name of a shipped suite, or `datasets/namespace/name` as it was called."""
    suite_version: Named[int]
    suite_digest: Named[str] = Column(String(64))
    """Of a dataset: of its task file."""
    dataset_id: Named[int | None] = Column(BigId, ForeignKey("repos.id", ondelete="CASCADE"), index=True)
    dataset_commit: Named[str | None] = Column(String(40))
    board: Named[str] = Column(String(64))
    """SHA-256 over suite, items and settings: equal for results that are ranked together."""
    items_digest: Named[str] = Column(String(64))
    settings: Named[dict[str, Any]] = Column(Json)
    seed: Named[int] = Column(BigInteger)
    n: Named[int]
    score: Named[float]
    stderr: Named[float]
    low: Named[float]
    high: Named[float]
    groups: Named[dict[str, Any]] = Column(Json)
    """The same figures by level or kind."""
    scores: Named[str] = Column(Text)
    """One digit an item, in the order of the items: `1` right, `0` wrong."""
    log_digest: Named[str] = Column(String(64))
    """SHA-256 of the sample-level log, a stored file that no repo names."""
    log_bytes: Named[int] = Column(BigInteger)
    library: Named[str] = Column(String(80))
    duration_s: Named[float]
    ran_by: Named[str] = Column(String(96))
    """Name of the account that asked, as it was."""
    created_at: Named[int] = Column(BigInteger)


# Written once, never changed: what a model scored.
evaluations = sa.Table(
    "evaluations",
    metadata,
    _Evaluations,
    Index(None, "repo_id", "id"),
    Index(None, "remote_id", "remote_model", "id"),
    Index(None, "suite", "board"),
    sqlite_autoincrement=True,
)
