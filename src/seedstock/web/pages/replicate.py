"""Make a model again by its recipe: what would run, the button, and what earlier replications showed."""

from __future__ import annotations

import msgspec
from starlette.responses import Response

from seedstock.core.errors import EntryNotFound, HubError, RepoNotFound, Unauthenticated
from seedstock.db.jobs import JobRow
from seedstock.db.replications import ReplicationRow
from seedstock.http.call import Call
from seedstock.openness.records import inspect_record
from seedstock.recipes.graph import order
from seedstock.recipes.record import RunRecord, StageScore, read_run
from seedstock.recipes.trust import Outcome, badges
from seedstock.recipes.verdict import REPRODUCED, ClaimVerdict
from seedstock.replications.request import Request
from seedstock.replications.service import REPLICATE_MODEL, ReplicationProposal
from seedstock.web.pages.answer import moment, page_routes, redirect, show
from seedstock.web.pages.header import header_of
from seedstock.web.pages.spot_checks import checked_runs
from seedstock.web.stage_standing import Planned, job_stages, planned_stages, ran_stages
from seedstock.web.views.common import Fact, Notice, NoticeKind
from seedstock.web.views.replications import BandView, ReplicatePage, ReplicationView
from seedstock.web.views.stages import StagesView

routes = page_routes()

_ADDRESS = "/{ns:account}/{name}/replicate"
_SHOWN = 20
_POINTS = 1000
_LISTED_SETTINGS = 40


@routes.add("GET", _ADDRESS)
def recipe(call: Call) -> Response:
    """The recipe and its replications."""
    return _page(call)


@routes.add("POST", _ADDRESS, limit_bytes=20_000)
def start(call: Call) -> Response:
    """Queue a replication and go on to its page."""
    fields = {name: values[0] for name, values in call.form().items()}
    request = Request(smoke=fields.get("smoke") == "true")
    try:
        number, _ = call.hub.replications.start(call.viewer, call.repo_id(), request)
    except (RepoNotFound, Unauthenticated):
        raise
    except HubError as error:
        return _page(call, error)
    return redirect(f"/jobs/{number}")


def _page(call: Call, error: HubError | None = None) -> Response:
    at = call.hub.reading.repo_at(call.viewer, call.repo_id())
    proposal = None
    if not call.viewer.anonymous:
        try:
            proposal = call.hub.replications.propose(call.viewer, call.repo_id(), Request())
        except EntryNotFound:
            raise
        except HubError as found:
            error = error or found
    rows = call.hub.replications.of(call.viewer, call.repo_id())[:_SHOWN]
    read = [(row, read_run(inspect_record(row.record))) for row in rows]
    job = _running(call, at.repo.id)
    text = "" if error is None else f"{error.message}{f': {error.hint}' if error.hint else ''}."
    page = ReplicatePage(
        header=header_of(call, at),
        stages=_stages(call, proposal, job) if proposal else None,
        inputs=_inputs(proposal) if proposal else (),
        facts=_facts(proposal) if proposal else (),
        changes=proposal.changes if proposal else (),
        replications=tuple(_replication(at.repo.url_path, row, run) for row, run in read),
        badges=tuple(
            badge.value
            for badge in badges(
                [_asked_by(run, row.ran_by) for row, run in read],
                author=at.repo.namespace,
                available=proposal is not None and not proposal.changes,
            )
        ),
        may_run=proposal is not None and not proposal.changes,
        code=proposal.foreign_code if proposal else (),
        job_state=job.state if job else "",
        checked=checked_runs(call.hub.spot_checks.of(call.viewer, call.repo_id()), at.repo.url_path),
        notice=Notice(NoticeKind.BAD, text) if text else None,
    )
    return show(call, page, 400 if error and call.request.method == "POST" else 200)


def _asked_by(run: RunRecord, account: str) -> Outcome:
    """The run as that of whoever asked for it: an author who presses the button has not been reproduced by others."""
    outcome = run.outcome
    return msgspec.structs.replace(outcome, runner=msgspec.structs.replace(outcome.runner, owner=account))


