"""Answers of a model to prompts, kept where the rewards say so (rejection sampling): a dataset in `data.jsonl`."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import Sample
from seedstock.adapt.rewards.intervals import wilson
from seedstock.adapt.rows.shapes import ALIASES
from seedstock.adapt.stage import Stage
from seedstock.adapt.train.answering import Answer, Answering, Counts, Row
from seedstock.adapt.train.model import Say
from seedstock.adapt.train.questions import Question
from seedstock.adapt.train.rows import CheckedRows
from seedstock.core.errors import Invalid


class Kept(Counts, kw_only=True):
    """What is done, and what was kept of it."""

    answered: int = 0
    """Prompts with a kept answer."""
    passed: int = 0
    """Completions with enough reward, kept or not."""
    kept: int = 0


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Answer every prompt `per_prompt` times, and keep what the rewards let through."""
    return _Sampling(stage, work, say, stopping, msgspec.convert(stage.args, Sample)).run()


class _Sampling(Answering[Kept]):
    """A stage that samples."""

    def __init__(
        self, stage: Stage, work: Path, say: Say, stopping: Callable[[], bool], method: Sample
    ) -> None:
        super().__init__(stage, work, say, stopping, method, method.per_prompt, Kept)
        self._sample = method

    def choose(self, rows: CheckedRows) -> CheckedRows:
        return rows

    def check(self, questions: Sequence[Question], asked: int) -> None:
        pass

    def keep(self, question: Question, answers: Sequence[Answer]) -> list[Row]:
        method, passed = self._sample, list(answers)
        if method.rewards:
            passed = [one for one in answers if one.scored.total >= method.keep_at_least]
        best = passed
        if method.keep_per_prompt:
            best = sorted(passed, key=lambda one: -one.scored.total)[: method.keep_per_prompt]
        self.counts.answered += bool(best)
        self.counts.passed += len(passed)
        self.counts.kept += len(best)
        return [self._row(question, one) for one in best]

    def _row(self, question: Question, answer: Answer) -> Row:
        """A row to train on: `prompt` and `completion`, the prompt's other columns, and what it got."""
        # Conversations would be trained on instead.
        row = {name: value for name, value in question.row.items() if name not in ALIASES["messages"]}
        chat = not isinstance(question.prompt, str)
        row["prompt"] = question.prompt
        row["completion"] = [{"role": "assistant", "content": answer.text}] if chat else answer.text
        row["ended"] = answer.ended
        row["base"] = self.stage.inputs.get("base", "")
        if self._sample.rewards:
            row |= {"reward": answer.scored.total, "rewards": answer.scored.parts}
        return row

    def progress(self) -> tuple[dict[str, float], str]:
        done = self.counts
        figures = {
            "step": float(done.batches),
            "reward": done.reward / done.completions,
            "kept": float(done.kept),
            "tried": float(done.completions),
        }
        return figures, f"{done.kept} of {done.completions} answers kept"

    def finish(self, folder: Path) -> dict[str, Any]:
        done = self.counts
        if not done.kept:
            raise Invalid(
                f"None of {done.completions} answers got a reward of {self._sample.keep_at_least:g} or more; "
                f"their mean is {done.reward / done.completions:.3f}",
                hint="Ask a better model or easier questions, sample more (per_prompt), or lower keep_at_least",
            )
        (folder / "README.md").write_text(_readme(done, self._sample), encoding="utf-8")
        low, high = wilson(done.passed, done.completions)
        figures = {name: getattr(done, name) for name in done.__struct_fields__ if name not in _INTERNAL}
        return figures | {
            "reward": done.reward / done.completions,
            "pass": done.passed / done.completions,
            "pass_low": low,
            "pass_high": high,
        }


_INTERNAL = {"batches", "size_bytes", "reward"}


def _readme(done: Kept, method: Sample) -> str:
    by = ", ".join(reward.fn for reward in method.rewards)
    judged = f" and kept where the rewards ({by}) give {method.keep_at_least:g} or more" if by else ""
    cut = f" {done.unfinished} were cut off at {method.max_new_tokens} tokens (`ended` is false)."
    return (
        f"# Sampled answers\n\n"
        f"{done.kept} answers to {done.answered} of {done.prompts} prompts, sampled from a model "
        f"{method.per_prompt} times for each prompt (temperature {method.temperature:g}, top-p {method.top_p:g})"
        f"{judged}. Of {done.completions} answers {done.passed} passed; their mean reward is "
        f"{done.reward / done.completions:.3f}.{cut if done.unfinished else ''}\n"
    )
