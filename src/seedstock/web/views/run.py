"""Pages that act: repository settings, new repository."""

from __future__ import annotations

from typing import ClassVar

from seedstock.core.names import RepoType
from seedstock.web.views.common import Notice, Page
from seedstock.web.views.repos import RepoHeaderView, Visibility


class ChatBlockedPage(Page, frozen=True):
    """Why the viewer cannot chat with a model, in a sentence."""

    template: ClassVar[str] = "repo_chat.html"

    header: RepoHeaderView
    blocked: str


class RepoSettingsPage(Page, frozen=True):
    """Visibility, move and delete; `namespaces` are the accounts the repo may move to."""

    template: ClassVar[str] = "repo_settings.html"

    header: RepoHeaderView
    namespaces: tuple[str, ...]
    notice: Notice | None = None


class NewRepoPage(Page, frozen=True):
    """Create a repository; the last values come back when `error` says what was wrong."""

    template: ClassVar[str] = "new_repo.html"

    owners: tuple[str, ...]
    owner: str
    type: RepoType = RepoType.MODEL
    name: str = ""
    visibility: Visibility = Visibility.PUBLIC
    error: str | None = None
