"""Variants that a user asks for: what would be made, the job that makes it, and where it is published."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import msgspec

from seedstock.accounts.permissions import Action
from seedstock.accounts.service import Accounts
from seedstock.adapt.launch import Launcher, StageStopped
from seedstock.adapt.methods import Merge
from seedstock.adapt.rewards.registry import admins_rewards
from seedstock.adapt.spec import AdaptSpec, is_adapter, published_settings, relation
from seedstock.core.errors import Forbidden, HubError, Invalid, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import Viewer
from seedstock.db.repos import RepoRow
from seedstock.hub.commits import CommitMessage
from seedstock.hub.conversions import Conversions, Request, check_type
from seedstock.hub.derived import DerivedRepos, Place, target_id_of
from seedstock.hub.reading import Reading
from seedstock.hub.repos import Repos, repo_id_of
from seedstock.jobs.kinds import JobContext
from seedstock.jobs.service import Jobs
from seedstock.variants.execution import Execution
from seedstock.variants.inputs import Materialiser
from seedstock.variants.kept import KeptRuns, keep_run
from seedstock.variants.pedigree import Parent, Pedigree, inherit
from seedstock.variants.pinning import Pinner, is_notice
from seedstock.variants.plan import Plan, lay_out
from seedstock.variants.previews import Previews, Prospect
from seedstock.variants.publishing import Publisher
from seedstock.variants.recipe import recipe_of
from seedstock.variants.result import Making, Records, write_result

ADAPT_MODEL = "adapt_model"


class VariantProposal(msgspec.Struct, frozen=True):
    """What would be made of a spec."""

    spec: AdaptSpec
    plan: Plan
    settings: dict[str, Any]
    target: str
    exists: bool
    private: bool | None
    """Of a new repo; None leaves it to the namespace."""
    adapter: bool
    relation: str | None
    pedigree: Pedigree


class Variants:
    """Proposes, starts and makes variants."""

    def __init__(
        self,
        accounts: Accounts,
        repos: Repos,
        reading: Reading,
        inputs: Materialiser,
        previews: Previews,
        publisher: Publisher,
        conversions: Conversions,
        jobs: Jobs,
        records: Records,
        launcher: Launcher,
        memory_bytes: int | None,
        kept: KeptRuns,
    ) -> None:
        self._accounts = accounts
        self._repos = repos
        self._reading = reading
        self._inputs = inputs
        self._previews = previews
        self._publisher = publisher
        self._conversions = conversions
        self._jobs = jobs
        self._records = records
        self._launcher = launcher
        self._memory_bytes = memory_bytes
        self._kept = kept
        self._derived = DerivedRepos(repos)

    def propose(self, viewer: Viewer, spec: AdaptSpec) -> VariantProposal:
        """Pin every reference and say what would be made; nothing is read but listings and cards.

        Raises Unauthenticated, RepoNotFound, GatedRepo, Forbidden, Invalid, UnsupportedFormat.
        """
        if viewer.anonymous:
            raise Unauthenticated("Sign in or send a token to make a variant")
        settings = published_settings(spec)
        inputs = Pinner(self._reading, viewer).inputs(spec)
        plan = lay_out(spec, inputs, spec.threads or default_threads(), spec.device)
        _check_code(viewer, plan)
        parents = self._parents(viewer, plan)
        target_id = target_id_of(viewer, spec.publish or _default_name(spec, parents))
        target = self._derived.find(viewer, target_id)
        private = self._derived.privacy(viewer, self._sources(viewer, plan), target, spec.private)
        adapter = is_adapter(settings)
        _check_gguf(spec, adapter)
        if spec.keep_checkpoints and not self._kept.limit_bytes:
            raise Invalid("This hub keeps no checkpoints", hint="leave keep_checkpoints out")
        return VariantProposal(
            spec,
            plan,
            msgspec.to_builtins(settings),
            str(target_id),
            target is not None,
            private,
            adapter,
            relation(spec, settings),
            inherit(parents, target_id.name),
        )

    def look_ahead(self, viewer: Viewer, proposal: VariantProposal) -> Prospect:
        """Rows as they would be trained on, memory and time. Raises Invalid for what training would refuse."""
        return self._previews.look(viewer, proposal.plan)

    def start(self, viewer: Viewer, spec: AdaptSpec) -> tuple[int, VariantProposal]:
        """Queue the job that makes a variant; its number. Raises like `propose`, and LimitExceeded."""
        proposal = self.propose(viewer, spec)
        first = next(iter(proposal.plan.inputs.values()))
        job = {
            "account": viewer.name,
            "spec": msgspec.to_builtins(spec),
            "plan": msgspec.to_builtins(proposal.plan),
            "target": proposal.target,
            "private": proposal.private,
            "made": not proposal.exists,
        }
        number = self._jobs.enqueue(
            viewer, ADAPT_MODEL, job, priority=spec.priority, repo_id=first.repo_id, max_attempts=3
        )
        return number, proposal

    def run(self, context: JobContext, job: dict[str, Any]) -> dict[str, Any] | None:
        """The job: run the stages, then publish what the last one left in one commit. Every right is checked anew.

        None when it was told to stop. Started again, it goes on from the last checkpoint.
        """
        viewer = self._accounts.viewer_for_job(job["account"])
        spec = msgspec.convert(job["spec"], AdaptSpec)
        plan = msgspec.convert(job["plan"], Plan)
        plan = msgspec.structs.replace(plan, device=_device(plan.device))
        sources = self._sources(viewer, plan)
        recipe = recipe_of(plan, job["target"])
        execution = Execution(
            recipe,
            context.state_dir,
            context,
            self._launcher,
            lambda name, folder: self._inputs.place(viewer, plan.inputs[name], folder),
            self._memory_bytes,
            checkpoint_bytes={plan.last.name: self._kept.limit_bytes // 2} if spec.keep_checkpoints else {},
        )
        try:
            runs = execution.run()
        except StageStopped:
            return None
        context.progress(1.0, "publishing")
        parents = self._parents(viewer, plan)
        making = Making(spec, plan, recipe, runs, parents, job["target"], context.job_id)
        folder = context.state_dir / "publish"
        texts = write_result(making, folder, self._records)
        self._publisher.check_space(folder)
        place = self._place(viewer, job, sources, context.state_dir)
        target, commit = self._publisher.publish(viewer, place, folder, texts, _message(making))
        kept = keep_run(self._kept, context, plan, runs, target.id, commit) if spec.keep_checkpoints else {}
        return self._ended(viewer, spec, target, commit, runs[-1].result) | kept

    def _place(self, viewer: Viewer, job: dict[str, Any], sources: list[RepoRow], state_dir: Path) -> Place:
        return self._derived.claim(
            viewer, _model_id(job["target"]), sources, state_dir, private=job["private"], made=job["made"]
        )

    def _ended(
        self, viewer: Viewer, spec: AdaptSpec, target: RepoRow, commit: str, figures: dict[str, Any]
    ) -> dict[str, Any]:
        numbers = {key: value for key, value in figures.items() if isinstance(value, int | float | bool)}
        result: dict[str, Any] = {"repo": target.repo_id, "commit": commit, "figures": numbers}
        if spec.gguf:
            request = Request(spec.gguf, revision=commit)
            try:
                result["gguf_job"], proposed = self._conversions.start(viewer, repo_id_of(target), request)
                result["gguf_repo"] = proposed.target
            except HubError as error:  # the variant is published: it did not fail
                result["gguf_error"] = error.message
        return result

    def _sources(self, viewer: Viewer, plan: Plan) -> list[RepoRow]:
        """The repos of all inputs, each checked to be the viewer's to download."""
        ids = {pinned.repo_id: pinned for pinned in plan.inputs.values()}
        found = self._repos.by_id(viewer, list(ids))
        for repo_id, pinned in ids.items():
            if repo_id not in found:
                raise RepoNotFound(f"There is no {pinned.kind} {pinned.repo} any more")
            self._repos.get(viewer, repo_id_of(found[repo_id]), Action.DOWNLOAD)
        return list(found.values())

    def _parents(self, viewer: Viewer, plan: Plan) -> list[Parent]:
        """The models among the inputs, with their cards and notices."""
        models = {role: pinned for role, pinned in plan.inputs.items() if pinned.kind == "model"}
        rows = self._repos.by_id(viewer, [pinned.repo_id for pinned in models.values()])
        found = []
        for role, pinned in models.items():
            repo_id = repo_id_of(rows[pinned.repo_id])
            at = self._reading.repo_at(viewer, repo_id, pinned.commit)
            notices = {
                path: self._reading.file(viewer, repo_id, f"{pinned.commit}/{path}").data or b""
                for path in pinned.files
                if is_notice(path)
            }
            found.append(Parent(role, pinned.repo, pinned.commit, at.metadata.card_data, notices))
        return found


