"""Folders, files and history of a repository."""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import ClassVar

import msgspec

from seedstock.web.views.common import Choice, Fact, Link, Notice, Page, Pagination
from seedstock.web.views.repos import RepoHeaderView


class Storage(StrEnum):
    """How a file's bytes are kept, as the file rows say it."""

    GIT = "git"
    LFS = "lfs"
    XET = "xet"


class RevisionView(msgspec.Struct, frozen=True):
    """The revision being looked at, and the ones to switch to."""

    name: str
    oid: str
    branches: tuple[Choice, ...] = ()
    tags: tuple[Choice, ...] = ()


class CommitRowView(msgspec.Struct, frozen=True):
    """One commit in a list."""

    oid: str
    title: str
    href: str
    author: str
    committed_at: datetime
    body: str = ""
    author_href: str | None = None


class FileRowView(msgspec.Struct, frozen=True):
    """One entry of a folder."""

    name: str
    href: str
    is_folder: bool = False
    size_bytes: int | None = None
    storage: Storage = Storage.GIT
    download_href: str | None = None
    commit: CommitRowView | None = None
    header_label: str | None = None
    """What the file's own header says in two words, for example `Q4_0` or `BF16`."""


class TreePage(Page, frozen=True):
    """A folder; `readme_html` is shown below the rows when the folder has one."""

    template: ClassVar[str] = "repo_tree.html"

    header: RepoHeaderView
    revision: RevisionView
    crumbs: tuple[Link, ...]
    rows: tuple[FileRowView, ...]
    last_commit: CommitRowView | None = None
    commit_count: int | None = None
    total_bytes: int | None = None
    parent_href: str | None = None
    pagination: Pagination | None = None
    upload_href: str | None = None


class TensorRow(msgspec.Struct, frozen=True):
    """One tensor of a weight file."""

    name: str
    dtype: str
    shape: tuple[int, ...]
    size_bytes: int


class WeightHeaderView(msgspec.Struct, frozen=True):
    """What a safetensors or GGUF header says; `tensors` may be cut short of `tensor_count`."""

    format: str
    tensor_count: int
    facts: tuple[Fact, ...] = ()
    tensors: tuple[TensorRow, ...] = ()


class TextBody(msgspec.Struct, frozen=True):
    """Plain text, one string a line, shown with line numbers."""

    kind: ClassVar[str] = "text"
    lines: tuple[str, ...]


class MarkdownBody(msgspec.Struct, frozen=True):
    """Sanitised HTML from `markdown.render_markdown`."""

    kind: ClassVar[str] = "markdown"
    html: str


class ImageBody(msgspec.Struct, frozen=True):
    """An image that is loaded from this host."""

    kind: ClassVar[str] = "image"
    src: str


class TooLargeBody(msgspec.Struct, frozen=True):
    """Text beyond what is shown in the browser."""

    kind: ClassVar[str] = "too_large"
    limit_bytes: int


class BinaryBody(msgspec.Struct, frozen=True):
    """Bytes with nothing to show but the header, where there is one."""

    kind: ClassVar[str] = "binary"


class BlobPage(Page, frozen=True):
    """One file."""

    template: ClassVar[str] = "repo_blob.html"

    header: RepoHeaderView
    revision: RevisionView
    crumbs: tuple[Link, ...]
    name: str
    size_bytes: int
    body: TextBody | MarkdownBody | ImageBody | TooLargeBody | BinaryBody
    download_href: str
    raw_href: str
    history_href: str
    storage: Storage = Storage.GIT
    digest: str | None = None
    last_commit: CommitRowView | None = None
    weights: WeightHeaderView | None = None
    delete_href: str | None = None


class CommitsPage(Page, frozen=True):
    """History of a revision, newest first; `path` narrows it to one file."""

    template: ClassVar[str] = "repo_commits.html"

    header: RepoHeaderView
    revision: RevisionView
    commits: tuple[CommitRowView, ...]
    pagination: Pagination
    path: str | None = None


class ChangeKind(StrEnum):
    """What a commit did to a file."""

    ADDED = "added"
    MODIFIED = "modified"
    DELETED = "deleted"


class ChangeRowView(msgspec.Struct, frozen=True):
    """One file of a commit; a size is None on the side where the file is absent."""

    path: str
    kind: ChangeKind
    href: str | None = None
    old_size_bytes: int | None = None
    new_size_bytes: int | None = None
    storage: Storage = Storage.GIT


class CommitPage(Page, frozen=True):
    """One commit and the files it changed."""

    template: ClassVar[str] = "repo_commit.html"

    header: RepoHeaderView
    commit: CommitRowView
    parents: tuple[Link, ...]
    changes: tuple[ChangeRowView, ...]
    browse_href: str


class UploadPage(Page, frozen=True):
    """Upload files to a branch: a plain multipart form at `action`, or one PUT per file below it with scripts."""

    template: ClassVar[str] = "repo_upload.html"

    header: RepoHeaderView
    branch: str
    action: str
    folder: str = ""
    form_limit_bytes: int = 100 * 1024 * 1024
    notice: Notice | None = None
