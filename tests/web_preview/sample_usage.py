"""Samples of the usage page: somebody with limits, everybody, and nobody's."""

from __future__ import annotations

import math
from datetime import date, timedelta

from seedstock.core.limits import LimitKind, Limits
from seedstock.db.usage import UsageRow
from seedstock.usage.limits import Standing
from seedstock.usage.rules import Rule
from seedstock.usage.service import TokenUse, UsageReport, day_number
from seedstock.web.pages.usage import page_of
from seedstock.web.views.common import Notice, NoticeKind
from tests.web_preview.sample_repos import DEMO, NOW

_LAST = date(2026, 3, 1)
_FIRST = _LAST - timedelta(days=29)
_MODELS = (
    "demo/SmolLM2-135M-Instruct",
    "HuggingFaceTB/SmolLM2-1.7B-Instruct-with-a-rather-long-name",
    "lab/embedder",
)


def _rows(account: str = "demo", scale: int = 1) -> list[UsageRow]:
    rows = []
    for day in range(30):
        for at, model in enumerate(_MODELS):
            used = int(scale * 90_000 * (1 + math.sin(day / 3 + at)) / (at + 1)) if day % 7 < 5 else 0
            if used:
                rows.append(
                    UsageRow(
                        requests=used // 400,
                        failures=day % 3,
                        prompt_tokens=used,
                        cached_tokens=used // 3,
                        completion_tokens=used // 2 if at < 2 else 0,
                        duration_ms=used,
                        day=day_number(_FIRST) + day,
                        account=account,
                        token_id=(1, 2, 0)[at],
                        model=model,
                    )
                )
    return rows


def _standing(subject: str, kind: LimitKind, limit: int, left: int) -> Standing:
    return Standing(Rule(subject, kind, limit), left, int(NOW.timestamp() * 1000) + 42_000)


_TOKENS = [
    TokenUse(
        1,
        "training box",
        "x7Qa",
        Limits(),
        Limits(requests_per_minute=10),
        (_standing("token:1", LimitKind.REQUESTS_PER_MINUTE, 10, 1),),
    ),
    TokenUse(2, "laptop", "b3Zz", Limits(), Limits(), ()),
]
_STANDINGS = (
    _standing("account:1", LimitKind.REQUESTS_PER_MINUTE, 60, 60),
    _standing("account:1", LimitKind.TOKENS_PER_MINUTE, 20_000, 12_345),
    _standing("account:1", LimitKind.TOKENS_PER_DAY, 2_000_000, 180_000),
)
_MINE = UsageReport(_FIRST, _LAST, "demo", _rows(), _TOKENS, _STANDINGS)
_ALL = UsageReport(_FIRST, _LAST, None, _rows() + _rows("ada", 12), [], ())
_NONE = UsageReport(_FIRST, _LAST, "demo", [], _TOKENS[1:], ())
_SET = Notice(NoticeKind.GOOD, "The limit is set.")
USAGE_SAMPLES = {
    "usage": ("/settings/usage", page_of(_MINE, 30, viewer="demo", is_admin=False, notice=_SET), DEMO),
    "usage-all": ("/_/usage-all", page_of(_ALL, 30, viewer="demo", is_admin=True), DEMO),
    "usage-none": ("/_/usage-none", page_of(_NONE, 30, viewer="demo", is_admin=False), DEMO),
}
