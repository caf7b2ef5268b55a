"""The work of a conversion's job: a file made from pinned weights, and one commit with all that says how it was made.

A repo comes into being with its file, card, recipe and record, or not at all.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import msgspec

from seedstock.adapt.output import write_durably
from seedstock.adapt.platform_facts import platform_facts
from seedstock.content.service import Content
from seedstock.core.errors import Invalid, RefMoved, Unavailable
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.conversion_source import Source
from seedstock.hub.derived import Committer, DerivedRepos, Place, target_id_of
from seedstock.hub.operations import PutLarge
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import repo_id_of
from seedstock.hub.writing import Writing
from seedstock.jobs.kinds import JobContext
from seedstock.store.staging import StagedFile

if TYPE_CHECKING:
    from seedstock.convert.card import Origin

_SPARE_BYTES = 64 << 20
_TRIES = 5
_CARD = "README.md"


class Ran(msgspec.Struct, frozen=True):
    """The run that made the file whole first; another attempt makes the same and says the same."""

    started_ms: int
    ended_ms: int
    cpu_s: float
    environment: dict[str, str]


class Converted(msgspec.Struct, frozen=True, kw_only=True):
    """A file that was made and is about to be published."""

    job_id: int
    target: str
    origin: Origin
    name: str
    wanted: str
    """Which weight file was asked for."""
    to: str
    path: str
    file: Path
    """Its bytes, for now."""
    size_bytes: int
    sha256: str
    tensors: int
    notes: tuple[str, ...]
    ran: Ran


Read = Callable[[str], bytes | None]
"""A small file of the repo to publish in, as it stands; None: there is no such file."""


class Provenance(Protocol):
    """Writes what repeats and what proves a conversion: recipes lie above this folder."""

    def check(self, read: Read) -> None:
        """Raise Invalid unless what the repo says of its files can be added to."""

    def of(self, made: Converted) -> Callable[[Read], dict[str, bytes]]:
        """Look at the file; what is returned writes the texts to publish beside it in a repo as it stands."""


class Converting:
    """Makes and publishes."""

    def __init__(
        self,
        derived: DerivedRepos,
        reading: Reading,
        writing: Writing,
        content: Content,
        provenance: Provenance,
    ) -> None:
        self._derived = derived
        self._reading = reading
        self._content = content
        self._committer = Committer(writing, content)
        self._provenance = provenance

    def check(self, viewer: Viewer, at: RepoAt) -> None:
        """Raise Invalid unless a file could be published at `at` with its recipe and record."""
        self._provenance.check(self._read(viewer, at))

    def make(
        self, context: JobContext, spec: dict[str, Any], viewer: Viewer, source: Source
    ) -> dict[str, Any] | None:
        """Write the file and publish it; None when told to stop. `spec` is `Conversions.start`'s."""
        from seedstock.convert.plan import write

        self._check_space(source.plan.data_bytes)
        waiting = context.state_dir / "staged"
        if waiting.exists():  # of an attempt that was killed: as large as the model
            Path(waiting.read_text()).unlink(missing_ok=True)
        started_ms, cpu_s = _now_ms(), time.process_time()
        with self._content.staging.open() as staged:
            waiting.write_text(str(staged.path))
            if not write(source.plan, source.checkpoint, staged.write, context.progress, context.cancelled):
                return None
            staged.finish()
            ran = _first_ran(context.state_dir, started_ms, time.process_time() - cpu_s)
            made = _converted(context.job_id, spec, source, staged, ran)
            texts = self._provenance.of(made)
            place = self._derived.claim(
                viewer,
                target_id_of(viewer, spec["target"]),
                [source.at.repo],
                context.state_dir,
                private=spec["private"],
                made=spec["made"],
            )
            self._content.add_made(staged)
        for note in made.notes:
            context.log(note)
        repo, commit = self._publish(viewer, place, source, made, texts)
        return {
            "repo": repo.repo_id,
            "path": made.path,
            "commit": commit,
            "size": made.size_bytes,
            "sha256": made.sha256,
        }

    def _check_space(self, data_bytes: int) -> None:
        needed, free = data_bytes + _SPARE_BYTES, self._content.staging.free_bytes()
        if free < needed:
            raise Unavailable(
                f"The result needs {needed / 1e6:,.0f} MB; {free / 1e6:,.0f} MB of the hub's disk are free"
            )

    def _publish(
        self,
        viewer: Viewer,
        place: Place,
        source: Source,
        made: Converted,
        texts: Callable[[Read], dict[str, bytes]],
    ) -> tuple[RepoRow, str]:
        """One commit; made anew where another job added to the same repo meanwhile."""
        from seedstock.convert.card import write_card

        large, message = [PutLarge(made.path, made.sha256, made.size_bytes)], _message(made)
        card = write_card(
            source.origin, source.at.metadata.card_data, source.plan, made.path, made.sha256
        ).encode()
        if place.repo is None:
            small = {_CARD: card, **texts(lambda _path: None)}
            return self._committer.commit(viewer, place, message, small, large)
        for left in reversed(range(_TRIES)):
            at = self._reading.repo_at(viewer, repo_id_of(place.repo))
            small = texts(self._read(viewer, at))
            if all(entry.path != _CARD for entry in at.entries):
                small[_CARD] = card
            try:
                return self._committer.commit(viewer, place, message, small, large, at.commit.oid)
            except RefMoved:
                if not left:
                    raise
        raise AssertionError("the last try returns or raises")

    def _read(self, viewer: Viewer, at: RepoAt) -> Read:
        held = {entry.path for entry in at.entries}

        def read(path: str) -> bytes | None:
            if path not in held:
                return None
            data = self._reading.file(viewer, repo_id_of(at.repo), f"{at.commit.oid}/{path}").data
            if data is None:
                raise Invalid(f"{at.repo.repo_id} holds {path} as a large file", hint="delete it")
            return data

        return read


def _first_ran(state_dir: Path, started_ms: int, cpu_s: float) -> Ran:
    """This run, unless an attempt before it came as far."""
    from seedstock.adapt.gguf_stage import versions

    path = state_dir / "ran.json"
    if not path.exists():
        facts = platform_facts() | {f"version.{name}": text for name, text in versions().items()}
        write_durably(path, msgspec.json.encode(Ran(started_ms, _now_ms(), round(cpu_s, 3), facts)))
    return msgspec.json.decode(path.read_bytes(), type=Ran)


def _converted(job_id: int, spec: dict[str, Any], source: Source, staged: StagedFile, ran: Ran) -> Converted:
    from seedstock.convert.card import fallback_note

    plan = source.plan
    return Converted(
        job_id=job_id,
        target=spec["target"],
        origin=source.origin,
        name=source.name,
        wanted=spec["file"],
        to=plan.target.name,
        path=spec["path"],
        file=staged.path,
        size_bytes=staged.size_bytes,
        sha256=staged.sha256,
        tensors=len(plan.tensors),
        notes=(*plan.notes, *fallback_note(plan)),
        ran=ran,
    )


def _message(made: Converted) -> CommitMessage:
    origin = made.origin
    files = "\n".join(f"{digest}  {path}" for path, digest in sorted(origin.files.items()))
    return CommitMessage(f"Add {made.path}", f"Made from {origin.repo} at commit {origin.commit}:\n{files}")


def _now_ms() -> int:
    return time.time_ns() // 1_000_000
