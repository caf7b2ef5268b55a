"""The first tab of a repo: its card, and what its files say about themselves."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

import msgspec
from starlette.responses import Response

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.errors import HubError
from seedstock.core.names import RepoType
from seedstock.http.call import Call
from seedstock.hub.listing import RepoPage
from seedstock.hub.reading import RepoAt
from seedstock.metadata.card import texts
from seedstock.openness.signature_check import SIGNATURE_FILE
from seedstock.replications.service import RECIPE_FILE
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.pages.cached_markdown import CACHE
from seedstock.web.pages.cards import cards_of, licence_label
from seedstock.web.pages.foundation_panel import foundation_panel
from seedstock.web.pages.header import below, header_of, parameters
from seedstock.web.pages.openness import signature_view
from seedstock.web.rewriting import RepoLinks
from seedstock.web.views.common import Fact, Link, Notice, NoticeKind
from seedstock.web.views.evidence import SignatureState
from seedstock.web.views.repos import (
    CardPage,
    DtypeShare,
    MetadataPanelView,
    RepoHeaderView,
    WeightFileView,
)

routes = page_routes()

_NOTICES = {
    "created": "The repository is ready. Push to it, or upload files from the browser.",
    "uploaded": "Your files are committed.",
    "moved": "The repository has its new name; the old address leads here.",
}
_MOST_WEIGHTS = 12
_MOST_DERIVED = 6
# Tags that the panel says in better places, or that mean nothing here.
_HIDDEN_TAGS = ("license:", "base_model:", "dataset:", "region:", "language:", "task_categories:")


@routes.add("POST", *below("/like"))
def like(call: Call) -> Response:
    """Like a repo, or take it back."""
    liked = call.form().get("liked", ["true"])[0] == "true"
    repo = call.hub.repos.like(call.viewer, call.repo_id(), liked=liked)
    call.hub.downloads.rank(repo.id)
    return redirect(f"/{repo.url_path}")


@routes.add("GET", *below(""))
def card(call: Call) -> Response:
    """A repo's first page."""
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    header = _signed(call, at, header_of(call, at))
    readme = call.hub.browsing.readme(at)
    text = _NOTICES.get(call.query("done") or "")
    writes = allowed(call.viewer, Action.WRITE, at.repo)
    is_model = at.repo.type == RepoType.MODEL
    lineage = call.hub.lineage.of(call.viewer, call.repo_id(), parents_only=True) if is_model else None
    view = CardPage(
        header=header,
        metadata=_panel(at, header.url, _memory(call, at) if header.runnable else ()),
        readme_html=CACHE.render(*readme, RepoLinks(header.url, "main")) or None if readme else None,
        updated_at=moment(at.commit.committed_at),
        edit_href=f"{header.url}/blob/main/README.md" if readme else None,
        notice=Notice(NoticeKind.GOOD, text) if text and writes else None,
        derived=_derived(call, at) if is_model else (),
        has_recipe=is_model and any(entry.path == RECIPE_FILE for entry in at.entries),
        foundation=foundation_panel(call, at, lineage, header.url) if lineage else None,
    )
    return show(call, view)


def _signed(call: Call, at: RepoAt, header: RepoHeaderView) -> RepoHeaderView:
    """The header with the mark of a signature, if the repo has one."""
    if at.repo.type != RepoType.MODEL or all(entry.path != SIGNATURE_FILE for entry in at.entries):
        return header
    found = signature_view(call, at.repo, at.commit.oid)
    if found is None or found.state is SignatureState.NONE:
        return header
    badges = msgspec.structs.replace(header.badges, signature=found.state.value)
    return msgspec.structs.replace(header, badges=badges)


def _derived(call: Call, at: RepoAt) -> tuple[Any, ...]:
    """Models that are built on this one, by their cards or by their weights; not those that only claim it."""
    shown = call.hub.lineage.top_children(call.viewer, at.repo, _MOST_DERIVED)
    return cards_of(call, [RepoPage(shown, call.hub.listing.tags_of(shown), None)])[0]


