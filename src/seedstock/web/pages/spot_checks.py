"""Spot checks in words. They say of how many segments of a run they are, and a disagreement as plainly as its opposite."""

from __future__ import annotations

from collections.abc import Sequence

from seedstock.variants.spot_check_run import Finding, Segment
from seedstock.variants.spot_checks import Check
from seedstock.web.pages.answer import moment
from seedstock.web.pages.jobs import STATES
from seedstock.web.views.common import Notice, NoticeKind
from seedstock.web.views.spot_checks import CheckedRunView, SpotCheckView

_OTHER_PLATFORM = "It ran on another class of platforms than the run, where equal bytes are not promised."


def checked_runs(checks: Sequence[Check], url: str) -> tuple[CheckedRunView, ...]:
    """The runs that were checked, the latest checked first; `url` is the path of the repo that they published in, where the viewer sees it."""
    runs: dict[int, list[Check]] = {}
    for check in checks:
        runs.setdefault(check.segment.job, []).append(check)
    return tuple(_run(of_one, url) for of_one in runs.values())


def _run(checks: Sequence[Check], url: str) -> CheckedRunView:
    found = {True: set[int](), False: set[int]()}
    for check in checks:
        if check.finding is not None:
            found[check.finding.agrees].add(check.segment.start)
    agreed, otherwise = found[True] - found[False], found[False]
    newest = checks[0].segment
    summary = f"spot-checked: {len(agreed)} of {newest.segments} segments agreed"
    if otherwise:
        summary += f", {len(otherwise)} did not"
    if not agreed and not otherwise:
        summary = f"none of {newest.segments} segments spot-checked yet"
    return CheckedRunView(
        summary=summary,
        tone="bad" if otherwise else "",
        commit=newest.commit[:8],
        checks=tuple(_check(check, url) for check in checks),
    )


def _check(check: Check, url: str) -> SpotCheckView:
    finding = check.finding
    outcome = (
        STATES[check.state].value if finding is None else "agreed" if finding.agrees else "did not agree"
    )
    return SpotCheckView(
        outcome=outcome,
        tone="" if finding is None else "good" if finding.agrees else "bad",
        steps=f"steps {check.segment.start} to {check.segment.stop}",
        reason="" if finding is None else _reason(check.segment, finding),
        ran_by=check.ran_by,
        at=moment(check.at_ms),
        record_href="" if finding is None or not url else f"/api/models/{url}/spot-checks/{check.number}",
        note=_note(finding),
    )


def _reason(segment: Segment, finding: Finding) -> str:
    if finding.agrees:
        return f"came out as recorded ({finding.seen[:12]})"
    if not finding.start_as_recorded:
        return f"the checkpoint at step {segment.start} is not the state that the record has for it"
    return f"came out as {finding.seen[:12]}, recorded is {finding.recorded[:12]}"


def _note(finding: Finding | None) -> str:
    return "" if finding is None or finding.agrees or finding.same_platform else _OTHER_PLATFORM


def finding_notice(segment: Segment, finding: Finding | None) -> Notice | None:
    """What a spot check's own page says first."""
    if finding is None:
        return None
    where = (
        f"Steps {segment.start} to {segment.stop}, one of {segment.segments} segments of job {segment.job}"
    )
    text = f"{where}: {_reason(segment, finding)}. {_note(finding)}".strip()
    if finding.agrees:
        return Notice(NoticeKind.INFO, f"{text} Of the other segments this shows nothing.")
    return Notice(NoticeKind.BAD, text)
