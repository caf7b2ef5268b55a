"""Samples of what models scored: a model's panel, a result with its answers, and the leaderboard."""

from __future__ import annotations

from datetime import timedelta

import msgspec

from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.estimate import in_words, of_suite
from seedstock.web.pages.evaluation_result import band_of
from seedstock.web.views.common import Choice, Fact, Link, Pagination
from seedstock.web.views.evaluation import (
    AnswerView,
    DetailView,
    EvaluationPage,
    EvaluationPanel,
    LeaderboardPage,
    LineView,
    RemoteEvaluationPage,
    ResultView,
    SuiteView,
)
from tests.web_preview.sample_repos import DEMO, HEADER, MODEL_URL, NOW

_SUITES = tuple(SuiteView(one.name, one.title, one.about, one.default_items) for one in SUITES.values())
_ASKED = tuple(
    SuiteView(
        one.name,
        one.title,
        one.about,
        one.default_items,
        in_words(of_suite(one, 0, one.default_items, one.max_tokens)),
    )
    for one in SUITES.values()
)
_FIELDS = dict.fromkeys("suite dataset file limit seed max_tokens sampling write_card".split(), "")
_REMOTE = "remote/rack/Qwen/Qwen3-235B-A22B-Instruct-2507"
_URL = f"{MODEL_URL}/evaluation"
_COMMIT = "0123456789abcdef0123456789abcdef01234567"


def _result(number: int, suite: str, score: float, half: float, n: int, file: str = "") -> ResultView:
    band = band_of(suite, score, max(0.0, score - half), min(1.0, score + half))
    at = NOW - timedelta(hours=5 * (4 - number))
    return ResultView(
        number, f"{_URL}?result={number}", suite, "/leaderboard", _COMMIT, file, band, n, "demo", at
    )


_RESULTS = (
    _result(3, "Arithmetic reasoning", 0.235, 0.055, 200),
    _result(2, "Instruction following", 0.313, 0.07, 150, "Q4_K_M"),
    _result(1, "demo/questions", 0.0, 0.04, 80),
)
_DETAIL = DetailView(
    3,
    "Arithmetic reasoning",
    band_of("All", 0.235, 0.18, 0.298),
    (
        Fact("Model", "demo/SmolLM2-135M-Instruct at 0123456789ab"),
        Fact("Questions", "200 of arithmetic, version 1, 05bda550f0ab; seed 0"),
        Fact("Asked with", "chat/completions, temperature 0.0, top_p 1.0, at most 384 tokens"),
        Fact("Standard error", "3.0 points; intervals are Wilson's, 95 %"),
        Fact("Ran", "inspect-ai 0.3.285, 312 s, for demo"),
    ),
    tuple(
        band_of(f"level {at}, 40", score, max(0.0, score - 0.12), min(1.0, score + 0.12))
        for at, score in enumerate((0.7, 0.35, 0.1, 0.025, 0.0), 1)
    ),
    "/api/models/demo/x/evaluations/3/samples",
    f"{_URL}/3/card",
    (
        AnswerView("00000", True, "level 1", "What is 4 - 3? Work it out, then end with a line of the form `Answer: <number>`.",
                   "4 - 3 = 1.\n\nAnswer: 1", "1"),
        AnswerView("00003", False, "level 4", "What is 36 × 16 - 91 × 8? Work it out, then end with a line of the form `Answer: <number>`.",
                   "To solve it, we multiply " + "36 by 16 and " * 40, "-152", (), "cut off"),
        AnswerView("00007", False, "2 demands", "Describe a windmill to a visitor. Use the word `quiet`. Use at most 30 words.",
                   "A windmill stands on a hill <script>alert(1)</script>" + "_" * 300, "",
                   (("include: quiet", False), ("most words: 30", True))),
    ),
    (Choice("all", "#", True, 200), Choice("wrong", "#", False, 153), Choice("right", "#", False, 47)),
    Pagination(1, 20, 200, None, "#"),
)  # fmt: skip


def _line(
    place: int, model: str, score: float, level: bool, difference: str, commit: str = _COMMIT
) -> LineView:
    band = band_of(model, score, max(0.0, score - 0.06), min(1.0, score + 0.06))
    at = NOW - timedelta(days=place)
    return LineView(place, model, "#", "#", commit, band, level, difference, at, not commit)


_BOARD = LeaderboardPage(
    (
        Choice("Arithmetic reasoning", "#", True),
        Choice("Instruction following", "#"),
        Choice("demo/questions", "#"),
    ),
    "Arithmetic reasoning",
    SUITES["arithmetic"].about,
    (
        Choice("200 questions, seed 0, 384 tokens", "#", True, 5),
        Choice("60 questions, seed 7, 384 tokens", "#", False, 1),
    ),
    (Fact("Models", "5"), Fact("Questions", "200"), Fact("Level with the best", "3")),
    (
        _line(1, "demo/poet-7B", 0.62, True, ""),
        _line(2, "lab/a-model-with-quite-a-long-name-Instruct:Q4_K_M", 0.605, True, "-1.5 (-5.0 to +2.0)"),
        _line(3, _REMOTE, 0.59, True, "-3.0 (-7.0 to +1.0)", ""),
        _line(4, "demo/SmolLM2-135M-Instruct", 0.235, False, "-38.5 (-45.5 to -31.5)"),
        _line(5, "demo/base", 0.0, False, "-62.0 (-68.5 to -55.0)"),
    ),
    "/api/leaderboard?suite=arithmetic",
    (Link(_REMOTE, "#"), Link("remote/claude/claude-sonnet-4-5", "#")),
)
_REMOTE_RESULTS = (
    ResultView(
        4, f"/{_REMOTE}?result=4", "Arithmetic reasoning", "/leaderboard", "", "",
        band_of("Arithmetic reasoning", 0.59, 0.52, 0.656), 200, "demo", NOW - timedelta(hours=2),
    ),
)  # fmt: skip
_REMOTE_DETAIL = msgspec.structs.replace(
    _DETAIL,
    facts=(
        Fact("Model", "Qwen/Qwen3-235B-A22B-Instruct-2507 of the remote rack, on 2026-11-25"),
        Fact("It called itself", "qwen3-235b-a22b-2507"),
        Fact("Remote", "API of openai, settings 1764072345123"),
        *_DETAIL.facts[1:],
    ),
    card_action="",
)


def _panel(results: tuple[ResultView, ...], detail: DetailView | None) -> EvaluationPanel:
    return EvaluationPanel(_URL, _SUITES, _FIELDS, results, detail, True, True)


def _remote(detail: DetailView | None) -> RemoteEvaluationPage:
    panel = EvaluationPanel(f"/{_REMOTE}", _ASKED, _FIELDS, _REMOTE_RESULTS, detail, True, closed=True)
    return RemoteEvaluationPage(panel, _REMOTE, "rack")


EVALUATION_SAMPLES = {
    "evaluation-remote": (f"/{_REMOTE}", _remote(None), DEMO),
    "evaluation-remote-result": (f"/{_REMOTE}/sample-result", _remote(_REMOTE_DETAIL), DEMO),
    "evaluation": (_URL, EvaluationPage(_panel(_RESULTS, None), HEADER), DEMO),
    "evaluation-result": (
        f"{_URL}/sample-result",
        EvaluationPage(_panel(_RESULTS, _DETAIL), HEADER),
        DEMO,
    ),
    "evaluation-empty": (
        f"{_URL}/sample-empty",
        EvaluationPage(EvaluationPanel(_URL, _SUITES, _FIELDS), HEADER),
        DEMO,
    ),
    "leaderboard": ("/leaderboard", _BOARD, DEMO),
}
