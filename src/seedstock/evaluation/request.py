"""What is asked of an evaluation, as people say it and as it is pinned."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec

from seedstock.core.errors import Invalid
from seedstock.core.names import RepoId, RepoType
from seedstock.evaluation.items import MAX_ITEMS
from seedstock.evaluation.settings import Sampling
from seedstock.run.remote.upstream import remote_id

_PREFIX = "datasets/"


class Request(msgspec.Struct, frozen=True):
    """`suite` is a shipped one, or a dataset as `datasets/ada/questions`, with `@revision` if need be."""

    suite: Annotated[str, msgspec.Meta(min_length=1, max_length=400)]
    revision: Annotated[str, msgspec.Meta(max_length=250)] = "main"
    file: Annotated[str, msgspec.Meta(max_length=250, pattern=r"^[^\x00-\x1f:@]+$")] | None = None
    """A file of the repo or a quantisation, as after the colon of a model's name."""
    limit: Annotated[int, msgspec.Meta(ge=1, le=MAX_ITEMS)] | None = None
    """Items; None: as many as the suite has by default."""
    seed: Annotated[int, msgspec.Meta(ge=0, le=(1 << 31) - 1)] = 0
    """Of the items and of the sampling."""
    sampling: Literal["greedy", "own"] = "greedy"
    """`own` leaves temperature, `top_p` and seed to the model, for those that take no other."""
    max_tokens: Annotated[int, msgspec.Meta(ge=1, le=1 << 17)] | None = None
    """Of an answer; None: as many as the suite says."""
    write_card: bool = False
    priority: str = "normal"

    def sampled(self, max_tokens: int) -> Sampling:
        """How it is asked, where the suite has answers of at most so many tokens."""
        most = self.max_tokens or max_tokens
        return Sampling.own(most) if self.sampling == "own" else Sampling(max_tokens=most, seed=self.seed)


class Closed(msgspec.Struct, frozen=True):
    """What can be known of a model that runs elsewhere: it has no commit."""

    remote_id: int
    remote: str
    kind: str
    """The API that is spoken there."""
    model: str
    """Its name there."""
    revision: int
    """Of the remote's settings."""


class Plan(msgspec.Struct, frozen=True):
    """What would be asked of which model, pinned."""

    repo: str | None
    """None for a model that runs elsewhere, which has no commit and no files either."""
    commit: str | None
    file: str | None
    suite: str
    suite_version: int
    suite_digest: str
    dataset_id: int | None
    dataset_commit: str | None
    sampling: Sampling
    seed: int
    limit: int | None
    """None: all rows of a dataset."""
    closed: Closed | None = None

    @property
    def model(self) -> str:
        """The model as the endpoint names it."""
        if self.closed is not None:
            return remote_id(self.closed.remote, self.closed.model)
        return f"{self.repo}{f':{self.file}' if self.file else ''}@{self.commit}"


def dataset_of(suite: str) -> tuple[RepoId, str] | None:
    """The dataset and revision that a suite names; None for a shipped suite. Raises Invalid."""
    if "/" not in suite:
        return None
    name, _, revision = suite.removeprefix(_PREFIX).partition("@")
    namespace, _, short = name.partition("/")
    if not namespace or not short or "/" in short:
        raise Invalid(f"{suite[:100]!r} is no dataset", hint="a dataset is named as datasets/ada/questions")
    return RepoId(RepoType.DATASET, namespace, short), revision or "main"
