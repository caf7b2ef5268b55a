"""CycloneDX 1.6 ML-BOM of a model, down to everything it is built on; valid as 1.7 too.

Written by hand: the CycloneDX library's own classes have no model card and would drop it.
"""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from seedstock import __version__
from seedstock.openness.bom_parts import (
    Part,
    Parts,
    clean,
    collect_parts,
    facts_of,
    package_url,
    repo_url,
    safe_url,
)
from seedstock.openness.canonical import canonical_json
from seedstock.openness.facts import Ancestry, Dataset, ModelFacts
from seedstock.openness.licence_model import find_licence
from seedstock.openness.licences import DeclaredLicence, read_licence
from seedstock.openness.score import Openness

MAX_METRICS = 200
MAX_VALUE = 10**18
_APPROACHES = {"sft": "supervised", "pretrain": "self-supervised", "grpo": "reinforcement-learning"}


def cyclonedx_bom(
    ancestry: Ancestry, openness: Openness, *, made_at: datetime, hub_url: str
) -> dict[str, Any]:
    """The bill as JSON values. Same facts, same bill but for `made_at`; the serial number is that of the facts."""
    parts = collect_parts(ancestry)
    subject, *ancestors = parts.models
    bill: dict[str, Any] = {
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "version": 1,
        "metadata": {
            "tools": {"components": [{"type": "application", "name": "Seedstock", "version": __version__}]},
            "component": {
                **_model(subject, parts, hub_url),
                "properties": [*_edges(subject, parts), *_grade(openness, parts)],
            },
        },
        "components": [
            *({**_model(part, parts, hub_url), **_properties_of(part, parts)} for part in ancestors),
            *(_dataset(item) for item in parts.datasets),
        ],
        "dependencies": list(_dependencies(parts)),
    }
    unknown = [_ref(part) for part in parts.models if not part.known]
    if unknown:
        bill["compositions"] = [{"aggregate": "unknown", "dependencies": unknown}]
    if isinstance(subject.node, ModelFacts) and subject.node.recipe:
        bill["formulation"] = [_formulation(subject.node)]
    digest = hashlib.sha256(canonical_json(bill)).digest()
    bill["serialNumber"] = f"urn:uuid:{uuid.UUID(bytes=digest[:16], version=4)}"
    bill["metadata"]["timestamp"] = made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    return bill


def _ref(part: Part) -> str:
    if isinstance(part.node, ModelFacts):
        return f"model-{part.number}:{clean(part.node.repo)}@{part.node.commit}"
    return f"unknown-{part.number}"


def _dataset_ref(name: str) -> str:
    return f"dataset:{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _property(name: str, value: str) -> dict[str, str]:
    return {"name": f"hub:{name}", "value": clean(value)}


def _model(part: Part, parts: Parts, hub_url: str) -> dict[str, Any]:
    node = part.node
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "bom-ref": _ref(part),
        "name": clean(node.name),
    }
    if not isinstance(node, ModelFacts):
        return found
    found |= {
        "version": node.commit,
        "purl": package_url(node, hub_url),
        "licenses": _licences(part.licence.declared) if part.licence else [],
        "modelCard": _model_card(node),
        "components": [
            {
                "type": "file",
                "bom-ref": f"{_ref(part)}#{index}",
                "name": clean(file.path),
                "hashes": [{"alg": "SHA-256", "content": file.sha256}],
            }
            for index, file in enumerate(part.files)
        ],
        "externalReferences": [{"type": "distribution", "url": repo_url(node, hub_url)}],
    }
    if "/" in node.repo:
        found["group"] = clean(node.repo.rsplit("/", 1)[0])
    if node.publisher:
        found["publisher"] = clean(node.publisher.organisation)
    ancestors = [
        _pedigree(parts, tie.parent, hub_url) for tie in parts.parents_of(part.number) if tie.carries_weights
    ]
    if ancestors:
        found["pedigree"] = {"ancestors": ancestors}
    return {name: value for name, value in found.items() if value != []}


def _pedigree(parts: Parts, number: int | None, hub_url: str) -> dict[str, Any]:
    """A parent in brief; the whole of it stands among the components under the reference named here."""
    assert number is not None
    part = parts.models[number]
    found: dict[str, Any] = {
        "type": "machine-learning-model",
        "name": clean(part.node.name),
        "properties": [_property("ref", _ref(part)), _property("known", str(part.known).lower())],
    }
    if isinstance(part.node, ModelFacts):
        found |= {"version": part.node.commit, "purl": package_url(part.node, hub_url)}
    return found


def _properties_of(part: Part, parts: Parts) -> dict[str, Any]:
    return {"properties": list(_edges(part, parts))}


def _edges(part: Part, parts: Parts) -> Iterator[dict[str, str]]:
    yield _property("known", str(part.known).lower())
    node = part.node
    if isinstance(node, ModelFacts):
        if part.files_left_out:
            yield _property("filesLeftOut", str(part.files_left_out))
        if node.private:
            yield _property("private", "true")
        if node.publisher and node.publisher.country:
            yield _property("publisherCountry", node.publisher.country)
            yield _property("publisherSource", node.publisher.source or "not stated")
        if part.licence and not part.licence.certain:
            yield _property("licence", "unknown")
    for tie in parts.parents_of(part.number):
        yield {"name": "hub:edge", "value": canonical_json(dict(facts_of(tie))).decode()}
        if tie.parent is not None:
            yield _property(f"edge:{tie.edge.evidence.value}", _ref(parts.models[tie.parent]))


