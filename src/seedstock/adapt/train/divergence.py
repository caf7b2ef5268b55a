"""How far a student's next-token probabilities are from its teacher's, on what the student writes."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch

from seedstock.adapt.train.heldout import Evaluating, Measured, batches
from seedstock.adapt.train.questions import Question, said
from seedstock.adapt.train.rollout import Decoding, complete, generator

_MEASURING, _SHOWING = -1, -3
_MOST_LOGITS = 1 << 25  # 128 MiB of float32 for each of the few tensors of this size


class Divergence:
    """Measures held-out prompts, with the same random numbers each time."""

    def __init__(
        self, trainer: Any, teacher: Any, tokenizer: Any, decoding: Decoding, seed: int, rows: int
    ) -> None:
        self._trainer, self._teacher, self._tokenizer = trainer, teacher, tokenizer
        self._decoding, self._seed, self._rows = decoding, seed, rows

    def measure(self, questions: Sequence[Question]) -> Measured:
        """The loss is the reverse KL, KL(student || teacher), per token of the student's own completions."""
        model = self._trainer.model
        written = self._written(questions, _MEASURING)
        sequences = [question.ids + ids for question, ids in zip(questions, written, strict=True)]
        width = max(map(len, sequences)) * model.config.get_text_config(decoder=True).vocab_size
        losses, agreed = [0.0] * len(sequences), 0.0
        size = max(1, min(self._rows, _MOST_LOGITS // width))
        with Evaluating(model):
            for part in batches([len(sequence) for sequence in sequences], size):
                lengths = [len(written[at]) for at in part]
                sums, agreements = self._compared([sequences[at] for at in part], lengths)
                agreed += agreements
                for at, loss in zip(part, sums, strict=True):
                    losses[at] = loss
        weights = [float(len(ids)) for ids in written]
        return Measured(losses, weights, {"agreement": agreed / sum(weights), "tokens": sum(weights)})

    def _compared(self, sequences: list[list[int]], lengths: list[int]) -> tuple[list[float], float]:
        """KL summed over the last `lengths` tokens of each sequence, and how often both would choose alike."""
        width = max(map(len, sequences))
        device = self._trainer.model.device
        pad = self._decoding.pad
        tokens = torch.tensor([row + [pad] * (width - len(row)) for row in sequences], device=device)
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in sequences], device=device)
        of_student, of_teacher = (
            torch.log_softmax(
                model(input_ids=tokens, attention_mask=mask, use_cache=False).logits.float(), dim=-1
            )
            for model in (self._trainer.model, self._teacher)
        )  # (B, T, V)
        kl = (of_student.exp() * (of_student - of_teacher)).sum(dim=-1)  # (B, T)
        alike = of_student.argmax(dim=-1) == of_teacher.argmax(dim=-1)
        sums, agreed = [], 0.0
        for at, (row, length) in enumerate(zip(sequences, lengths, strict=True)):
            predicting = slice(len(row) - length - 1, len(row) - 1)
            sums.append(float(kl[at, predicting].sum()))
            agreed += float(alike[at, predicting].sum())
        return sums, agreed

    def samples(self, questions: Sequence[Question]) -> list[tuple[str, str]]:
        """What the student writes now, for people to read."""
        written = self._written(questions, _SHOWING, self._trainer.state.global_step)
        return [
            (question.text, said(self._tokenizer, question, ids, self._decoding.ends))
            for question, ids in zip(questions, written, strict=True)
        ]

    def _written(self, questions: Sequence[Question], *stream: int) -> list[list[int]]:
        model = self._trainer.model
        random = generator(model.device, self._seed, *stream)
        asked = [question.ids for question in questions]
        return complete(model, asked, self._decoding, random, rows=self._rows)
