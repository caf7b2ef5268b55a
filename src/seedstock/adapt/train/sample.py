"""Answers of a model to prompts, kept where the rewards say so (rejection sampling): a dataset in `data.jsonl`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import Sample
from seedstock.adapt.output import begin_output, write_durably
from seedstock.adapt.rewards.intervals import wilson
from seedstock.adapt.rewards.registry import Rewards, Scored, columns, open_rewards
from seedstock.adapt.rows.shapes import ALIASES
from seedstock.adapt.stage import Event, Stage, Stopped
from seedstock.adapt.train.facts import Spent, versions
from seedstock.adapt.train.folder import check_folder, inspect_folder
from seedstock.adapt.train.model import (
    Loaded,
    Say,
    arithmetic,
    load_model,
    load_tokenizer,
    make_deterministic,
    with_adapter,
)
from seedstock.adapt.train.questions import (
    Question,
    ends_of,
    most_prompt_tokens,
    read_questions,
    said,
)
from seedstock.adapt.train.rollout import Decoding, complete, generator
from seedstock.adapt.train.rows import open_rows
from seedstock.core.errors import Invalid

DATA = "data.jsonl"
_COUNTS = "counts.json"
_UNBOUNDED = 1 << 30
_SHOWN = 4


class Counts(msgspec.Struct, kw_only=True):
    """What is done, over all attempts."""

    batches: int = 0
    size_bytes: int = 0
    """Of the kept rows' file: what is after it was not finished."""
    prompts: int = 0
    answered: int = 0
    """Prompts with a kept answer."""
    completions: int = 0
    passed: int = 0
    """Completions with enough reward, kept or not."""
    kept: int = 0
    unfinished: int = 0
    """Completions that were cut off at `max_new_tokens`."""
    tokens: int = 0
    reward: float = 0.0
    """Sum over all completions."""
    seconds: float = 0.0


class Answer(msgspec.Struct, frozen=True):
    """One completion."""

    text: str
    ended: bool
    scored: Scored


def run(stage: Stage, work: Path, say: Say, stopping: Callable[[], bool]) -> dict[str, Any]:
    """Answer every prompt `per_prompt` times, and keep what the rewards let through."""
    method = msgspec.convert(stage.args, Sample)
    make_deterministic(stage)
    files = work / "inputs" / "rewards"
    with open_rewards(method.rewards, files if files.is_dir() else None) as rewards:
        say(Event(log="Reading the prompts", fraction=0.0))
        rows = open_rows(work, method.rows, "sample", say, columns=columns(method.rewards))
        say(Event(log="Loading the model", fraction=0.0))
        loaded = _loaded(stage, work)
        questions = read_questions(
            rows,
            loaded.tokenizer,
            say=say,
            stopping=stopping,
            most_tokens=most_prompt_tokens(loaded.model.config, _UNBOUNDED, method.max_new_tokens),
        )
        return _Sampling(stage, work, say, stopping, method, rewards, loaded).run(questions)


def _loaded(stage: Stage, work: Path) -> Loaded:
    where = inspect_folder(work / "inputs" / "base")
    check_folder(where, stage.memory_bytes)
    tokenizer = load_tokenizer(where.path)
    model = load_model(where, dtype=arithmetic("auto", stage.device), device=stage.device)
    adapter = work / "inputs" / "adapter"
    if adapter.is_dir():
        model = with_adapter(model, adapter, trainable=False)
    return Loaded(model, tokenizer, where.path, where.stored_dtype)


