"""Puts the hub together: the only place that picks implementations."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import msgspec

from seedstock.accounts.secrets import Signer, load_server_key
from seedstock.accounts.service import Accounts
from seedstock.arena.service import Arena
from seedstock.chats.service import Chats
from seedstock.content.multipart import Multipart
from seedstock.content.objects import StoredObjects
from seedstock.content.service import Content
from seedstock.content.xet import Xet
from seedstock.core.clock import Clock, now_ms
from seedstock.db.engine import Database
from seedstock.evaluation.results import Results
from seedstock.evaluation.service import Evaluations
from seedstock.hub.browsing import Browsing
from seedstock.hub.conversions import Conversions
from seedstock.hub.downloads import DownloadCounter
from seedstock.hub.fit import Fitting
from seedstock.hub.git.service import GitReader
from seedstock.hub.indexing import Indexer
from seedstock.hub.listing import Listing
from seedstock.hub.model_folders import ModelFolders
from seedstock.hub.models import Models
from seedstock.hub.preparation import Preparation
from seedstock.hub.reading import Reading
from seedstock.hub.refs import Refs
from seedstock.hub.repos import Repos
from seedstock.hub.trees import TreeCache
from seedstock.hub.uploads import Uploads
from seedstock.hub.writing import Writing
from seedstock.jobs.queue import Queue
from seedstock.jobs.service import Jobs
from seedstock.lineage.analyst import Analyst
from seedstock.lineage.discovery import Discovery
from seedstock.lineage.isolated import IsolatedTracer
from seedstock.lineage.publishers import Publishers
from seedstock.lineage.reading import WeightReader
from seedstock.lineage.report import Foundations
from seedstock.lineage.revisions import ModelRevisions
from seedstock.lineage.service import Lineage
from seedstock.lineage.sketches import Sketches
from seedstock.lineage.trace import Tracer
from seedstock.openness.gathering import Gathering
from seedstock.openness.hub_records import HubRecords
from seedstock.openness.service import OpennessService
from seedstock.openness.signature_check import SignatureChecker
from seedstock.places import make_folder, open_database, open_launcher, open_store
from seedstock.remotes.sealing import Sealer
from seedstock.remotes.service import Remotes
from seedstock.replications.openness import RecipeFacts
from seedstock.replications.run import Workplace
from seedstock.replications.service import Replications
from seedstock.replications.sources import Sources
from seedstock.run.engine_cache import EngineCache
from seedstock.run.engines.llama_cpp import LlamaCpp
from seedstock.run.remote.runner import RemoteRunner
from seedstock.run.service import ModelRunner
from seedstock.settings import Settings
from seedstock.store.staging import Staging
from seedstock.usage.limits import RateLimits
from seedstock.usage.metrics import Metrics
from seedstock.usage.recorder import UsageRecorder
from seedstock.usage.service import Usage
from seedstock.variants.conversions import ConversionRecords
from seedstock.variants.inputs import Materialiser
from seedstock.variants.kept import KeptRuns
from seedstock.variants.previews import Previews
from seedstock.variants.publishing import Publisher
from seedstock.variants.records import RunRecords
from seedstock.variants.service import Variants
from seedstock.variants.spot_checks import SpotChecks


@dataclass(frozen=True)
class Hub:
    """Every service of one hub."""

    settings: Settings
    database: Database
    signer: Signer
    clock: Clock
    accounts: Accounts
    content: Content
    multipart: Multipart
    xet: Xet
    repos: Repos
    refs: Refs
    reading: Reading
    browsing: Browsing
    writing: Writing
    uploads: Uploads
    listing: Listing
    downloads: DownloadCounter
    models: Models
    indexer: Indexer
    conversions: Conversions
    variants: Variants
    spot_checks: SpotChecks
    replications: Replications
    evaluations: Evaluations
    queue: Queue
    jobs: Jobs
    runner: ModelRunner
    remotes: Remotes
    remote_runner: RemoteRunner
    git: GitReader
    usage: Usage
    records: HubRecords
    lineage: Lineage
    analyst: Analyst
    tracer: Tracer
    isolated_tracer: IsolatedTracer
    foundations: Foundations
    publishers: Publishers
    openness: OpennessService
    signatures: SignatureChecker
    chats: Chats
    arena: Arena

    def stamp(self) -> int | None:
        """A number that changes whenever anything in the database does; None where that is not known."""
        return self.database.stamp()

    def close(self) -> None:
        """Write what is still counted in memory and close the database."""
        self.models.preparation.close()
        self.downloads.flush()
        self.usage.close()
        self.database.close()


@dataclass(frozen=True)
class _Base:
    """What the services that make things are built on."""

    settings: Settings
    database: Database
    clock: Clock
    accounts: Accounts
    repos: Repos
    reading: Reading
    writing: Writing
    content: Content
    jobs: Jobs
    records: HubRecords

    @property
    def inputs(self) -> Materialiser:
        return Materialiser(self.repos, self.reading, self.content)


def open_hub(settings: Settings, clock: Clock = now_ms) -> Hub:
    """Open database and store and build the services over them."""
    make_folder(settings.data_dir)
    database = open_database(settings)
    key = settings.secret_key.encode() if settings.secret_key else load_server_key(settings.data_dir)
    return _assemble(settings, database, key, clock)


def _assemble(settings: Settings, database: Database, key: bytes, clock: Clock) -> Hub:
    """The services over an open database; what is to stay secret follows from `key`."""
    signer, records = Signer(key), HubRecords(key)
    cache, queue, content = TreeCache(), Queue(database, clock), _open_content(settings, database, clock)
    repos = Repos(database, queue, cache, clock)
    reading = Reading(database, repos, content, cache)
    listing, lineage = Listing(database), Lineage(database, repos)
    writing = Writing(database, repos, content, queue, cache, clock)
    models = ModelRevisions(database, content, cache)
    search = Sketches(database, settings.data_dir / "cache" / "sketches")
    accounts, jobs = Accounts(database, clock), Jobs(database, clock, settings.jobs_queued_per_account)
    runnable = _open_models(settings, reading, listing, content)
    remotes = Remotes(database, accounts, Sealer(key), clock, enabled=settings.remotes)
    conversions = Conversions(accounts, repos, reading, writing, content, jobs, ConversionRecords(records))
    base = _Base(settings, database, clock, accounts, repos, reading, writing, content, jobs, records)
    results = Results(database, repos, reading, writing, remotes, content, clock)
    asking = accounts, repos, reading, runnable, remotes, content, jobs, results
    gathering = Gathering(database, models, lineage, listing, RecipeFacts(database, reading, models).read)
    return Hub(
        settings=settings,
        database=database,
        signer=signer,
        clock=clock,
        accounts=accounts,
        content=content,
        multipart=Multipart(database, content, clock),
        xet=Xet(database, content, signer, clock),
        repos=repos,
        refs=Refs(database, repos, queue, cache, clock),
        reading=reading,
        browsing=Browsing(database, repos, reading, content, cache),
        writing=writing,
        uploads=Uploads(database, repos, writing, content, signer),
        listing=listing,
        downloads=DownloadCounter(database, clock),
        indexer=Indexer(database, content, queue, cache, clock),
        conversions=conversions,
        variants=_variants(base, conversions),
        spot_checks=_spot_checks(base),
        replications=_replications(base),
        evaluations=Evaluations(*asking, settings.own_url),
        queue=queue,
        jobs=jobs,
        models=runnable,
        runner=ModelRunner(settings.run_socket),
        remotes=remotes,
        remote_runner=RemoteRunner(settings.remote_timeout_s),
        git=GitReader(database, repos),
        usage=_open_usage(settings, database, accounts, clock),
        records=records,
        lineage=lineage,
        analyst=Analyst(database, models, Discovery(database, models, search), queue, records.sign, clock),
        tracer=Tracer(database, reading, models, WeightReader(database, models, clock), search),
        isolated_tracer=IsolatedTracer(reading, _plain(settings)),
        foundations=Foundations(database),
        publishers=Publishers(database, clock),
        openness=OpennessService(database, gathering, clock),
        signatures=SignatureChecker(database, models, content, clock),
        chats=Chats(database, signer, clock),
        arena=Arena(database, repos, runnable, remotes, clock),
    )


def _open_content(settings: Settings, database: Database, clock: Clock) -> Content:
    objects = StoredObjects(database, open_store(settings.store_url), clock)
    staging = Staging(settings.data_dir / "incoming")
    return Content(database, objects, staging, settings.data_dir / "cache" / "models", clock)


def _open_usage(settings: Settings, database: Database, accounts: Accounts, clock: Clock) -> Usage:
    limits = RateLimits(database, settings.data_dir, settings.limits, clock)
    return Usage(database, accounts, limits, UsageRecorder(database, clock), Metrics(), clock)


def _open_models(settings: Settings, reading: Reading, listing: Listing, content: Content) -> Models:
    folder = settings.data_dir / "cache"
    cache = EngineCache(folder / "engines", settings.engine_cache_bytes)
    fitting = Fitting(reading, content, settings.engine_memory_limit_bytes, LlamaCpp().slots)
    preparation = Preparation(cache, _plain(settings))
    folders = ModelFolders(reading, content, folder / "folders")
    links = folder / "split"
    return Models(
        reading, listing, content, preparation, fitting, folders, links, vllm=settings.vllm is not None
    )


def _plain(settings: Settings) -> dict[str, Any]:
    plain: dict[str, Any] = msgspec.to_builtins(settings, enc_hook=str)
    return plain


def _replications(base: _Base) -> Replications:
    settings, reading = base.settings, base.reading
    workplace = Workplace(open_launcher(settings.launcher), settings.adapt_memory_bytes)
    sources = Sources(reading, base.inputs)
    return Replications(
        base.database,
        base.accounts,
        base.repos,
        reading,
        sources,
        base.jobs,
        base.records,
        workplace,
        base.clock,
    )


def _variants(base: _Base, conversions: Conversions) -> Variants:
    settings, inputs = base.settings, base.inputs
    return Variants(
        base.accounts,
        base.repos,
        base.reading,
        inputs,
        Previews(inputs, settings.adapt_memory_bytes),
        Publisher(base.writing, inputs.content),
        conversions,
        base.jobs,
        RunRecords(base.records),
        open_launcher(settings.launcher),
        settings.adapt_memory_bytes,
        _kept_runs(settings),
    )


def _spot_checks(base: _Base) -> SpotChecks:
    return SpotChecks(
        base.database,
        base.accounts,
        base.repos,
        base.reading,
        base.inputs,
        base.jobs,
        base.records,
        _kept_runs(base.settings),
        open_launcher(base.settings.launcher),
        base.settings.adapt_memory_bytes,
    )


def _kept_runs(settings: Settings) -> KeptRuns:
    return KeptRuns(settings.data_dir / "kept", settings.kept_bytes)


def reopen_hub(**settings: Any) -> Hub:
    """The hub of some settings as plain values, for a process that a job runs in."""
    return open_hub(msgspec.convert(settings, Settings, dec_hook=lambda type, value: type(value)))
