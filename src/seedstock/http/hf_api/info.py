"""Repo info."""

from __future__ import annotations

from typing import Any
from weakref import WeakKeyDictionary

import msgspec

from seedstock.core.clock import iso
from seedstock.core.errors import Invalid
from seedstock.core.names import RepoType
from seedstock.db.repos import RepoRow
from seedstock.http.call import Call
from seedstock.http.routing import Routes
from seedstock.hub.reading import RepoAt
from seedstock.hub.snapshots import Snapshot
from seedstock.hub.trees import Entry
from seedstock.metadata.summary import RepoMetadata

routes = Routes()

_COMMON = """_id id author sha lastModified createdAt private gated disabled downloads downloadsAllTime likes tags
cardData siblings usedStorage trendingScore""".split()
_EXPAND = {
    RepoType.MODEL: {
        *_COMMON,
        *"""modelId pipeline_tag library_name config transformersInfo safetensors gguf model-index
widgetData mask_token spaces baseModels childrenModelCount inference inferenceProviderMapping evalResults
securityRepoStatus resourceGroup xetEnabled""".split(),
    },
    RepoType.DATASET: {
        *_COMMON,
        *"description citation paperswithcode_id mainSize resourceGroup xetEnabled".split(),
    },
    RepoType.SPACE: {
        *_COMMON,
        *"sdk subdomain host models datasets region runtime resourceGroup xetEnabled".split(),
    },
}
_AUTO_CLASSES = {"text-generation": "AutoModelForCausalLM", "fill-mask": "AutoModelForMaskedLM"}


@routes.add(
    "GET",
    "/api/{type:repotype}/{ns}/{name}",
    "/api/{type:repotype}/{ns}/{name}/revision/{rev:path}",
    steady=True,
)
def repo_info(call: Call) -> Any:
    """A repo at a revision."""
    repo_id = call.repo_id()
    expand = expand_of(call, repo_id.type)
    at = call.hub.reading.repo_at(call.viewer, repo_id, call.request.path_params.get("rev", "main"))
    if call.request.headers.get("x-hf-download-counter"):
        call.hub.downloads.count(at.repo.id)
    info = full_info(at, blobs=call.flag("blobs"))
    add_family(call, expand, [(at, info)])
    return {key: info[key] for key in ("_id", "id", *expand) if key in info} if expand else info


def expand_of(call: Call, type: RepoType) -> list[str]:
    """The fields that a request asks for, if it names any. Raises Invalid for one that such repos do not have."""
    expand = call.queries("expand")
    unknown = [name for name in expand if name not in _EXPAND[type]]
    if unknown:
        allowed = ", ".join(sorted(_EXPAND[type]))
        raise Invalid(f'"expand" must be one of [{allowed}], not {unknown[0][:60]!r}')
    return expand


def full_info(at: RepoAt, *, blobs: bool = False) -> dict[str, Any]:
    """Everything that the info of a repo says."""
    repo, frozen = at.repo, _frozen_info(at)
    info: dict[str, Any] = {
        **light_info(repo, frozen["tags"]),
        "author": repo.namespace,
        "sha": at.commit.oid,
        "lastModified": iso(at.commit.committed_at if at.revision.ref is None else repo.updated_at),
        "gated": repo.gated or False,
        "disabled": repo.disabled,
        "downloadsAllTime": repo.downloads_all_time,
        "usedStorage": repo.used_storage_bytes,
        **frozen,
    }
    if blobs:
        info["siblings"] = _siblings(at, blobs=True)
    return info


_FROZEN: WeakKeyDictionary[Snapshot, dict[str, msgspec.Raw]] = WeakKeyDictionary()


def _frozen_info(at: RepoAt) -> dict[str, msgspec.Raw]:
    """The fields that a commit settles, encoded once; they live as long as the snapshot."""
    frozen = _FROZEN.get(at.snapshot)
    if frozen is None:
        fields = {
            "tags": at.metadata.tags,
            "cardData": at.metadata.card_data,
            "siblings": _siblings(at, blobs=False),
        }
        if at.repo.type == RepoType.MODEL:
            fields |= _model_info(at.metadata)
        elif at.repo.type == RepoType.DATASET:
            fields["description"] = str(at.metadata.card_data.get("description", ""))
        frozen = {name: msgspec.Raw(msgspec.json.encode(value)) for name, value in fields.items()}
        _FROZEN[at.snapshot] = frozen
    return frozen


def _siblings(at: RepoAt, *, blobs: bool) -> list[dict[str, Any]]:
    return [_sibling(entry, blobs=blobs) for entry in at.entries if not entry.is_tree]


def _model_info(metadata: RepoMetadata) -> dict[str, Any]:
    fields = {
        "pipeline_tag": metadata.pipeline_tag,
        "library_name": metadata.library_name,
        "config": metadata.config,
        "safetensors": metadata.safetensors,
        "gguf": metadata.gguf,
        "model-index": metadata.model_index,
    }
    info = {key: value for key, value in fields.items() if value is not None}
    if metadata.library_name == "transformers":
        info["transformersInfo"] = {
            "auto_model": _AUTO_CLASSES.get(metadata.pipeline_tag or "", "AutoModel"),
            "pipeline_tag": metadata.pipeline_tag,
        }
    return {"spaces": [], **info}


def light_info(repo: RepoRow, tags: list[str] | msgspec.Raw) -> dict[str, Any]:
    """What a list says of each repo."""
    info = {
        "_id": f"{repo.id:024x}",
        "id": repo.repo_id,
        "author": repo.namespace,
        "likes": repo.likes,
        "downloads": repo.downloads,
        "private": repo.private,
        "gated": repo.gated or False,
        "tags": tags,
        "createdAt": iso(repo.created_at),
        "lastModified": iso(repo.updated_at),
        "trendingScore": repo.trending_score,
    }
    if repo.type == RepoType.MODEL:
        info["modelId"] = repo.repo_id
        if repo.pipeline_tag:
            info["pipeline_tag"] = repo.pipeline_tag
        if repo.library_name:
            info["library_name"] = repo.library_name
    return info


def _sibling(entry: Entry, *, blobs: bool) -> dict[str, Any]:
    sibling: dict[str, Any] = {"rfilename": entry.path}
    if blobs:
        sibling |= {"size": entry.size_bytes, "blobId": entry.oid}
        if entry.digest is not None:
            sibling["lfs"] = {
                "sha256": entry.digest,
                "size": entry.size_bytes,
                "pointerSize": entry.pointer_bytes,
            }
    return sibling


def add_family(call: Call, expand: list[str], found: list[tuple[RepoAt, dict[str, Any]]]) -> None:
    """Set `baseModels` and `childrenModelCount` where they are asked for: one query each, however many repos."""
    if "baseModels" in expand:
        names = {
            name for at, _ in found if at.metadata.base_models for name in at.metadata.base_models.models
        }
        here = call.hub.listing.named(call.viewer, RepoType.MODEL, names)
        for at, info in found:
            bases = at.metadata.base_models
            if bases is not None:
                models = [_base(name, here.get(name)) for name in bases.models]
                info["baseModels"] = {"relation": bases.relation, "models": models}
    if "childrenModelCount" in expand:
        children = call.hub.lineage.children([at.repo for at, _ in found])
        for at, info in found:
            info["childrenModelCount"] = children[at.repo.id]


def _base(name: str, repo: RepoRow | None) -> dict[str, Any]:
    return {"id": name} if repo is None else {"_id": f"{repo.id:024x}", "id": repo.repo_id}
