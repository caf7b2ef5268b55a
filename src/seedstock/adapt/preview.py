"""What a dataset becomes for a base model, before anything starts: samples as they are trained on, lengths, warnings."""

from __future__ import annotations

from array import array
from collections.abc import Iterable
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec
import numpy as np
import xxhash

from seedstock.adapt.chat_template import ChatTemplate, read_chat_template, shared_length
from seedstock.adapt.dataset import Dataset, Shape, row_digest
from seedstock.adapt.tokens import TokenCounter
from seedstock.core.errors import HubError, Invalid

MAX_ROWS = 200_000
"""Rows read; of more it is only said that there are more."""
MAX_COUNTED = 2_000
"""Rows tokenised, evenly spread over those read."""
MAX_SHOWN = 4_000
"""Characters of a sample that are shown."""
_BINS = 20
_MOSTLY = 0.5
_FEW_ROWS = 100


class Segment(msgspec.Struct, frozen=True):
    """A stretch of a sample; `trained` if it carries loss."""

    text: str
    trained: bool


class Sample(msgspec.Struct, frozen=True, kw_only=True):
    """A row as the model sees it."""

    row: int
    """Counted from 1."""
    segments: tuple[Segment, ...]
    rejected: tuple[Segment, ...] = ()
    """The other answer, for preferences."""
    tokens: int
    cut: bool = False
    """Longer than `max_length`."""


class Bin(msgspec.Struct, frozen=True):
    """Rows of [start, stop) tokens among those counted."""

    start: int
    stop: int
    rows: int


class Preview(msgspec.Struct, frozen=True, kw_only=True):
    """For the form and the command line."""

    shape: str
    mapping: str
    """Which columns were taken for what."""
    files: tuple[str, ...]
    rows: int
    """Read; `more` if the dataset goes on."""
    more: bool
    duplicates: int
    samples: tuple[Sample, ...]
    counted: int
    """Rows whose tokens were counted."""
    exact: bool
    """False: the base has no tokenizer.json, and four characters are taken for a token."""
    histogram: tuple[Bin, ...]
    mean_tokens: float
    median_tokens: int
    longest_tokens: int
    cut_share: float
    """Of the rows, those longer than `max_length`."""
    total_tokens: int
    """Of all rows read, cut at `max_length`: from the mean of those counted."""
    warnings: tuple[str, ...]


def preview(
    dataset: Dataset,
    base: Path,
    *,
    method: str,
    max_length: int = 512,
    assistant_only: bool = True,
    samples: int = 3,
) -> Preview:
    """Format and count rows for a base model's folder. Raises Invalid for what the training would refuse."""
    dataset.check_shape(method)
    counter = TokenCounter(base)
    writer = _Writer(
        read_chat_template(base, counter.knows, counter.special), dataset.shape, assistant_only, counter
    )
    shown: list[Sample] = []
    lengths = _Spread()
    digests = array("Q")
    rows = 0
    for rows, (place, row) in enumerate(islice(dataset.placed(), MAX_ROWS), 1):
        digests.append(row_digest(row, dataset.shape))
        if rows > samples and not lengths.wants(rows):
            continue
        try:
            sample = writer.sample(rows, row, max_length)
        except HubError as error:
            raise Invalid(f"{place}: {error.message}", hint=error.hint) from error
        if rows <= samples:
            shown.append(sample)
        lengths.add(rows, sample.tokens)
    if not rows:
        raise Invalid("There are no rows", hint="A dataset needs at least one row")
    duplicates = rows - len(np.unique(np.frombuffer(digests, dtype=np.uint64)))
    return _summary(dataset, writer, rows, duplicates, tuple(shown), lengths.values(), max_length)


class _Spread:
    """Chooses at most MAX_COUNTED rows, not knowing how many come: when it is full, half of them are let go.

    By a hash of the row's number, not every so many rows: data often has a period of its own.
    """

    def __init__(self) -> None:
        self._step = 1
        self._kept: list[tuple[int, int]] = []

    def wants(self, row: int) -> bool:
        return xxhash.xxh3_64_intdigest(row.to_bytes(8, "little")) % self._step == 0

    def add(self, row: int, tokens: int) -> None:
        if not self.wants(row):
            return
        self._kept.append((row, tokens))
        if len(self._kept) > MAX_COUNTED:
            self._step *= 2
            self._kept = [one for one in self._kept if self.wants(one[0])]

    def values(self) -> list[int]:
        return [tokens for _, tokens in self._kept]