def _running(call: Call, repo_id: int) -> JobRow | None:
    """The viewer's newest replication of this repo that waits or runs."""
    if call.viewer.anonymous:
        return None
    live = call.hub.jobs.page(call.viewer, states=("queued", "running"), kinds=(REPLICATE_MODEL,))
    return next((row for row in live if row.repo_id == repo_id), None)


def _stages(call: Call, proposal: ReplicationProposal, job: JobRow | None) -> StagesView:
    planned = [
        Planned(
            name,
            stage.op,
            stage.inputs,
            tuple(
                Fact(key, msgspec.json.encode(value).decode()[:200])
                for key, value in list(stage.args.items())[:_LISTED_SETTINGS]
            ),
        )
        for name, stage in ((name, proposal.recipe.stage[name]) for name in order(proposal.recipe))
    ]
    if job is None:
        return planned_stages(planned)
    said = call.hub.jobs.summary(job, lines=1, points=_POINTS, samples=1)
    settings = {stage.name: stage.settings for stage in planned}
    live = job_stages(job.id, said.stages, said.metrics, newest=said.newest, ended_as=None, settings=settings)
    return live or msgspec.structs.replace(planned_stages(planned), job=job.id, newest=said.newest)


def _inputs(proposal: ReplicationProposal) -> tuple[Fact, ...]:
    found = []
    for name, item in proposal.recipe.inputs.items():
        plain = msgspec.to_builtins(item)
        where = plain.get("ref") or plain.get("file", "")
        pin = plain.get("revision") or plain["digest"].removeprefix("sha256:")
        found.append(Fact(name, f"{where} at {pin[:12]}"))
    return tuple(found)


def _facts(proposal: ReplicationProposal) -> tuple[Fact, ...]:
    how, budget = proposal.recipe.determinism, proposal.recipe.budget
    return (
        Fact(
            "Stage that makes this model" if len(proposal.stages) == 1 else "Stages that make its files",
            ", ".join(proposal.stages),
        ),
        Fact("Runs with", f"seed {how.seed}, threads: {how.threads}, {how.dtype}, {how.device}"),
        Fact("At most", f"{budget.cpu_s:,} CPU seconds, {budget.memory_mb:,} MB"),
        Fact(
            "Claims",
            ", ".join(f"{claim.metric} {claim.value:g}" for claim in proposal.recipe.claim) or "none",
        ),
    )


def _replication(url: str, row: ReplicationRow, run: RunRecord) -> ReplicationView:
    judgement = run.judgement
    tone = "good" if row.verdict in REPRODUCED else "warn" if row.verdict == "inconclusive" else "bad"
    claims = judgement.claims if judgement else ()
    return ReplicationView(
        id=row.id,
        verdict=row.verdict,
        tone=tone,
        reason=judgement.reason if judgement else "",
        stage=row.stage,
        ran_by=row.ran_by,
        trust=row.trust,
        at=moment(row.created_at),
        smoke=row.smoke,
        lowered=_lowered(run),
        record_href=f"/api/models/{url}/replications/{row.id}",
        bands=(*map(_score, run.scores), *(band for claim in claims for band in _bands(claim))),
        stages=ran_stages(run.stages),
    )


def _lowered(run: RunRecord) -> str:
    if not run.foreign_code:
        return ""
    scripts = ", ".join(fact.stage for fact in run.stages if fact.op == "script")
    what = f"a script of its author took part ({scripts})" if scripts else "code of its author took part"
    return f"{what}: one class of trust less"


def _bands(claim: ClaimVerdict) -> tuple[BandView, BandView]:
    """Original and replica, with Wilson intervals."""
    sides = (
        ("original", claim.original, claim.original_interval),
        ("replica", claim.replica, claim.replica_interval),
    )
    first, second = (
        _band(f"{claim.metric}, {name}", interval.low, value, interval.high)
        for name, value, interval in sides
    )
    return first, second


def _score(score: StageScore) -> BandView:
    return _band(f"{score.metric}, stage {score.stage}", score.low, score.value, score.high)


def _band(label: str, low: float, value: float, high: float) -> BandView:
    text = f"{100 * value:.1f} % ({100 * low:.1f} to {100 * high:.1f})"
    return BandView(label, 100 * low, 100 * value, 100 * high, text)
