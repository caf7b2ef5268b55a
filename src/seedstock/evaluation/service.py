"""Evaluations that a user asks for: what would be asked, the job that asks it, and the result that it files."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.accounts.permissions import Action, check, check_may_change
from seedstock.accounts.service import Accounts
from seedstock.content.service import Content
from seedstock.core.errors import (
    Forbidden,
    Invalid,
    ModelNotRunnable,
    NotFound,
    RepoNotFound,
    Unauthenticated,
)
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.evaluation.catalogue import get_suite
from seedstock.evaluation.datasets import DatasetSuites, DatasetTask
from seedstock.evaluation.estimate import Estimate, estimate
from seedstock.evaluation.items import Item
from seedstock.evaluation.process import check_installed
from seedstock.evaluation.request import Closed, Plan, Request, dataset_of
from seedstock.evaluation.results import NO_CARD, Results
from seedstock.evaluation.run import EvaluationRun, endpoint_of
from seedstock.hub.models import Models
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs
from seedstock.remotes.remote import Offer
from seedstock.remotes.service import Remotes
from seedstock.run.remote.upstream import RemoteName, remote_id

EVALUATE_MODEL = "evaluate_model"


class Evaluations:
    """Plans, starts and runs evaluations."""

    def __init__(
        self,
        accounts: Accounts,
        repos: Repos,
        reading: Reading,
        models: Models,
        remotes: Remotes,
        content: Content,
        jobs: Jobs,
        results: Results,
        hub_url: str,
    ) -> None:
        self.results = results
        self._accounts = accounts
        self._repos = repos
        self._reading = reading
        self._models = models
        self._remotes = remotes
        self._datasets = DatasetSuites(reading, content)
        self._jobs = jobs
        self._hub_url = hub_url

    def plan(self, viewer: Viewer, model: RepoId | RemoteName, request: Request) -> Plan:
        """Pin what is asked for.

        Raises Unauthenticated, RepoNotFound, GatedRepo, Forbidden, ModelNotRunnable, NotFound (the suite, the remote model),
        Invalid, and Unavailable (a key that cannot be read).
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to evaluate a model")
        if isinstance(model, RemoteName):
            return self._questions(viewer, request, self._elsewhere(viewer, model, request))
        return self._questions(viewer, request, self._here(viewer, model, request))

    def start(
        self, viewer: Viewer, model: RepoId | RemoteName, request: Request, base_url: str
    ) -> tuple[int, Plan]:
        """Queue an evaluation; its number. Raises as `plan` and `Jobs.enqueue` do.

        `base_url` is how whoever asks reaches the hub, for the address that the card gives as source.
        """
        check_installed()
        plan = self.plan(viewer, model, request)
        repo = None if isinstance(model, RemoteName) else self._repos.get(viewer, model, Action.DOWNLOAD).id
        spec = {
            "account": viewer.name,
            "repo_id": repo,
            "plan": msgspec.to_builtins(plan),
            "write_card": request.write_card,
            "base_url": base_url,
        }
        number = self._jobs.enqueue(
            viewer, EVALUATE_MODEL, spec, priority=request.priority, repo_id=repo, max_attempts=3
        )
        return number, plan

    def estimate(self, viewer: Viewer, plan: Plan) -> Estimate:
        """What a plan would take; rows of a dataset are read for it. Raises Invalid naming one that cannot be asked."""
        if plan.dataset_id is None:
            return estimate(plan)
        found = self._opened(viewer, plan.dataset_id, plan)
        return estimate(plan, self._datasets.count(viewer, found, plan.seed, plan.limit))

    def run(self, context: JobContext, spec: dict[str, Any]) -> dict[str, Any] | None:
        """The job: ask what was not asked yet, judge, file. Every right is checked anew. None when told to stop."""
        check_installed()
        viewer = self._accounts.viewer_for_job(spec["account"])
        repo, plan = self._renewed(viewer, spec["repo_id"], msgspec.convert(spec["plan"], Plan))
        items = self._items(viewer, context, plan)
        endpoint = endpoint_of(self._hub_url, plan)
        found = EvaluationRun(context, self._accounts, viewer, endpoint, items).run()
        if found is None:
            return None
        row = self.results.file(context.job_id, viewer, repo, plan, items, found)
        subject = {"repo": repo.repo_id, "commit": plan.commit} if repo else {"remote": plan.model}
        result: dict[str, Any] = {"evaluation": row.id, "suite": plan.suite} | subject
        result |= {"n": row.n, "score": row.score, "low": row.low, "high": row.high}
        if spec["write_card"] and repo is not None:
            try:
                result["card"] = self.results.write_card(viewer, repo_id_of(repo), row.id, spec["base_url"])
            except (Invalid, Forbidden) as error:
                text = f"Evaluation {row.id} is filed, but not written into the card: {error.message}"
                raise Invalid(text, hint=error.hint) from None
        return result

    def _here(self, viewer: Viewer, repo_id: RepoId, request: Request) -> Plan:
        """A plan without questions yet, for a model of the hub."""
        if repo_id.type is not RepoType.MODEL:
            raise Invalid("Only models are evaluated")
        at = self._reading.repo_at(viewer, repo_id, request.revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        check_may_change(viewer)  # a result is shown to all who see the model
        if request.write_card:
            check(viewer, Action.WRITE, at.repo)
        if not self._models.runs(viewer, at):
            raise ModelNotRunnable(f"{at.repo.repo_id} holds nothing that this hub can run")
        if not self._models.writes(viewer, at):
            raise ModelNotRunnable(f"{at.repo.repo_id} makes no text: it turns texts into vectors")
        return _subject(request, repo=at.repo.repo_id, commit=at.commit.oid)

    def _elsewhere(self, viewer: Viewer, model: RemoteName, request: Request) -> Plan:
        """The same for one that runs elsewhere, for whoever may ask it."""
        offer = self._remotes.offer(viewer, remote_id(model.remote, model.model))
        check_may_change(viewer)
        if request.write_card:
            raise Invalid(NO_CARD, hint="leave write_card out: the result is filed all the same")
        if request.file is not None or request.revision != "main":
            raise Invalid("A model that runs elsewhere has neither files nor revisions")
        return _subject(request, closed=_closed(offer, model.model))

    def _questions(self, viewer: Viewer, request: Request, subject: Plan) -> Plan:
        named = dataset_of(request.suite)
        if named is not None:
            return _with_dataset(subject, request, self._datasets.open(viewer, *named))
        suite = get_suite(request.suite)
        return msgspec.structs.replace(
            subject,
            suite=suite.name,
            suite_version=suite.version,
            suite_digest=suite.digest,
            sampling=request.sampled(suite.max_tokens),
            limit=request.limit or suite.default_items,
        )

    def _renewed(self, viewer: Viewer, repo_id: int | None, plan: Plan) -> tuple[RepoRow | None, Plan]:
        """The model as it is now: it may have another name, and a remote other settings. Raises NotFound."""
        if plan.closed is not None:
            offer = self._remotes.offer(viewer, plan.model)
            if offer.id != plan.closed.remote_id:
                raise NotFound(f"The remote {offer.name!r} is another than the one that this was asked for")
            return None, msgspec.structs.replace(plan, closed=_closed(offer, plan.closed.model))
        repo = self._repos.by_id(viewer, [repo_id]).get(repo_id) if repo_id is not None else None
        if repo is None:
            raise RepoNotFound
        check(viewer, Action.DOWNLOAD, repo)
        return repo, msgspec.structs.replace(plan, repo=repo.repo_id)

    def _items(self, viewer: Viewer, context: JobContext, plan: Plan) -> list[Item]:
        if plan.dataset_id is None:
            suite = get_suite(plan.suite)
            if suite.digest != plan.suite_digest:
                raise Invalid(
                    f"The suite {plan.suite} has changed since this was asked for", hint="ask again"
                )
            return suite.generate(plan.seed, plan.limit or suite.default_items)
        found = self._opened(viewer, plan.dataset_id, plan)
        return self._datasets.items(viewer, found, context.state_dir / "rows", plan.seed, plan.limit)

    def _opened(self, viewer: Viewer, dataset_id: int, plan: Plan) -> DatasetTask:
        """The plan's dataset, under its present name."""
        found = self._repos.by_id(viewer, [dataset_id]).get(dataset_id)
        if found is None:
            raise RepoNotFound("The dataset is not there any more")
        return self._datasets.open(viewer, repo_id_of(found), plan.dataset_commit or "")


def _subject(
    request: Request, *, repo: str | None = None, commit: str | None = None, closed: Closed | None = None
) -> Plan:
    """A plan in which the questions are still to be named."""
    return Plan(
        repo=repo,
        commit=commit,
        file=request.file,
        suite="",
        suite_version=1,
        suite_digest="",
        dataset_id=None,
        dataset_commit=None,
        sampling=request.sampled(1),
        seed=request.seed,
        limit=request.limit,
        closed=closed,
    )


def _closed(offer: Offer, model: str) -> Closed:
    return Closed(offer.id, offer.name, offer.kind.value, model, offer.revision)


def _with_dataset(subject: Plan, request: Request, found: DatasetTask) -> Plan:
    return msgspec.structs.replace(
        subject,
        suite=found.at.repo.url_path,
        suite_digest=found.digest,
        dataset_id=found.at.repo.id,
        dataset_commit=found.at.commit.oid,
        sampling=request.sampled(found.task.max_tokens),
    )