def _grade(openness: Openness, parts: Parts) -> Iterator[dict[str, str]]:
    yield _property("mofClass", openness.own_class.value)
    yield _property("effectiveClass", openness.effective_class.value)
    yield _property("verificationLevel", f"V{openness.verification.level}")
    yield _property("licenceVerdict", openness.licence.status.value)
    yield _property("licenceVerdictIfDeclared", openness.licence.if_declared.value)
    yield _property("licenceHeadline", openness.licence.headline)
    node = parts.models[0].node
    if isinstance(node, ModelFacts) and node.recipe and node.recipe.digest:
        yield _property("recipeDigest", node.recipe.digest)
    if parts.cut:
        yield _property("ancestryCut", "true")


def _licences(declared: DeclaredLicence) -> list[dict[str, Any]]:
    """An id where CycloneDX's list has it, an expression of SPDX names, else the name that was given."""
    if not declared.alternatives or declared.unknown:
        return [] if declared.text == "no licence" else [{"license": {"name": clean(declared.text)}}]
    only = declared.licences[0]
    if len(declared.licences) > 1:
        return [{"expression": declared.expression}]
    if only.spdx is None:
        return [{"license": {"name": only.name, "url": only.url}}]
    return [{"license": {"id": only.spdx}}] if find_licence(only.spdx) else [{"expression": only.spdx}]


def _model_card(node: ModelFacts) -> dict[str, Any]:
    meta = node.metadata
    config = meta.config or {}
    names = config.get("architectures")
    family = config.get("model_type") or (meta.gguf.architecture if meta.gguf else None)
    parameters: dict[str, Any] = {}
    if meta.pipeline_tag:
        parameters["task"] = clean(meta.pipeline_tag)
    if isinstance(family, str):
        parameters["architectureFamily"] = clean(family)
    if isinstance(names, list) and names and isinstance(names[0], str):
        parameters["modelArchitecture"] = clean(names[0])
    approach = next(
        (_APPROACHES[op] for op in (node.recipe.operations if node.recipe else ()) if op in _APPROACHES), None
    )
    if approach:
        parameters["approach"] = {"type": approach}
    if node.datasets:
        refs = dict.fromkeys(_dataset_ref(item.name) for item in node.datasets)
        parameters["datasets"] = [{"ref": ref} for ref in refs]
    card: dict[str, Any] = {"modelParameters": parameters}
    metrics = list(_metrics(meta.model_index))[:MAX_METRICS]
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    return card


def _metrics(index: list[Any] | None) -> Iterator[dict[str, str]]:
    """Numbers of the card's model-index; what is not of its shape is stepped over."""
    for entry in (index or [])[:MAX_METRICS]:
        results = entry.get("results") if isinstance(entry, dict) else None
        for result in results[:MAX_METRICS] if isinstance(results, list) else []:
            if not isinstance(result, dict):
                continue
            held = result.get("dataset")
            on = held.get("name") if isinstance(held, dict) else None
            measured = result.get("metrics")
            for metric in measured[:MAX_METRICS] if isinstance(measured, list) else []:
                value = metric.get("value") if isinstance(metric, dict) else None
                if (
                    not isinstance(value, int | float)
                    or isinstance(value, bool)
                    or not abs(value) < MAX_VALUE
                ):
                    continue  # NaN is not below anything either
                found = {"type": clean(str(metric.get("type"))), "value": str(value)}
                yield {**found, "slice": clean(on)} if isinstance(on, str) else found


def _dataset(item: Dataset) -> dict[str, Any]:
    content: dict[str, Any] = {"type": "dataset", "name": clean(item.name)}
    url = safe_url(item.url)
    if url:
        content["contents"] = {"url": url}
    found: dict[str, Any] = {
        "type": "data",
        "bom-ref": _dataset_ref(item.name),
        "name": clean(item.name),
        "data": [content],
        "properties": [
            _property("known", str(item.resolves).lower()),
            _property("gated", str(item.gated).lower()),
            _property("use", "evaluation" if item.evaluates else "training"),
        ],
    }
    licences = _licences(read_licence(item.license)) if item.license else []
    return {**found, "licenses": licences} if licences else found


def _dependencies(parts: Parts) -> Iterator[dict[str, Any]]:
    for part in parts.models:
        if not isinstance(part.node, ModelFacts):
            continue
        parents = [
            _ref(parts.models[tie.parent])
            for tie in parts.parents_of(part.number)
            if tie.stands and tie.parent is not None and tie.parent != part.number
        ]
        data = [_dataset_ref(item.name) for item in part.node.datasets]
        yield {"ref": _ref(part), "dependsOn": list(dict.fromkeys([*parents, *data]))}


def _formulation(node: ModelFacts) -> dict[str, Any]:
    assert node.recipe is not None
    stages = [
        {
            "bom-ref": f"stage-{index}",
            "uid": f"stage-{index}",
            "name": clean(operation),
            "taskTypes": ["build"],
        }
        for index, operation in enumerate(node.recipe.operations)
    ]
    workflow = {
        "bom-ref": "recipe",
        "uid": clean(node.recipe.digest or "recipe.toml"),
        "taskTypes": ["build"],
    }
    return {"workflows": [{**workflow, "tasks": stages} if stages else workflow]}
