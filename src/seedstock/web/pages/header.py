"""The top of every repository page."""

from __future__ import annotations

from seedstock.accounts.permissions import Action, allowed
from seedstock.core.names import RepoType
from seedstock.http.call import Call
from seedstock.hub.reading import RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.runnable import writes_text
from seedstock.web.pages.cards import badges_of, base_view, licence_label, visibility, word_of_one
from seedstock.web.snippets import repo_snippets
from seedstock.web.views.repos import BadgesView, BaseModelView, RepoHeaderView

MODEL_PATHS = ("/{ns:account}/{name}", "/{type:repotype}/{ns:account}/{name}")


def below(*suffixes: str) -> list[str]:
    """The addresses of a page of models, and of the other types."""
    return [prefix + suffix for prefix in MODEL_PATHS for suffix in suffixes]


def header_of(call: Call, at: RepoAt, revision: str = "main") -> RepoHeaderView:
    """The header of a repo, with what the shown revision says of itself."""
    repo, metadata = at.repo, at.metadata
    runs = call.hub.models.runs(call.viewer, at)
    writes = writes_text(at.entries, at.metadata)
    talks = runs and writes
    repo_id, paths = repo_id_of(repo), [entry.path for entry in at.entries]
    card_tasks = metadata.card_data.get("task_categories")
    task = card_tasks[0] if isinstance(card_tasks, list) and card_tasks else card_tasks
    return RepoHeaderView(
        type=repo_id.type,
        namespace=repo.namespace,
        name=repo.name,
        url=f"/{repo.url_path}",
        visibility=visibility(repo),
        revision=revision,
        likes=repo.likes,
        liked=at.liked,
        downloads=repo.downloads,
        task=metadata.pipeline_tag or (task if isinstance(task, str) else None),
        library=metadata.library_name,
        licence=licence_label(metadata.licenses[0]) if metadata.licenses else None,
        parameters=parameters(at),
        base_models=_bases(call, at),
        runnable=runs,
        writes=writes,
        talks=talks,
        can_write=allowed(call.viewer, Action.WRITE, repo),
        can_admin=allowed(call.viewer, Action.ADMIN, repo),
        badges=badges_of(repo) if repo_id.type is RepoType.MODEL else BadgesView(),
        snippets=repo_snippets(
            repo_id,
            call.base_url,
            uses_transformers=metadata.library_name == "transformers" and "config.json" in paths,
            gguf=any(path.lower().endswith(".gguf") for path in paths),
            runnable=runs,
            talks=talks,
        ),
    )


def parameters(at: RepoAt) -> int | None:
    """Parameters by the weight headers."""
    summary = at.metadata.safetensors or at.metadata.gguf
    return summary.total if summary else None


def _bases(call: Call, at: RepoAt) -> tuple[BaseModelView, ...]:
    declared = at.metadata.base_models
    if declared is None:
        return ()
    here = call.hub.listing.named(call.viewer, RepoType.MODEL, declared.models)
    lineage = word_of_one(at.repo.lineage, len(declared.models))
    return tuple(base_view(declared.relation, name, here, lineage) for name in declared.models[:4])
