"""How open a model is, under which terms, and its bill of materials."""

from __future__ import annotations

from typing import Any

from starlette.responses import Response

from seedstock.core.errors import Invalid
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.openness.service import Graded

routes = Routes()

_BOMS = {
    "cyclonedx": ("application/vnd.cyclonedx+json; version=1.6", "cdx.json"),
    "spdx": ("application/spdx+json", "spdx.json"),
}


def graded(call: Call) -> Graded:
    """The model that the path names, graded at the revision that the query names."""
    return call.hub.openness.grade(call.viewer, call.repo_id(), call.query("revision") or "main")


@routes.add("GET", "/api/models/{ns}/{name}/openness", steady=True)
def openness(call: Call) -> dict[str, Any]:
    """Components, class over the lineage, the OSAID checklist, and what is missing for the next class."""
    found = graded(call)
    result = found.openness
    return {
        "repo": found.model.repo,
        "commit": found.model.commit,
        "badge": found.badge,
        "class": result.own_class,
        "effectiveClass": result.effective_class,
        "cappedBy": result.capped_by,
        "explanation": result.explanation,
        "nextClass": result.next_class,
        "missing": [item.component.id for item in result.missing],
        "openScience": result.open_science,
        "weights": {"badge": result.weights, "reason": result.weights_reason},
        "verification": result.verification,
        "components": result.components,
        "osaid": result.osaid,
        "signature": call.hub.signatures.find(found.repo.id, found.model.commit),
    }


@routes.add("GET", "/api/models/{ns}/{name}/licences", steady=True)
def licences(call: Call) -> Any:
    """What the card and the licence files say, what verified ancestors demand, and what does not fit."""
    found = graded(call)
    return {"repo": found.model.repo, "commit": found.model.commit, "report": found.openness.licence}


@routes.add("GET", "/api/models/{ns}/{name}/bom")
def bom(call: Call) -> Response:
    """The bill of materials down to the roots: `format=cyclonedx` or `spdx`; `signed=1` in a signed envelope."""
    kind = call.query("format") or "cyclonedx"
    if kind not in _BOMS:
        raise Invalid(f"format is {' or '.join(_BOMS)}, not {kind[:20]!r}")
    found, service = graded(call), call.hub.openness
    bill = (service.cyclonedx if kind == "cyclonedx" else service.spdx)(found, call.base_url)
    media_type, ending = _BOMS[kind]
    name = found.model.repo.replace("/", "--")
    if call.flag("signed"):
        headers = {"Content-Disposition": f'attachment; filename="{name}.{ending[:-5]}.intoto.json"'}
        record = call.hub.records.sign_bom(bill, found.model, kind)
        return Response(record, 200, headers, "application/json")
    headers = {"Content-Disposition": f'attachment; filename="{name}.{ending}"', "Content-Type": media_type}
    return json_response(bill, headers=headers)
