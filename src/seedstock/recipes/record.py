"""Run records: what ran, on what, and what came of it, as an in-toto statement with SLSA provenance that the hub signs.

The standard fields are for other tools; `predicate.seedstock` holds the whole record, and a record in which the two
disagree is refused.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Annotated, Any

import msgspec

from seedstock.core.clock import iso
from seedstock.core.errors import Integrity, UnsupportedFormat
from seedstock.openness.records import Statement, Subject, VerifiedRecord, sign_record, verify_record
from seedstock.openness.signing_keys import HubKey, PublicKey
from seedstock.recipes.outputs import OutputDigest
from seedstock.recipes.platform import platform_class
from seedstock.recipes.statistics import wilson
from seedstock.recipes.trust import Outcome, Runner, Trust, trust_of
from seedstock.recipes.verdict import Judgement, Verdict

SLSA_PREDICATE = "https://slsa.dev/provenance/v1"
BUILD_TYPE = "urn:seedstock:recipe-run:1"


Moment = Annotated[int, msgspec.Meta(ge=0, lt=253_402_300_800_000)]
"""UTC milliseconds, before the year 10000."""


class _Fact(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A part of a record."""


class InputFact(_Fact, frozen=True, kw_only=True):
    """An input as it was fetched; `digest` is `sha256:...` of its content."""

    name: str
    kind: str
    uri: str
    digest: str
    revision: str | None = None


class ChainLink(_Fact, frozen=True, kw_only=True):
    """A checkpoint's digest, which covers that of the one before (`adapt.train.chain`)."""

    step: int
    digest: str


class StageFact(_Fact, frozen=True, kw_only=True):
    """What one stage did. `identity` is `graph.stage_digests`; times are UTC milliseconds."""

    stage: str
    op: str
    identity: str
    started_ms: Moment
    ended_ms: Moment
    cpu_s: float
    output: OutputDigest
    reused: bool = False
    """It was not run: the output was there."""
    metrics: dict[str, float] = {}
    curve: list[dict[str, float]] = []
    """As `step` and what was measured then."""
    chain: list[ChainLink] = []
    """Of a stage that trains, for spot checks."""


class MetricFact(_Fact, frozen=True, kw_only=True):
    """A metric of one model, item by item: a claim's, or that of a stage `eval`."""

    stage: str
    metric: str
    model: str
    """`original`, or `replica`: what the run itself made."""
    value: float
    n: int
    items: list[list[float]]
    """Seeds x items."""


class StageScore(msgspec.Struct, frozen=True):
    """What a stage `eval` found: the mean over items and seeds, with Wilson's 95 % interval at that many items."""

    stage: str
    metric: str
    value: float
    low: float
    high: float
    items: int
    seeds: int


class RunRecord(_Fact, frozen=True, kw_only=True):
    """One run of a recipe; written once, never changed."""

    id: str
    recipe: str
    recipe_digest: str
    started_ms: Moment
    ended_ms: Moment
    inputs: list[InputFact]
    stages: list[StageFact]
    environment: dict[str, str]
    """`adapt.platform_facts`, and `lock` (its SHA-256) where there is one."""
    runner: Runner
    log_sha256: str
    metrics: list[MetricFact] = []
    judgement: Judgement | None = None
    """None: a first run, with nothing to compare."""
    foreign_code: bool = False
    smoke: bool = False

    @property
    def platform_class(self) -> str:
        """Within one, equal stages give equal bytes."""
        return platform_class(self.environment)

    @property
    def scores(self) -> list[StageScore]:
        """What the recipe's own stages `eval` found, in their order."""
        stages = {stage.stage for stage in self.stages if stage.op == "eval"}
        return [
            StageScore(fact.stage, fact.metric, fact.value, ends.low, ends.high, fact.n, len(fact.items))
            for fact in self.metrics
            if fact.stage in stages
            for ends in [wilson(fact.value, fact.n)]
        ]

    @property
    def outcome(self) -> Outcome:
        """The run in short, for badges and trust."""
        return Outcome(
            runner=self.runner,
            verdict=Verdict.INCONCLUSIVE if self.judgement is None else self.judgement.verdict,
            smoke=self.smoke,
            metrics=bool(self.metrics) or any(stage.metrics for stage in self.stages),
            foreign_code=self.foreign_code,
        )

    @property
    def trust(self) -> Trust:
        """How much this one run by itself is worth."""
        return trust_of([self.outcome])