def _check_gguf(spec: AdaptSpec, adapter: bool) -> None:
    """Before hours of training, not after."""
    if spec.gguf is None:
        return
    check_type(spec.gguf)
    if adapter:
        raise Invalid("An adapter runs on its base's GGUF: give `gguf` with `publish_as: merged`")


def _check_code(viewer: Viewer, plan: Plan) -> None:
    """Code of somebody runs for admins alone."""
    for stage in plan.stages:
        reasons = admins_rewards(stage.args)
        if reasons and not viewer.is_admin:
            raise Forbidden(
                f"This run {reasons[0]}, which only an admin of this hub may start",
                hint="use a reward of the registry, or ask an admin",
            )


def default_threads() -> int:
    """All cores but one, which goes on serving."""
    return max(1, (os.cpu_count() or 1) - 1)


def _device(wanted: str) -> str:
    if wanted != "auto":
        return wanted
    return "cuda" if Path("/dev/nvidia0").exists() else "cpu"


def _default_name(spec: AdaptSpec, parents: list[Parent]) -> str:
    """Named after the first parent and the method, so that a prefix which its licence asks for is kept."""
    first = parents[0].repo.partition("/")[2] if parents else "model"
    settings = published_settings(spec)
    method = f"merge-{settings.method}" if isinstance(settings, Merge) else spec.method
    return f"{first.removesuffix('-GGUF')}-{method.replace('_', '-')}"[:96]


def _model_id(name: str) -> RepoId:
    namespace, _, rest = name.partition("/")
    return RepoId(RepoType.MODEL, namespace, rest)


def _message(making: Making) -> CommitMessage:
    sources = "\n".join(
        f"{role}: {pinned.repo} at commit {pinned.commit}, {pinned.digest}"
        for role, pinned in making.plan.inputs.items()
    )
    return CommitMessage(f"Add what {making.spec.method} made", f"Made from\n{sources}")
