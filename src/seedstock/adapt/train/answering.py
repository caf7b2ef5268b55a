"""A model's answers to prompts, scored, a batch at a time: what the stages that ask a model share.

What an operation keeps of the answers is in `state/data.jsonl`, and beside it how far it is: an attempt that was stopped or
killed goes on after its last whole batch. A batch has random numbers of its own, so answers do not depend on interruptions.
"""

from __future__ import annotations

import os
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Generic, TypeVar

import msgspec

from seedstock.adapt.methods import Eval, Sample
from seedstock.adapt.output import begin_output, write_durably
from seedstock.adapt.rewards.registry import Rewards, Scored, columns, open_rewards
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
from seedstock.adapt.train.rows import CheckedRows, open_rows

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
    completions: int = 0
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


Row = dict[str, Any]
C = TypeVar("C", bound=Counts)


class Answering(ABC, Generic[C]):
    """A stage whose model, the input `base` with the input `adapter` if there is one, answers each prompt `each` times."""

    def __init__(
        self,
        stage: Stage,
        work: Path,
        say: Say,
        stopping: Callable[[], bool],
        method: Sample | Eval,
        each: int,
        counts: type[C],
    ) -> None:
        self.stage, self.work, self.say = stage, work, say
        self.counts = counts()
        self._stopping, self._method, self._each = stopping, method, each
        self._kept = work / "state" / DATA

    @abstractmethod
    def choose(self, rows: CheckedRows) -> Sequence[Row] | CheckedRows:
        """The rows to ask about. Raises Invalid, before any weights load."""

    @abstractmethod
    def check(self, questions: Sequence[Question], asked: int) -> None:
        """Look at what will be asked of `asked` rows: those that leave no room for an answer are left out."""

    @abstractmethod
    def keep(self, question: Question, answers: Sequence[Answer]) -> list[Row]:
        """The rows that the answers to one prompt give; the counts have them already."""

    @abstractmethod
    def progress(self) -> tuple[dict[str, float], str]:
        """What was measured so far, with `step`, and how to say it."""

    @abstractmethod
    def finish(self, folder: Path) -> dict[str, Any]:
        """Put what describes the rows beside them; the figures of the run."""

    def run(self) -> dict[str, Any]:
        """Ask everything and leave the rows as the stage's output; the figures of the run."""
        make_deterministic(self.stage)
        files = self.work / "inputs" / "rewards"
        method = self._method
        with open_rewards(method.rewards, files if files.is_dir() else None) as rewards:
            self.say(Event(log="Reading the prompts", fraction=0.0))
            found = open_rows(
                self.work, method.rows, self.stage.op, self.say, columns=columns(method.rewards)
            )
            rows = self.choose(found)
            self.say(Event(log="Loading the model", fraction=0.0))
            loaded = _loaded(self.stage, self.work)
            questions = read_questions(
                rows,
                loaded.tokenizer,
                say=self.say,
                stopping=self._stopping,
                most_tokens=most_prompt_tokens(loaded.model.config, _UNBOUNDED, method.max_new_tokens),
            )
            self.check(questions, len(rows))
            self._ask(questions, loaded, rewards)
        folder = begin_output(self.work)
        figures = self.finish(folder)
        (folder / DATA).write_bytes(self._kept.read_bytes())
        return figures | {"versions": versions()}

    def _ask(self, questions: Sequence[Question], loaded: Loaded, rewards: Rewards) -> None:
        self._go_on()
        decoding = Decoding(
            max_new_tokens=self._method.max_new_tokens,
            temperature=self._method.temperature,
            top_p=self._method.top_p,
            ends=tuple(ends_of(loaded)),
            pad=loaded.tokenizer.pad_token_id,
        )
        per_batch = max(1, self._method.batch_size // self._each)
        batches = -(-len(questions) // per_batch)
        spent, before = Spent(), self.counts.seconds
        for number in range(self.counts.batches, batches):
            part = questions[number * per_batch : (number + 1) * per_batch]
            self._batch(number, batches, part, loaded, decoding, rewards)
            self.counts.seconds = before + spent.seconds
            write_durably(self.work / "state" / _COUNTS, msgspec.json.encode(self.counts))
            if self._stopping() and number + 1 < batches:
                raise Stopped

    def _go_on(self) -> None:
        """From where the last attempt was."""
        path = self.work / "state" / _COUNTS
        if not path.is_file():
            self._kept.parent.mkdir(parents=True, exist_ok=True)
            self._kept.write_bytes(b"")
            return
        self.counts = msgspec.json.decode(path.read_bytes(), type=type(self.counts))
        os.truncate(self._kept, self.counts.size_bytes)
        self.say(Event(log=f"Going on after {self.counts.prompts} prompts: {self.progress()[1]}"))

    def _batch(
        self,
        number: int,
        batches: int,
        questions: Sequence[Question],
        loaded: Loaded,
        decoding: Decoding,
        rewards: Rewards,
    ) -> None:
        began = time.perf_counter()
        each = self._each
        random = generator(loaded.model.device, self.stage.seed, number)
        asked = [question.ids for question in questions for _ in range(each)]
        rows = max(self._method.batch_size, each)
        written = complete(loaded.model, asked, decoding, random, rows=rows)
        texts = [
            said(loaded.tokenizer, questions[at // each], ids, decoding.ends)
            for at, ids in enumerate(written)
        ]
        ended = [bool(ids) and ids[-1] in decoding.ends for ids in written]
        with self._kept.open("ab") as file:
            for at, question in enumerate(questions):
                answers = [
                    Answer(texts[one], ended[one], rewards.score(question.text, texts[one], question.row))
                    for one in range(at * each, (at + 1) * each)
                ]
                self._count(answers)
                file.writelines(msgspec.json.encode(row) + b"\n" for row in self.keep(question, answers))
            file.flush()
            os.fsync(file.fileno())
            self.counts.size_bytes = file.tell()
        self.counts.batches = number + 1
        tokens = sum(map(len, written))
        self.counts.tokens += tokens
        figures, message = self.progress()
        figures |= {"tokens_per_s": tokens / (time.perf_counter() - began)}
        self.say(Event(metrics=figures, fraction=self.counts.batches / batches, message=message))
        if number % max(1, batches // _SHOWN) == 0:
            self.say(Event(sample={"step": number, "prompt": questions[0].text, "text": texts[0]}))

    def _count(self, answers: Sequence[Answer]) -> None:
        self.counts.prompts += 1
        self.counts.completions += len(answers)
        self.counts.unfinished += sum(not one.ended for one in answers)
        self.counts.reward += sum(one.scored.total for one in answers)


def _loaded(stage: Stage, work: Path) -> Loaded:
    where = inspect_folder(work / "inputs" / "base")
    check_folder(where, stage.memory_bytes)
    tokenizer = load_tokenizer(where.path)
    model = load_model(where, dtype=arithmetic("auto", stage.device), device=stage.device)
    adapter = work / "inputs" / "adapter"
    if adapter.is_dir():
        model = with_adapter(model, adapter, trainable=False)
    return Loaded(model, tokenizer, where.path, where.stored_dtype)