def _memory(call: Call, at: RepoAt) -> tuple[Fact, ...]:
    """What the model takes to run here, if the viewer may know what is in its files."""
    if not allowed(call.viewer, Action.DOWNLOAD, at.repo):
        return ()
    try:
        fit = call.hub.models.fit_of(call.viewer, at)
    except HubError:
        return ()
    needed, limit = (f"{size / 1e9:.1f} GB" for size in (fit.total_bytes, fit.limit_bytes))
    tokens = f"{fit.estimate.slots} x {fit.estimate.context_tokens:,} tokens"
    verdict = f"this hub gives {limit}" if fit.fits else f"more than the {limit} that this hub gives"
    return (Fact("Memory to run", f"{needed} for {tokens}; {verdict}"),)


def _panel(at: RepoAt, url: str, memory: tuple[Fact, ...]) -> MetadataPanelView:
    metadata, type = at.metadata, at.repo.type
    licence = metadata.licenses[0] if metadata.licenses else None
    hidden = {metadata.pipeline_tag, metadata.library_name, *metadata.languages}
    shown = [tag for tag in metadata.tags if tag not in hidden and not tag.startswith(_HIDDEN_TAGS)]
    return MetadataPanelView(
        parameters=parameters(at),
        dtypes=_dtypes(at),
        facts=(*_facts(at), *memory),
        weights=tuple(_weights(at, url)),
        total_bytes=sum(entry.size_bytes for entry in at.entries),
        licence=Link(licence_label(licence), f"/{type}?license={quote(licence, safe='')}")
        if licence
        else None,
        languages=metadata.languages[:20],
        datasets=tuple(Link(name, f"/datasets/{quote(name)}") for name in _datasets(at)),
        tags=tuple(Link(tag, f"/{type}?tag={quote(tag, safe='')}") for tag in shown[:24]),
    )


def _datasets(at: RepoAt) -> tuple[str, ...]:
    return texts(at.metadata.card_data, "datasets")[:10] if at.repo.type == RepoType.MODEL else ()


def _dtypes(at: RepoAt) -> tuple[DtypeShare, ...]:
    metadata = at.metadata
    counts = metadata.safetensors.parameters if metadata.safetensors else {}
    if not counts and metadata.gguf:
        panel = next((panel for panel in metadata.panels if panel.format == "gguf"), None)
        counts = panel.dtypes if panel else {}
    total = sum(counts.values())
    ordered = sorted(counts.items(), key=lambda item: -item[1])
    return tuple(DtypeShare(name, count, 100 * count / total) for name, count in ordered if total)


def _facts(at: RepoAt) -> Iterator[Fact]:
    metadata, gguf = at.metadata, at.metadata.gguf
    architectures = (metadata.config or {}).get("architectures")
    if isinstance(architectures, list) and architectures:
        yield Fact("Architecture", str(architectures[0])[:80])
    elif gguf and gguf.architecture:
        yield Fact("Architecture", gguf.architecture[:80])
    if metadata.context_length:
        yield Fact("Context", f"{metadata.context_length:,} tokens")
    if gguf:
        numbers = (("Layers", gguf.block_count), ("Hidden size", gguf.embedding_length))
        yield from (Fact(label, f"{number:,}") for label, number in numbers if number)
        if gguf.head_count:
            shared = f", of which {gguf.head_count_kv} key/value" if gguf.head_count_kv else ""
            yield Fact("Heads", f"{gguf.head_count}{shared}")
    if at.repo.type == RepoType.MODEL and "conversational" in metadata.tags:
        yield Fact("Chat template", "yes")


def _weights(at: RepoAt, url: str) -> Iterator[WeightFileView]:
    kinds = {
        panel.path: panel.quantisation or next(iter(panel.dtypes), panel.format)
        for panel in at.metadata.panels
    }
    found = [entry for entry in at.entries if entry.path.lower().endswith((".safetensors", ".gguf"))]
    for entry in found[:_MOST_WEIGHTS]:
        kind = kinds.get(entry.path, entry.path.rpartition(".")[2].lower())
        yield WeightFileView(entry.path, f"{url}/blob/main/{quote(entry.path)}", entry.size_bytes, kind)
