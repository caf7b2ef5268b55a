"""SPDX 3.0.1 of a model with the AI profile, as JSON-LD: `descendantOf`, `trainedOn`, `testedOn`, licences, files.

What SPDX has no word for (evidence, grades) stands in the CycloneDX property extension that SPDX defines.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterable
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
from seedstock.openness.licence_model import Licence
from seedstock.openness.licences import DeclaredLicence, read_licence
from seedstock.openness.score import Openness

CONTEXT = "https://spdx.org/rdf/3.0.1/spdx-context.jsonld"
_NO_ASSERTION = "https://spdx.org/rdf/3.0.1/terms/Licensing/NoAssertion"
_CREATION = "_:creation"
_TIME = re.compile(r"\d{4}-[01]\d-[0-3]\dT[0-2]\d:[0-5]\d:[0-5]\dZ\Z")
# What the AI profile asks of every AI package; the profile is claimed only where all of it is known.
_AI_NEEDS = ("suppliedBy", "software_packageVersion", "software_downloadLocation", "releaseTime")


def spdx_bom(ancestry: Ancestry, openness: Openness, *, made_at: datetime, hub_url: str) -> dict[str, Any]:
    """The bill as JSON values. Same facts, same bill but for the time; element ids come from the facts."""
    parts = collect_parts(ancestry)
    draft = _Bill(parts, openness, hub_url, "urn:draft").graph("1970-01-01T00:00:00Z")
    digest = hashlib.sha256(canonical_json(draft)).hexdigest()
    space = f"{safe_url(hub_url) or 'urn:seedstock'}".rstrip("/") + f"/spdx/{digest[:32]}"
    graph = _Bill(parts, openness, hub_url, space).graph(
        made_at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    )
    return {"@context": CONTEXT, "@graph": graph}


class _Bill:
    """The graph being built: elements in order, and one licence element for each expression."""

    def __init__(self, parts: Parts, openness: Openness, hub_url: str, space: str) -> None:
        self.parts = parts
        self.openness = openness
        self.hub_url = hub_url
        self.space = space
        self.elements: list[dict[str, Any]] = []
        self.licences: dict[str, str] = {}
        self.relations = 0

    def graph(self, created: str) -> list[dict[str, Any]]:
        """All elements, the document first."""
        self._add("agent", "SoftwareAgent", name=f"Seedstock {__version__}")
        for item in self.parts.datasets:
            self._dataset(item)
        for part in self.parts.models:
            self._model(part)
        for part in self.parts.models:
            self._ties(part)
        root = self.id("model-0")
        ids = [element["spdxId"] for element in self.elements]
        profiles = ["core", "software", *(["ai"] if self._is_complete() else [])]
        bom = self._element("bom", "Bom", rootElement=[root], element=ids, profileConformance=profiles)
        document = self._element(
            "document",
            "SpdxDocument",
            name=f"AI bill of materials of {clean(self.parts.models[0].node.name)}",
            rootElement=[bom["spdxId"]],
            element=[bom["spdxId"], *ids],
            profileConformance=[*profiles, "simpleLicensing", "extension"],
        )
        creation = {
            "@id": _CREATION,
            "type": "CreationInfo",
            "specVersion": "3.0.1",
            "created": created,
            "createdBy": [self.id("agent")],
        }
        return [creation, document, bom, *self.elements]

    def _is_complete(self) -> bool:
        models = [element for element in self.elements if element["type"] == "ai_AIPackage"]
        return all(field in model for model in models for field in _AI_NEEDS)

    def id(self, name: str) -> str:
        """The address of an element of this bill."""
        return f"{self.space}#{name}"

    def _element(self, name: str, kind: str, /, **fields: Any) -> dict[str, Any]:
        kept = {field: value for field, value in fields.items() if value not in (None, [])}
        return {"spdxId": self.id(name), "type": kind, "creationInfo": _CREATION, **kept}

    def _add(self, name: str, kind: str, /, **fields: Any) -> str:
        self.elements.append(self._element(name, kind, **fields))
        return self.id(name)

    def _relate(self, origin: str, kind: str, targets: Iterable[str], **fields: Any) -> None:
        found = list(dict.fromkeys(targets))
        if found:
            self.relations += 1
            name = f"relationship-{self.relations}"
            self._add(name, "Relationship", **{"from": origin}, to=found, relationshipType=kind, **fields)

    def _model(self, part: Part) -> None:
        node = part.node
        name = f"model-{part.number}"
        fields: dict[str, Any] = {
            "name": clean(node.name),
            "software_primaryPurpose": "model",
            "extension": [_extension([("known", str(part.known).lower()), *self._grade(part)])],
        }
        if isinstance(node, ModelFacts):
            fields |= {
                "suppliedBy": self._supplier(part, node),
                "software_packageVersion": node.commit,
                "software_packageUrl": package_url(node, self.hub_url),
                "software_downloadLocation": repo_url(node, self.hub_url),
                "ai_typeOfModel": _types(node),
                "ai_domain": [clean(node.metadata.pipeline_tag)] if node.metadata.pipeline_tag else [],
                "releaseTime": node.released_at if _TIME.match(node.released_at or "") else None,
            }
        model = self._add(name, "ai_AIPackage", **fields)
        for index, file in enumerate(part.files):
            digest = {"type": "Hash", "algorithm": "sha256", "hashValue": file.sha256}
            self._add(
                f"{name}-file-{index}",
                "software_File",
                name=clean(file.path),
                verifiedUsing=[digest],
                software_primaryPurpose="file",
            )
        self._relate(model, "contains", [self.id(f"{name}-file-{index}") for index in range(len(part.files))])
        if part.licence is not None:
            self._relate(model, "hasDeclaredLicense", [self._licence(part.licence.declared)])

    def _supplier(self, part: Part, node: ModelFacts) -> str:
        publisher = node.publisher
        owner = publisher.organisation if publisher else node.repo.rsplit("/", 1)[0]
        stated = (
            f"country as stated by its profile: {publisher.country}"
            if publisher and publisher.country
            else None
        )
        comment = (
            clean(f"{stated} ({publisher.source or 'no source given'})") if stated and publisher else None
        )
        return self._add(f"supplier-{part.number}", "Organization", name=clean(owner), comment=comment)

    def _grade(self, part: Part) -> list[tuple[str, str]]:
        if part.number:
            return []
        grade = self.openness
        return [
            ("mofClass", grade.own_class.value),
            ("effectiveClass", grade.effective_class.value),
            ("verificationLevel", f"V{grade.verification.level}"),
            ("licenceVerdict", grade.licence.status.value),
            ("licenceVerdictIfDeclared", grade.licence.if_declared.value),
            ("ancestryCut", str(self.parts.cut).lower()),
        ]

    def _dataset(self, item: Dataset) -> None:
        name = _dataset_name(item.name)
        found = self._add(
            name,
            "dataset_DatasetPackage",
            name=clean(item.name),
            software_primaryPurpose="data",
            software_downloadLocation=safe_url(item.url),
            dataset_datasetType=["noAssertion"],
            extension=[
                _extension([("known", str(item.resolves).lower()), ("gated", str(item.gated).lower())])
            ],
        )
        if item.license:
            self._relate(found, "hasDeclaredLicense", [self._licence(read_licence(item.license))])

    def _ties(self, part: Part) -> None:
        if not isinstance(part.node, ModelFacts):
            return
        model = self.id(f"model-{part.number}")
        training = [item.name for item in part.node.datasets if not item.evaluates]
        testing = [item.name for item in part.node.datasets if item.evaluates]
        self._relate(model, "trainedOn", [self.id(_dataset_name(name)) for name in training])
        self._relate(model, "testedOn", [self.id(_dataset_name(name)) for name in testing])
        for tie in self.parts.parents_of(part.number):
            properties = [_extension([(f"edge:{name}", value) for name, value in facts_of(tie)])]
            if tie.stands and tie.parent is not None:
                kind = "descendantOf" if tie.carries_weights else "other"
                self._relate(model, kind, [self.id(f"model-{tie.parent}")], extension=properties)
            else:
                self._contradicted(part, tie.parent_name, properties)

    def _contradicted(self, part: Part, parent_name: str, properties: list[dict[str, Any]]) -> None:
        """A tie that the weights speak against is a remark, not a relationship."""
        self.relations += 1
        name = f"annotation-{self.relations}"
        statement = (
            f"The card names {clean(parent_name)} as what this is built on; the weights contradict it."
        )
        subject = self.id(f"model-{part.number}")
        self._add(
            name,
            "Annotation",
            annotationType="review",
            subject=subject,
            statement=statement,
            extension=properties,
        )

    def _licence(self, declared: DeclaredLicence) -> str:
        if not declared.alternatives or declared.unknown:
            return _NO_ASSERTION
        expression = declared.expression
        if expression not in self.licences:
            own = [_custom(part) for part in declared.licences if part.spdx is None]
            name = f"licence-{len(self.licences)}"
            self.licences[expression] = self._add(
                name,
                "simplelicensing_LicenseExpression",
                simplelicensing_licenseExpression=expression,
                simplelicensing_customIdToUri=own,
            )
        return self.licences[expression]


def _custom(licence: Licence) -> dict[str, str]:
    return {"type": "DictionaryEntry", "key": licence.spdx_name, "value": licence.url}


def _types(node: ModelFacts) -> list[str]:
    config = node.metadata.config or {}
    names = config.get("architectures")
    found = [config.get("model_type"), *(names[:3] if isinstance(names, list) else [])]
    if node.metadata.gguf:
        found.append(node.metadata.gguf.architecture)
    return list(dict.fromkeys(clean(name) for name in found if isinstance(name, str)))


def _dataset_name(name: str) -> str:
    return f"dataset-{hashlib.sha256(name.encode('utf-8', 'replace')).hexdigest()[:16]}"


def _extension(properties: list[tuple[str, str]]) -> dict[str, Any]:
    return {
        "type": "extension_CdxPropertiesExtension",
        "extension_cdxProperty": [
            {
                "type": "extension_CdxPropertyEntry",
                "extension_cdxPropName": f"hub:{name}",
                "extension_cdxPropValue": clean(value),
            }
            for name, value in properties
        ],
    }