def run_statement(record: RunRecord) -> Statement:
    """The record as an in-toto statement. Subjects are the files of all outputs, or the recipe if there are none."""
    # Once to and fro: 1 in a field of floats is written 1.0, as it will be when it is read.
    record = msgspec.convert(msgspec.to_builtins(record), RunRecord)
    subjects = tuple(
        Subject(f"{stage.stage}/{path}", {"sha256": sha256})
        for stage in record.stages
        for path, sha256 in sorted(stage.output.files.items())
    )
    recipe = Subject(f"recipe/{record.recipe}", {"sha256": _hex(record.recipe_digest)})
    lock = record.environment.get("lock")
    dependencies = [_dependency(item) for item in record.inputs]
    dependencies += [{"name": "lock", "digest": {"sha256": lock}}] if lock else []
    predicate: dict[str, Any] = {
        "buildDefinition": {
            "buildType": BUILD_TYPE,
            "externalParameters": {"recipe": {"name": record.recipe, "digest": record.recipe_digest}},
            "internalParameters": {"platformClass": record.platform_class},
            "resolvedDependencies": dependencies,
        },
        "runDetails": {
            "builder": {"id": record.runner.id},
            "metadata": {
                "invocationId": record.id,
                "startedOn": iso(record.started_ms),
                "finishedOn": iso(record.ended_ms),
            },
            "byproducts": [{"name": "log", "digest": {"sha256": record.log_sha256}}],
        },
        "trust": record.trust.label,
        "seedstock": msgspec.to_builtins(record),
    }
    if record.judgement is not None:
        predicate["verdict"] = record.judgement.verdict.value
    return Statement(subjects or (recipe,), SLSA_PREDICATE, predicate)


def sign_run(record: RunRecord, key: HubKey) -> bytes:
    """The signed envelope, as it is stored and downloaded."""
    return sign_record(run_statement(record), key)


def verify_run(envelope: bytes | str, trusted_keys: Iterable[PublicKey]) -> RunRecord:
    """The record, if one of the keys signed it. Raises as `openness.records.verify_record` and `read_run` do."""
    return read_run(verify_record(envelope, trusted_keys))


def is_run(statement: Statement) -> bool:
    """Whether a statement is about the run of a recipe."""
    definition = statement.predicate.get("buildDefinition")
    is_ours = isinstance(definition, dict) and definition.get("buildType") == BUILD_TYPE
    return statement.predicate_type == SLSA_PREDICATE and is_ours


def read_run(verified: VerifiedRecord) -> RunRecord:
    """The run that an intact statement is about. Raises UnsupportedFormat, and Integrity if it contradicts itself."""
    statement = verified.statement
    if not is_run(statement):
        raise UnsupportedFormat("The record is not about the run of a recipe")
    try:
        record = msgspec.convert(statement.predicate.get("seedstock"), RunRecord)
    except msgspec.ValidationError as error:
        raise UnsupportedFormat(f"Not a run record that is understood: {str(error)[:200]}") from error
    if run_statement(record).encode() != statement.encode():
        raise Integrity("The record contradicts itself: its provenance does not follow from its facts")
    return record


def _dependency(item: InputFact) -> dict[str, Any]:
    digest = {"sha256": _hex(item.digest)}
    if item.revision is not None:
        digest["gitCommit"] = item.revision
    return {"name": item.name, "uri": item.uri, "digest": digest}


def _hex(digest: str) -> str:
    return digest.removeprefix("sha256:")
