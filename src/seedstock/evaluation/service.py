"""Evaluations that a user asks for: what would be asked, the job that asks it, and the result that it files."""

from __future__ import annotations

from typing import Any

import msgspec

from seedstock.accounts.permissions import Action, check, check_may_change
from seedstock.accounts.service import Accounts
from seedstock.content.service import Content
from seedstock.core.errors import Forbidden, Invalid, ModelNotRunnable, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.evaluation.catalogue import get_suite
from seedstock.evaluation.datasets import DatasetSuites, DatasetTask
from seedstock.evaluation.items import Item
from seedstock.evaluation.process import check_installed
from seedstock.evaluation.request import Plan, Request, dataset_of
from seedstock.evaluation.results import Results
from seedstock.evaluation.run import Endpoint, EvaluationRun
from seedstock.evaluation.settings import Sampling
from seedstock.hub.models import Models
from seedstock.hub.reading import Reading, RepoAt
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs

EVALUATE_MODEL = "evaluate_model"


class Evaluations:
    """Plans, starts and runs evaluations."""

    def __init__(
        self,
        accounts: Accounts,
        repos: Repos,
        reading: Reading,
        models: Models,
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
        self._datasets = DatasetSuites(reading, content)
        self._jobs = jobs
        self._hub_url = hub_url

    def plan(self, viewer: Viewer, repo_id: RepoId, request: Request) -> Plan:
        """Pin what is asked for.

        Raises Unauthenticated, RepoNotFound, GatedRepo, Forbidden, ModelNotRunnable, NotFound (the suite), Invalid.
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to evaluate a model")
        if repo_id.type is not RepoType.MODEL:
            raise Invalid("Only models are evaluated")
        at = self._reading.repo_at(viewer, repo_id, request.revision)
        check(viewer, Action.DOWNLOAD, at.repo)
        check_may_change(viewer)  # a result is shown to all who see the model
        if request.write_card:
            check(viewer, Action.WRITE, at.repo)
        if not self._models.runs(viewer, at):
            raise ModelNotRunnable(f"{at.repo.repo_id} holds nothing that this hub can run")
        named = dataset_of(request.suite)
        if named is not None:
            return _dataset_plan(at, request, self._datasets.open(viewer, *named))
        suite = get_suite(request.suite)
        return Plan(
            repo=at.repo.repo_id,
            commit=at.commit.oid,
            file=request.file,
            suite=suite.name,
            suite_version=suite.version,
            suite_digest=suite.digest,
            dataset_id=None,
            dataset_commit=None,
            sampling=Sampling(max_tokens=suite.max_tokens, seed=request.seed),
            seed=request.seed,
            limit=request.limit or suite.default_items,
        )

    def start(self, viewer: Viewer, repo_id: RepoId, request: Request, base_url: str) -> tuple[int, Plan]:
        """Queue an evaluation; its number. Raises as `plan` and `Jobs.enqueue` do.

        `base_url` is how whoever asks reaches the hub, for the address that the card gives as source.
        """
        check_installed()
        plan = self.plan(viewer, repo_id, request)
        repo = self._repos.get(viewer, repo_id, Action.DOWNLOAD)
        spec = {
            "account": viewer.name,
            "repo_id": repo.id,
            "plan": msgspec.to_builtins(plan),
            "write_card": request.write_card,
            "base_url": base_url,
        }
        number = self._jobs.enqueue(
            viewer, EVALUATE_MODEL, spec, priority=request.priority, repo_id=repo.id, max_attempts=3
        )
        return number, plan

    def run(self, context: JobContext, spec: dict[str, Any]) -> dict[str, Any] | None:
        """The job: ask what was not asked yet, judge, file. Every right is checked anew. None when told to stop."""
        check_installed()
        viewer = self._accounts.viewer_for_job(spec["account"])
        repo = self._repos.by_id(viewer, [spec["repo_id"]]).get(spec["repo_id"])
        if repo is None:
            raise RepoNotFound
        check(viewer, Action.DOWNLOAD, repo)
        # It may have another name by now.
        plan = msgspec.structs.replace(msgspec.convert(spec["plan"], Plan), repo=repo.repo_id)
        items = self._items(viewer, context, plan)
        endpoint = Endpoint(self._hub_url, plan.model, plan.sampling)
        found = EvaluationRun(context, self._accounts, viewer, endpoint, items).run()
        if found is None:
            return None
        row = self.results.file(context.job_id, viewer, repo, plan, items, found)
        result = {"evaluation": row.id, "repo": repo.repo_id, "commit": plan.commit, "suite": plan.suite}
        result |= {"n": row.n, "score": row.score, "low": row.low, "high": row.high}
        if spec["write_card"]:
            try:
                result["card"] = self.results.write_card(viewer, repo_id_of(repo), row.id, spec["base_url"])
            except (Invalid, Forbidden) as error:
                text = f"Evaluation {row.id} is filed, but not written into the card: {error.message}"
                raise Invalid(text, hint=error.hint) from None
        return result

    def _items(self, viewer: Viewer, context: JobContext, plan: Plan) -> list[Item]:
        if plan.dataset_id is None:
            suite = get_suite(plan.suite)
            if suite.digest != plan.suite_digest:
                raise Invalid(
                    f"The suite {plan.suite} has changed since this was asked for", hint="ask again"
                )
            return suite.generate(plan.seed, plan.limit or suite.default_items)
        dataset = self._dataset(viewer, plan.dataset_id)
        found = self._datasets.open(viewer, repo_id_of(dataset), plan.dataset_commit or "")
        return self._datasets.items(viewer, found, context.state_dir / "rows", plan.seed, plan.limit)

    def _dataset(self, viewer: Viewer, number: int) -> RepoRow:
        found = self._repos.by_id(viewer, [number]).get(number)
        if found is None:
            raise RepoNotFound("The dataset is not there any more")
        return found


def _dataset_plan(at: RepoAt, request: Request, found: DatasetTask) -> Plan:
    return Plan(
        repo=at.repo.repo_id,
        commit=at.commit.oid,
        file=request.file,
        suite=found.at.repo.url_path,
        suite_version=1,
        suite_digest=found.digest,
        dataset_id=found.at.repo.id,
        dataset_commit=found.at.commit.oid,
        sampling=Sampling(max_tokens=found.task.max_tokens, seed=request.seed),
        seed=request.seed,
        limit=request.limit,
    )
