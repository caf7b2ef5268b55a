"""Answers of a model to the items of a dataset, each scored by the rewards: a row for each item in `data.jsonl`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import Eval
from seedstock.adapt.scores import Item, Score, read_means, score_of
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.answering import Answer, Answering, Counts, Row
from seedstock.adapt.train.model import Say
from seedstock.adapt.train.questions import Question
from seedstock.adapt.train.rows import CheckedRows
from seedstock.core.errors import Invalid

_ROUNDING = 1e-9


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Answer each item `samples` times, and score what was answered."""
    return _Evaluation(stage, work, say, stopping, msgspec.convert(stage.args, Eval)).run()


class _Evaluation(Answering[Counts]):
    """A stage that evaluates. An answer's score is the mean of its rewards by their weights."""

    def __init__(
        self, stage: Stage, work: Path, say: Say, stopping: Callable[[], bool], method: Eval
    ) -> None:
        super().__init__(stage, work, say, stopping, method, method.samples, Counts)
        self._eval = method
        self._most = sum(reward.weight for reward in method.rewards)
        if self._most <= 0 or any(reward.weight < 0 for reward in method.rewards):
            raise Invalid(
                "A score is the mean of its rewards by their weights: none may be below 0, and not all 0"
            )

    def choose(self, rows: CheckedRows) -> list[Row]:
        if len(rows) < self._eval.n:
            raise Invalid(
                f"The evaluation is of {self._eval.n} items; its data holds {len(rows)}",
                hint="Lower n, or name another split in rows",
            )
        return list(islice(rows, self._eval.n))

    def check(self, questions: Sequence[Question], asked: int) -> None:
        if len(questions) < asked:
            raise Invalid(
                f"{asked - len(questions)} of {asked} items leave no room for an answer in the model's window",
                hint="Lower max_new_tokens, or evaluate on items that are shorter",
            )

    def keep(self, question: Question, answers: Sequence[Answer]) -> list[Row]:
        scores = [self._score(answer) for answer in answers]
        item = Item(self.counts.prompts - 1, question.prompt, [answer.text for answer in answers], scores)
        return [msgspec.structs.asdict(item)]

    def _score(self, answer: Answer) -> float:
        score = answer.scored.total / self._most
        if not -_ROUNDING <= score <= 1 + _ROUNDING:
            raise Invalid(
                f"An answer's score is {score:g}; scores lie between 0 and 1",
                hint="Have the reward's file return numbers from 0 to 1",
            )
        return min(1.0, max(0.0, score))

    def progress(self) -> tuple[dict[str, float], str]:
        done = self.counts
        mean = done.reward / done.completions / self._most
        message = f"{done.prompts} of {self._eval.n} items, {self._eval.metric} {mean:.3f}"
        return {"step": float(done.prompts), "score": mean}, message

    def finish(self, folder: Path) -> dict[str, Any]:
        done = self.counts
        score = score_of(read_means(self.work / "state"))
        (folder / "README.md").write_text(_readme(self._eval, score, done), encoding="utf-8")
        self.say(Event(log=f"{self._eval.metric}: {score}"))
        return {
            "metric": self._eval.metric,
            "score": score.value,
            "score_low": score.low,
            "score_high": score.high,
            "items": score.items,
            "completions": done.completions,
            "unfinished": done.unfinished,
            "tokens": done.tokens,
            "seconds": done.seconds,
        }


def _readme(method: Eval, score: Score, done: Counts) -> str:
    by = ", ".join(reward.fn for reward in method.rewards)
    cut = f" {done.unfinished} of {done.completions} answers were cut off at {method.max_new_tokens} tokens."
    return (
        f"# {method.metric}\n\n"
        f"{score}: each item answered {method.samples} times (temperature {method.temperature:g}, "
        f"top-p {method.top_p:g}) and scored by {by}.{cut if done.unfinished else ''}\n"
    )
