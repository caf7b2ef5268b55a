"""What an evaluation would take, said before anything is asked: of a model elsewhere each token may cost money."""

from __future__ import annotations

import msgspec

from seedstock.evaluation.catalogue import Suite, get_suite
from seedstock.evaluation.items import MAX_ITEMS
from seedstock.evaluation.request import Plan
from seedstock.evaluation.row_count import Count

_BYTES_OF_A_TOKEN = 4


class Estimate(msgspec.Struct, frozen=True):
    """Bounds, but for what failed and is sent again."""

    requests: int
    """At most: one for each question, and a greeting that shows whether the model answers."""
    prompt_tokens: int | None
    """About, from the length of the text; None of a dataset whose rows were not counted."""
    answer_tokens: int
    """At most: every answer as long as it may be."""


def estimate(plan: Plan, rows: Count | None = None) -> Estimate:
    """What a plan would take, with the count of its dataset's rows if that is known. Raises NotFound (the suite)."""
    questions, most = plan.limit or MAX_ITEMS, plan.sampling.max_tokens
    if plan.dataset_id is not None:
        asked = rows.questions if rows else questions
        read = rows.size_bytes // _BYTES_OF_A_TOKEN if rows else None
        return Estimate(asked + 1, read, (asked + 1) * most)
    return of_suite(get_suite(plan.suite), plan.seed, questions, most)


def of_suite(suite: Suite, seed: int, questions: int, max_tokens: int) -> Estimate:
    """What so many questions of a shipped suite would take."""
    size_bytes = sum(len(item.prompt.encode()) for item in suite.generate(seed, questions))
    return Estimate(questions + 1, size_bytes // _BYTES_OF_A_TOKEN, (questions + 1) * max_tokens)


def in_words(found: Estimate) -> str:
    """A line for people."""
    read = "those of the rows" if found.prompt_tokens is None else f"about {found.prompt_tokens:,} tokens"
    return f"at most {found.requests:,} requests, {read} to read and at most {found.answer_tokens:,} to write"