class _Writer:
    """Rows as text for the base, as the trainer writes them."""

    def __init__(
        self, template: ChatTemplate, shape: Shape, assistant_only: bool, counter: TokenCounter
    ) -> None:
        self.template, self.shape, self.counter = template, shape, counter
        self._assistant_only = assistant_only
        self.templated = self.unclear = self.unended = False

    def sample(self, number: int, row: dict[str, Any], max_length: int) -> Sample:
        """A row's segments and tokens; what is shown is shortened, what is counted is not."""
        answers = ("chosen", "rejected") if self.shape is Shape.PREFERENCE else ("completion",)
        written = [self._write(row, answer) for answer in answers]
        tokens = max(self._count(segments) for segments in written)
        shown = [_shorten(segments) for segments in written]
        return Sample(
            row=number,
            segments=shown[0],
            rejected=shown[1] if len(shown) > 1 else (),
            tokens=tokens,
            cut=tokens > max_length,
        )

    def _write(self, row: dict[str, Any], answer: str) -> tuple[Segment, ...]:
        if self.shape is Shape.TEXT:
            return (Segment(row["text"], True),)
        if self.shape is Shape.MESSAGES:
            return self._conversation(row["messages"])
        prompt = row["prompt"]
        if isinstance(prompt, str):
            first = Segment(prompt, not self._assistant_only and self.shape is Shape.PROMPT_COMPLETION)
            return (first,) if self.shape is Shape.PROMPT else (first, Segment(row[answer], True))
        self.templated = True
        before = self.template.write(prompt, ask=True)
        if self.shape is Shape.PROMPT:
            return (Segment(before, False),)
        return self._after(before, self.template.write([*prompt, *row[answer]]))

    def _after(self, before: str, text: str) -> tuple[Segment, ...]:
        start = shared_length(before, text)
        stop = max(start, len(text.rstrip()))
        self._look_for_end(text[start:stop])
        return _segments(text, [(start if self._assistant_only else 0, stop)])

    def _conversation(self, messages: list[dict[str, Any]]) -> tuple[Segment, ...]:
        self.templated = True
        rendered = self.template.render(messages)
        self.unclear |= rendered.spans is None and self._assistant_only
        spans = rendered.spans or ()
        if spans:
            self._look_for_end(rendered.text[slice(*spans[-1])])
        return _segments(rendered.text, spans if self._assistant_only else [(0, len(rendered.text))])

    def _look_for_end(self, said: str) -> None:
        self.unended |= bool(self.counter.special) and not any(
            token in said for token in self.counter.special
        )

    def _count(self, segments: Iterable[Segment]) -> int:
        text = "".join(segment.text for segment in segments)
        # Templates write the beginning themselves; after plain text the trainer puts one end of text.
        if self.templated:
            return self.counter.count(text, add_special=False)
        return self.counter.count(text, add_special=True) + (self.shape is not Shape.PROMPT)


def _segments(text: str, spans: Iterable[tuple[int, int]]) -> tuple[Segment, ...]:
    found, at = [], 0
    for start, stop in spans:
        found += [Segment(text[at:start], False), Segment(text[start:stop], True)]
        at = stop
    found.append(Segment(text[at:], False))
    return tuple(segment for segment in found if segment.text)


def _shorten(segments: tuple[Segment, ...]) -> tuple[Segment, ...]:
    room, shown = MAX_SHOWN, []
    for segment in segments:
        text = segment.text if len(segment.text) <= room else segment.text[:room] + " ..."
        shown.append(Segment(text, segment.trained))
        room -= len(segment.text)
        if room <= 0:
            break
    return tuple(shown)


def _summary(
    dataset: Dataset,
    writer: _Writer,
    rows: int,
    duplicates: int,
    samples: tuple[Sample, ...],
    lengths: list[int],
    max_length: int,
) -> Preview:
    cut = sum(length > max_length for length in lengths) / len(lengths)
    mean = sum(min(length, max_length) for length in lengths) / len(lengths)
    return Preview(
        shape=dataset.shape.value,
        mapping=str(dataset.mapped),
        files=dataset.files,
        rows=rows,
        more=rows == MAX_ROWS,
        duplicates=duplicates,
        samples=samples,
        counted=len(lengths),
        exact=writer.counter.exact,
        histogram=histogram(lengths),
        mean_tokens=sum(lengths) / len(lengths),
        median_tokens=int(np.median(lengths)),
        longest_tokens=max(lengths),
        cut_share=cut,
        total_tokens=round(mean * rows),
        warnings=tuple(_warnings(writer, rows, duplicates, cut, max_length)),
    )


def histogram(lengths: list[int]) -> tuple[Bin, ...]:
    """Bins of equal width, a round number of tokens each, from 0 to the longest."""
    width = max(1, -(-(max(lengths) + 1) // _BINS))
    counts = np.bincount(np.asarray(lengths) // width)
    return tuple(Bin(at * width, (at + 1) * width, int(count)) for at, count in enumerate(counts))


def _warnings(writer: _Writer, rows: int, duplicates: int, cut: float, max_length: int) -> Iterable[str]:
    if rows < _FEW_ROWS:
        yield f"Only {rows} {'row' if rows == 1 else 'rows'}: a model learns so few by heart"
    if duplicates:
        yield f"{duplicates} of {rows} rows equal an earlier one"
    if cut > _MOSTLY:
        yield f"{cut:.0%} of the rows are longer than {max_length} tokens, and most of them would be cut"
    elif cut:
        yield f"{cut:.1%} of the rows are longer than {max_length} tokens and would be cut"
    if not writer.counter.exact:
        yield "The base has no tokenizer.json: lengths are guessed at four characters a token"
    if writer.templated and not writer.template.own:
        yield "The base has no chat template: a plain one is used, and saved with the result"
    if not writer.templated and writer.template.own and writer.shape is not Shape.TEXT:
        yield "The base has a chat template, but the rows are plain text: it is trained outside of conversations"
    if writer.unclear:
        yield "The chat template writes turns differently inside a conversation: it cannot be told what carries loss"
    if writer.unended:
        yield "The assistant's turns end with no special token: the model would not learn to stop"
