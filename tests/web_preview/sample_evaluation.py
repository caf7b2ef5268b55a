"""Samples of what models scored: a model's panel, a result with its answers, and the leaderboard."""

from __future__ import annotations

from datetime import timedelta

from seedstock.evaluation.catalogue import SUITES
from seedstock.web.pages.evaluation import band_of
from seedstock.web.views.common import Choice, Fact, Pagination
from seedstock.web.views.evaluation import (
    AnswerView,
    DetailView,
    EvaluationPage,
    LeaderboardPage,
    LineView,
    ResultView,
    SuiteView,
)
from tests.web_preview.sample_repos import DEMO, HEADER, MODEL_URL, NOW

_SUITES = tuple(SuiteView(one.name, one.title, one.about, one.default_items) for one in SUITES.values())
_FIELDS = dict.fromkeys("suite dataset file limit seed write_card".split(), "")
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


def _line(place: int, model: str, score: float, level: bool, difference: str) -> LineView:
    band = band_of(model, score, max(0.0, score - 0.06), min(1.0, score + 0.06))
    at = NOW - timedelta(days=place)
    return LineView(place, model, "#", "#", _COMMIT, band, level, difference, at)


_BOARD = LeaderboardPage(
    (
        Choice("Arithmetic reasoning", "#", True),
        Choice("Instruction following", "#"),
        Choice("demo/questions", "#"),
    ),
    "Arithmetic reasoning",
    SUITES["arithmetic"].about,
    (
        Choice("200 questions, seed 0, 384 tokens", "#", True, 4),
        Choice("60 questions, seed 7, 384 tokens", "#", False, 1),
    ),
    (Fact("Models", "4"), Fact("Questions", "200"), Fact("Level with the best", "2")),
    (
        _line(1, "demo/poet-7B", 0.62, True, ""),
        _line(2, "lab/a-model-with-quite-a-long-name-Instruct:Q4_K_M", 0.605, True, "-1.5 (-5.0 to +2.0)"),
        _line(3, "demo/SmolLM2-135M-Instruct", 0.235, False, "-38.5 (-45.5 to -31.5)"),
        _line(4, "demo/base", 0.0, False, "-62.0 (-68.5 to -55.0)"),
    ),
    "/api/leaderboard?suite=arithmetic",
)

EVALUATION_SAMPLES = {
    "evaluation": (_URL, EvaluationPage(HEADER, _SUITES, _FIELDS, _RESULTS, None, True, True), DEMO),
    "evaluation-result": (
        f"{_URL}/sample-result",
        EvaluationPage(HEADER, _SUITES, _FIELDS, _RESULTS, _DETAIL, True, True),
        DEMO,
    ),
    "evaluation-empty": (f"{_URL}/sample-empty", EvaluationPage(HEADER, _SUITES, _FIELDS), DEMO),
    "leaderboard": ("/leaderboard", _BOARD, DEMO),
}