class _Sampling:
    """A stage that samples, with all that it needs in memory."""

    def __init__(
        self,
        stage: Stage,
        work: Path,
        say: Say,
        stopping: Callable[[], bool],
        method: Sample,
        rewards: Rewards,
        loaded: Loaded,
    ) -> None:
        self._stage, self._work, self._say, self._stopping = stage, work, say, stopping
        self._method, self._rewards, self._loaded = method, rewards, loaded
        self._decoding = Decoding(
            max_new_tokens=method.max_new_tokens,
            temperature=method.temperature,
            top_p=method.top_p,
            ends=tuple(ends_of(loaded)),
            pad=loaded.tokenizer.pad_token_id,
        )
        self._kept = work / "state" / DATA
        self._counts = self._so_far()

    def run(self, questions: Sequence[Question]) -> dict[str, Any]:
        per_batch = max(1, self._method.batch_size // self._method.per_prompt)
        batches = -(-len(questions) // per_batch)
        spent, before = Spent(), self._counts.seconds
        for number in range(self._counts.batches, batches):
            self._batch(number, questions[number * per_batch : (number + 1) * per_batch], batches)
            self._counts.seconds = before + spent.seconds
            write_durably(self._work / "state" / _COUNTS, msgspec.json.encode(self._counts))
            if self._stopping() and number + 1 < batches:
                raise Stopped
        return self._finished()

    def _so_far(self) -> Counts:
        path = self._work / "state" / _COUNTS
        if not path.is_file():
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            self._kept.write_bytes(b"")
            return Counts()
        counts = msgspec.json.decode(path.read_bytes(), type=Counts)
        os.truncate(self._kept, counts.size_bytes)
        self._say(Event(log=f"Going on after {counts.prompts} prompts, with {counts.kept} answers kept"))
        return counts

    def _batch(self, number: int, questions: Sequence[Question], batches: int) -> None:
        """The same answers in every attempt: a batch has random numbers of its own."""
        began = time.perf_counter()
        model, each = self._loaded.model, self._method.per_prompt
        random = generator(model.device, self._stage.seed, number)
        asked = [question.ids for question in questions for _ in range(each)]
        rows = max(self._method.batch_size, each)
        written = complete(model, asked, self._decoding, random, rows=rows)
        lines: list[bytes] = []
        for at, question in enumerate(questions):
            lines += self._judged(question, written[at * each : (at + 1) * each])
        with self._kept.open("ab") as file:
            file.writelines(lines)
            file.flush()
            os.fsync(file.fileno())
            self._counts.size_bytes = file.tell()
        self._counts.batches = number + 1
        tokens = sum(map(len, written))
        self._counts.tokens += tokens
        self._report(batches, tokens / (time.perf_counter() - began))
        if number % max(1, batches // _SHOWN) == 0:
            text = said(self._loaded.tokenizer, questions[0], written[0], self._decoding.ends)
            self._say(Event(sample={"step": number, "prompt": questions[0].text, "text": text}))

    def _report(self, batches: int, tokens_per_s: float) -> None:
        done = self._counts
        figures = {
            "step": float(done.batches),
            "reward": done.reward / done.completions,
            "kept": float(done.kept),
            "tried": float(done.completions),
            "tokens_per_s": tokens_per_s,
        }
        message = f"{done.kept} of {done.completions} answers kept"
        self._say(Event(metrics=figures, fraction=done.batches / batches, message=message))

    def _judged(self, question: Question, written: Sequence[list[int]]) -> list[bytes]:
        answers = []
        for ids in written:
            text = said(self._loaded.tokenizer, question, ids, self._decoding.ends)
            ended = bool(ids) and ids[-1] in self._decoding.ends
            answers.append(Answer(text, ended, self._rewards.score(question.text, text, question.row)))
        passed = answers
        if self._method.rewards:
            passed = [one for one in answers if one.scored.total >= self._method.keep_at_least]
        best = passed
        if self._method.keep_per_prompt:
            best = sorted(passed, key=lambda one: -one.scored.total)[: self._method.keep_per_prompt]
        count = self._counts
        count.prompts += 1
        count.answered += bool(best)
        count.completions += len(answers)
        count.passed += len(passed)
        count.kept += len(best)
        count.unfinished += sum(not one.ended for one in answers)
        count.reward += sum(one.scored.total for one in answers)
        return [msgspec.json.encode(self._row(question, one)) + b"\n" for one in best]

    def _row(self, question: Question, answer: Answer) -> dict[str, Any]:
        """A row to train on: `prompt` and `completion`, the prompt's other columns, and what it got."""
        # Conversations would be trained on instead.
        row = {name: value for name, value in question.row.items() if name not in ALIASES["messages"]}
        chat = not isinstance(question.prompt, str)
        row["prompt"] = question.prompt
        row["completion"] = [{"role": "assistant", "content": answer.text}] if chat else answer.text
        row["ended"] = answer.ended
        row["base"] = self._stage.inputs.get("base", "")
        if self._method.rewards:
            row |= {"reward": answer.scored.total, "rewards": answer.scored.parts}
        return row

    def _finished(self) -> dict[str, Any]:
        done = self._counts
        if not done.kept:
            raise Invalid(
                f"None of {done.completions} answers got a reward of {self._method.keep_at_least:g} or more; "
                f"their mean is {done.reward / done.completions:.3f}",
                hint="Ask a better model or easier questions, sample more (per_prompt), or lower keep_at_least",
            )
        folder = begin_output(self._work)
        (folder / DATA).write_bytes(self._kept.read_bytes())
        (folder / "README.md").write_text(_readme(done, self._method), encoding="utf-8")
        low, high = wilson(done.passed, done.completions)
        figures = {name: getattr(done, name) for name in done.__struct_fields__ if name not in _INTERNAL}
        return figures | {
            "reward": done.reward / done.completions,
            "pass": done.passed / done.completions,
            "pass_low": low,
            "pass_high": high,
            "versions": versions(),
        }


_INTERNAL = {"batches", "size_bytes", "reward"}


def _readme(done: Counts, method: Sample) -> str:
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
