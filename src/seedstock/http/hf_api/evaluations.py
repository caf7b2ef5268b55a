"""Evaluations of models, hosted or elsewhere: asked for, shown, compared, ranked, and written into cards."""

from __future__ import annotations

from typing import Any

import msgspec
from starlette.responses import Response, StreamingResponse

from seedstock.core.clock import iso
from seedstock.core.errors import Invalid
from seedstock.core.names import RepoId
from seedstock.evaluation.boards import Board, Ranked, Result
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.estimate import Estimate, estimate, in_words
from seedstock.evaluation.request import Plan, Request
from seedstock.http.call import Call
from seedstock.http.routing import Routes, json_response
from seedstock.run.remote.upstream import RemoteName

routes = Routes()

_MODELS = ("/api/models/{ns}/{name}", "/api/models/remote/{remote}/{model:path}")
_MOST = 1 << 53


def _at(suffix: str) -> list[str]:
    """The addresses for models of the hub, and for those that run elsewhere."""
    return [f"{address}/{suffix}" for address in _MODELS]


@routes.add("POST", *_at("evaluate"), limit_bytes=20_000)
def evaluate(call: Call) -> Response:
    """Ask a model the questions of a suite: JSON `{"suite": "arithmetic", "revision"?, "file"?, "limit"?, "seed"?, "write_card"?, ...}`.

    Answers 202 and a job; `estimate` says how much would be asked at most. With `?dry_run=true` nothing is, and a dataset's rows are counted for it.
    """
    request = call.json(Request)
    evaluations = call.hub.evaluations
    if call.flag("dry_run"):
        plan = evaluations.plan(call.viewer, _model(call), request)
        return json_response(_planned(plan, evaluations.estimate(call.viewer, plan)))
    number, plan = evaluations.start(call.viewer, _model(call), request, call.base_url)
    answer = {"job": number, "status": f"{call.base_url}/api/jobs/{number}"} | _planned(plan, estimate(plan))
    return json_response(answer, 202)


@routes.add("GET", *_at("evaluations"))
def evaluations(call: Call) -> list[dict[str, Any]]:
    """What a model scored, newest first; results on datasets that the caller may not see are left out."""
    return [_shown(found) for found in call.hub.evaluations.results.of(call.viewer, _model(call))]


@routes.add("GET", *_at("evaluations/{id:int}"))
def evaluation(call: Call) -> dict[str, Any]:
    """One result."""
    return _shown(_found(call))


@routes.add("GET", *_at("evaluations/{id:int}/samples"))
def samples(call: Call) -> Response:
    """The sample-level log, as JSON lines: every question, the whole answer, and what each check said."""
    found = _found(call)
    name = f"evaluation-{found.row.id}.jsonl"
    headers = {
        "content-length": str(found.row.log_bytes),
        "content-disposition": f'attachment; filename="{name}"',
        "x-content-type-options": "nosniff",
    }
    log = call.hub.evaluations.results.open_log(call.viewer, found)
    return StreamingResponse(log, 200, headers, "application/jsonl")


@routes.add("POST", *_at("evaluations/{id:int}/card"), limit_bytes=20_000)
def write_card(call: Call) -> dict[str, Any]:
    """Write a result into the `model-index` of the model's card, by one commit; takes the right to write."""
    number = int(call.param("id"))
    commit = call.hub.evaluations.results.write_card(call.viewer, _model(call), number, call.base_url)
    return {"commit": commit}


@routes.add("GET", "/api/evaluations/suites")
def suites(call: Call) -> list[dict[str, Any]]:
    """Suites that come with the hub, and datasets that models were evaluated on."""
    found: list[dict[str, Any]] = []
    for name in call.hub.evaluations.results.suites(call.viewer):
        suite = SUITES.get(name)
        entry: dict[str, Any] = {"name": name}
        if suite is not None:
            entry |= {"title": suite.title, "about": suite.about, "version": suite.version}
            entry |= {"items": suite.default_items, "digest": suite.digest}
        found.append(entry)
    return found


@routes.add("GET", "/api/evaluations/compare")
def compare(call: Call) -> dict[str, Any]:
    """Two results on the same questions, `?a=1&b=2`: the difference of the second from the first, with its interval."""
    numbers = [call.number(name, 0, most=_MOST) for name in ("a", "b")]
    if 0 in numbers:
        raise Invalid("Name two evaluations, as ?a=1&b=2")
    first, second, found = call.hub.evaluations.results.compare(call.viewer, *numbers)
    return {
        "a": _shown(first),
        "b": _shown(second),
        **msgspec.to_builtins(found),
        "interval": "paired bootstrap",
    }


@routes.add("GET", "/api/leaderboard")
def leaderboard(call: Call) -> dict[str, Any]:
    """Models ranked on a suite, `?suite=arithmetic`: a board for each set of questions and settings, the fullest first."""
    suite = call.query("suite") or next(iter(SUITES))
    boards = call.hub.evaluations.results.boards(call.viewer, suite[:400])
    return {"suite": suite, "boards": [_board(board) for board in boards]}


def _model(call: Call) -> RepoId | RemoteName:
    if "remote" in call.request.path_params:
        return RemoteName(call.param("remote"), call.param("model"))
    return call.repo_id()


def _found(call: Call) -> Result:
    return call.hub.evaluations.results.get_of(call.viewer, _model(call), int(call.param("id")))


def _planned(plan: Plan, expected: Estimate) -> dict[str, Any]:
    shown: dict[str, Any] = msgspec.to_builtins(plan)
    del shown["dataset_id"]
    if plan.closed is not None:
        del shown["closed"]["remote_id"]
    said = {"estimate": msgspec.to_builtins(expected) | {"text": in_words(expected)}}
    return shown | {"model": plan.model} | said


def _shown(found: Result) -> dict[str, Any]:
    row = found.row
    return {
        "id": row.id,
        "model": found.model,
        "repo": found.repo.repo_id if found.repo else None,
        "commit": row.commit,
        "closed": found.closed,
        "remote": _remote(found),
        "file": row.file,
        "suite": found.suite,
        "suiteVersion": row.suite_version,
        "suiteDigest": row.suite_digest,
        "dataset": found.dataset.repo_id if found.dataset else None,
        "datasetCommit": row.dataset_commit,
        "itemsDigest": row.items_digest,
        "settings": row.settings,
        "seed": row.seed,
        "n": row.n,
        "score": row.score,
        "stderr": row.stderr,
        "interval": {"low": row.low, "high": row.high, "confidence": 0.95, "method": "wilson"},
        "groups": row.groups,
        "library": row.library,
        "durationS": row.duration_s,
        "ranBy": row.ran_by,
        "createdAt": iso(row.created_at),
    }


def _remote(found: Result) -> dict[str, Any] | None:
    """What is known of a model that runs elsewhere."""
    row = found.row
    if row.closed is None:
        return None
    return {
        "name": found.remote,
        "kind": row.closed["kind"],
        "model": row.remote_model,
        "revisions": row.closed["revisions"],
        "answeredAs": row.closed["answered_as"],
    }


def _board(board: Board) -> dict[str, Any]:
    row = board.example
    return {
        "digest": board.digest,
        "n": row.n,
        "seed": row.seed,
        "settings": row.settings,
        "itemsDigest": row.items_digest,
        "models": [_ranked(line) for line in board.lines],
    }


def _ranked(line: Ranked) -> dict[str, Any]:
    difference = None if line.difference is None else msgspec.to_builtins(line.difference)
    return {
        "place": line.place,
        "levelWithBest": line.level_with_best,
        "differenceFromBest": difference,
    } | _shown(line.result)
