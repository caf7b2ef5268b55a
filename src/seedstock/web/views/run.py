"""Pages that act: chat, repository settings, new repository."""

from __future__ import annotations

from typing import ClassVar

import msgspec

from seedstock.core.names import RepoType
from seedstock.web.views.common import Notice, Page
from seedstock.web.views.repos import RepoHeaderView, Visibility


class ChatConfigView(msgspec.Struct, frozen=True):
    """What the chat script needs; it posts OpenAI-shaped requests to `endpoint`."""

    model: str
    endpoint: str = "/v1/chat/completions"
    context_length: int | None = None
    max_tokens: int = 512
    temperature: float = 0.7
    system_prompt: str = ""
    starters: tuple[str, ...] = ()


class ChatPage(Page, frozen=True):
    """Talk to a runnable model; `blocked` says in a sentence why the viewer cannot, if so."""

    template: ClassVar[str] = "repo_chat.html"

    header: RepoHeaderView
    config: ChatConfigView
    blocked: str | None = None


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
