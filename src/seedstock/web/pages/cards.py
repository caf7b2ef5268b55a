"""From stored repos to rows of a listing."""

from __future__ import annotations

from collections.abc import Sequence

from seedstock.core.names import RepoType
from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.hub.listing import RepoPage
from seedstock.web.pages.answer import moment
from seedstock.web.views.repos import BadgesView, BaseModelView, LineageState, RepoCardView, Visibility

_RELATIONS = ("adapter", "merge", "quantized", "finetune")
GRADES = {
    "open-science": "Open science",
    "open-weight": "Open weight",
    "weights-available": "Weights available",
}
_LICENCES = {"apache-2.0": "Apache-2.0", "mit": "MIT"}


def licence_label(identifier: str) -> str:
    """A licence identifier as people write it: Hub identifiers are lower-case SPDX ones."""
    return _LICENCES.get(identifier) or (
        identifier.upper()
        if identifier.startswith(("cc", "gpl", "lgpl", "agpl", "bsd", "mpl"))
        else identifier
    )


def visibility(repo: RepoRow) -> Visibility:
    """Who may read a repo."""
    return Visibility.PRIVATE if repo.private else Visibility.PUBLIC


def cards_of(call: Call, pages: Sequence[RepoPage]) -> list[tuple[RepoCardView, ...]]:
    """The rows of several listings; base models of all of them are looked up together."""
    bases = {
        repo.id: found[0] for page in pages for repo in page.repos if (found := _bases(page.tags[repo.id]))
    }
    here = call.hub.listing.named(call.viewer, RepoType.MODEL, sorted({name for _, name in bases.values()}))
    return [tuple(_card(repo, page.tags[repo.id], bases, here) for repo in page.repos) for page in pages]


def base_view(relation: str, name: str, here: dict[str, RepoRow], lineage: str | None) -> BaseModelView:
    """A declared base model, linked if this hub holds it for the viewer, with what the weights say of it."""
    row = here.get(name)
    evidence = lineage if row and lineage in {"verified", "contradicted"} else "declared"
    return BaseModelView(name, relation, f"/{row.url_path}" if row else None, evidence)


def word_of_one(lineage: str | None, bases: int) -> str | None:
    """What is kept of a repo's lineage, as far as it can be said of one base: a contradiction may be of another."""
    return lineage if bases == 1 or lineage == "verified" else None


def _bases(tags: Sequence[str]) -> list[tuple[str, str]]:
    found = []
    for tag in tags:
        prefix, _, rest = tag.partition(":")
        relation, _, name = rest.partition(":")
        if prefix == "base_model" and relation in _RELATIONS and name:
            found.append((relation, name))
    return found


def _card(
    repo: RepoRow, tags: Sequence[str], bases: dict[int, tuple[str, str]], here: dict[str, RepoRow]
) -> RepoCardView:
    base = bases.get(repo.id)
    task = next((tag.partition(":")[2] for tag in tags if tag.startswith("task_categories:")), None)
    return RepoCardView(
        type=RepoType(repo.type),
        namespace=repo.namespace,
        name=repo.name,
        href=f"/{repo.url_path}",
        updated_at=moment(repo.updated_at),
        visibility=visibility(repo),
        likes=repo.likes,
        downloads=repo.downloads,
        task=repo.pipeline_tag or task,
        library=repo.library_name,
        licence=licence_label(repo.license) if repo.license else None,
        parameters=repo.parameters,
        size_bytes=repo.used_storage_bytes or None,
        base_model=base_view(*base, here, word_of_one(repo.lineage, len(_bases(tags)))) if base else None,
        runnable=repo.runnable,
        badges=badges_of(repo),
        children=repo.children,
    )


def badges_of(repo: RepoRow) -> BadgesView:
    """The small marks of a model; a relation without a direction is no mark."""
    state = repo.lineage if repo.lineage in set(LineageState) else None
    return BadgesView(LineageState(state) if state else None, GRADES.get(repo.openness or ""))
