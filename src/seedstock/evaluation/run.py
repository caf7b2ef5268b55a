"""One evaluation: a short-lived token, a model that is loaded, the questions that are left, and the samples in order."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import msgspec

from seedstock.accounts.service import Accounts
from seedstock.core.clock import now_ms
from seedstock.core.errors import Invalid
from seedstock.core.viewer import TokenRole, Viewer
from seedstock.evaluation import process
from seedstock.evaluation.endpoint import PATIENCE_S, wait_until_ready
from seedstock.evaluation.items import Item, SampleLine, items_digest
from seedstock.evaluation.request import Plan
from seedstock.evaluation.settings import Order, Sampling
from seedstock.jobs.kinds import JobContext
from seedstock.run.remote.upstream import ApiKind

TIMEOUT_S = 24 * 3600.0
"""Of an evaluation, and so of its token."""
_CONNECTIONS = 4
_REMOTE_PATIENCE_S = 120.0
"""Nothing is made ready there; a key that is refused is refused in an hour too."""
_SHOWN_SAMPLES = 20
_POINTS = 100


class Endpoint(msgspec.Struct, frozen=True):
    """Whom to ask, and how."""

    url: str
    model: str
    sampling: Sampling
    greeting: Sampling
    """How it is asked whether it answers."""
    patience_s: float
    edition: str = ""
    """Answers of another edition are not mixed with these."""
    hint: str | None = None
    """What to do where the greeting is refused."""


def endpoint_of(url: str, plan: Plan) -> Endpoint:
    """The endpoint for a plan: one token shows that a model is loaded; one elsewhere is greeted as it will be asked."""
    asked, closed = plan.sampling, plan.closed
    if closed is None:
        greeting = msgspec.structs.replace(asked, max_tokens=1)
        return Endpoint(url, plan.model, asked, greeting, PATIENCE_S)
    if closed.kind == ApiKind.ANTHROPIC:
        asked = asked.without_effect()
    hint = "a model that takes no temperature is asked with `--sampling own`"
    return Endpoint(
        url,
        plan.model,
        asked,
        asked,
        _REMOTE_PATIENCE_S,
        f"-{closed.revision}",
        hint if asked.temperature is not None else None,
    )


class Found(msgspec.Struct, frozen=True):
    """All samples, in the order of the items."""

    samples: list[SampleLine]
    library: str
    duration_s: float
    """Of asking, over all attempts."""


class EvaluationRun:
    """The work of one job."""

    def __init__(
        self,
        context: JobContext,
        accounts: Accounts,
        viewer: Viewer,
        endpoint: Endpoint,
        items: Sequence[Item],
    ) -> None:
        self._context = context
        self._accounts = accounts
        self._viewer = viewer
        self._endpoint = endpoint
        self._items = items
        self._samples: dict[str, SampleLine] = {}

    def run(self) -> Found | None:
        """Ask until every item has its sample; None when it was told to stop. Raises EvaluationDied, Invalid."""
        folder = self._folder()
        kept = folder / "samples.jsonl"
        self._samples = process.read_samples(kept)
        left = [item for item in self._items if item.id not in self._samples]
        spent, library = _Spent(folder / "spent.json"), folder / "library"
        if left:
            self._context.log(
                f"asking {self._endpoint.model} {len(left)} of {len(self._items)} questions of this suite"
            )
            started_s = time.monotonic()
            try:
                name = self._ask(left, kept)
            finally:
                spent.add(time.monotonic() - started_s)
            if name is None:
                return None
            library.write_text(name)
        if len(self._samples) < len(self._items):
            raise process.EvaluationDied("The library left questions out")
        samples = [self._samples[item.id] for item in self._items]
        if all(sample.stop_reason == "refused" for sample in samples):
            raise Invalid(
                "The endpoint refused every question", hint="the model may have too short a context"
            )
        return Found(samples, library.read_text(), spent.total_s)

    def _folder(self) -> Path:
        """Where samples are kept: of other items, as of a changed suite, or of another edition they begin anew."""
        folder = self._context.state_dir / f"{items_digest(self._items)[:16]}{self._endpoint.edition}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder

    def _ask(self, left: Sequence[Item], kept: Path) -> str | None:
        stopping = self._context.cancelled
        self._context.progress(self._done, "loading the model")
        with self._token() as token, tempfile.TemporaryDirectory() as scratch:
            where = self._endpoint
            order = Order(where.url, token, where.model, where.sampling, _CONNECTIONS, scratch)
            greeting = msgspec.structs.replace(order, sampling=where.greeting)
            try:
                if not wait_until_ready(greeting, stopping, where.patience_s):
                    return None
            except Invalid as error:
                raise Invalid(error.message, hint=where.hint) from None
            return process.run(order, left, kept, self._hear, stopping)

    @property
    def _done(self) -> float:
        return len(self._samples) / len(self._items)

    def _hear(self, sample: SampleLine) -> None:
        self._samples[sample.id] = sample
        count, all_of_them = len(self._samples), len(self._items)
        self._context.progress(self._done, f"{count} of {all_of_them} questions")
        if count % max(1, all_of_them // _POINTS) == 0 or count == all_of_them:
            share = sum(one.score for one in self._samples.values()) / count
            self._context.event("metrics", {"step": count, "accuracy": share})
        if count <= _SHOWN_SAMPLES:
            self._context.event("sample", {"step": count, "prompt": sample.prompt, "text": sample.answer})

    @contextmanager
    def _token(self) -> Iterator[str]:
        """A read token of the asker's, gone with the block; one that a killed attempt left is removed first."""
        name = f"evaluation, job {self._context.job_id}"
        self._revoke(name)
        token = self._accounts.create_token(
            self._viewer.name, role=TokenRole.READ, name=name, expires_at=now_ms() + int(TIMEOUT_S * 1000)
        )
        try:
            yield token
        finally:
            self._revoke(name)

    def _revoke(self, name: str) -> None:
        assert self._viewer.account_id is not None
        for row in self._accounts.tokens(self._viewer.account_id):
            if row.name == name:
                self._accounts.revoke_token(self._viewer, row.id)


class _Spent:
    """Seconds over all attempts, in a file."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.total_s = float(msgspec.json.decode(path.read_bytes())) if path.exists() else 0.0

    def add(self, seconds: float) -> None:
        """Count some more."""
        self.total_s += seconds
        self._path.write_bytes(msgspec.json.encode(self.total_s))
