"""What is filed, who sees it, and what goes into a card, on both databases. The asking itself is in tests/contract."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import msgspec
import pytest
from huggingface_hub import ModelCard
from starlette.testclient import TestClient

from seedstock.accounts.permissions import Action
from seedstock.core.errors import Forbidden, GatedRepo, Invalid, NotFound, RepoNotFound, Unauthenticated
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.db.evaluations import EvaluationRow
from seedstock.evaluation import figures, process, results
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.items import SampleLine
from seedstock.evaluation.request import Plan, Request, dataset_of
from seedstock.evaluation.run import Found
from seedstock.evaluation.settings import Sampling
from seedstock.http.app import build_app
from seedstock.hub.repos import RepoSettings
from seedstock.recipes.statistics import paired_difference
from seedstock.wiring import Hub

BASE = "http://hub.test"
COMMIT = "c" * 40


class Shelf:
    """A hub with people, models, and results that are made up of which items were right."""

    def __init__(self, hub: Hub) -> None:
        self.hub = hub
        self.results = hub.evaluations.results
        self.people: dict[str, Viewer] = {}
        self.tokens: dict[str, str] = {}
        for name in ("ada", "bob"):
            hub.accounts.create_user(name)
            self.tokens[name] = hub.accounts.create_token(name, role=TokenRole.WRITE)
            self.people[name] = hub.accounts.viewer_for_token(self.tokens[name])
        self.jobs = 0

    def repo(self, name: str, *, type: RepoType = RepoType.MODEL, **settings: Any) -> RepoId:
        repo_id = RepoId(type, *name.split("/"))
        self.hub.repos.create(self.people[repo_id.namespace], repo_id, private=settings.pop("private", False))
        if settings:
            self.hub.repos.change(self.people[repo_id.namespace], repo_id, RepoSettings(**settings))
        return repo_id

    def file(
        self,
        repo_id: RepoId,
        right: Sequence[int],
        *,
        dataset: RepoId | None = None,
        job: int | None = None,
        **plan: Any,
    ) -> EvaluationRow:
        ada, items = self.people["ada"], SUITES["arithmetic"].generate(0, len(right))
        repo = self.hub.repos.get(ada, repo_id)
        data = self.hub.repos.get(ada, dataset) if dataset else None
        self.jobs += 1
        planned = Plan(
            repo=repo.repo_id, commit=COMMIT, file=plan.get("file"),
            suite=data.url_path if data else "arithmetic", suite_version=1, suite_digest=plan.get("digest", "d" * 64),
            dataset_id=data.id if data else None, dataset_commit=COMMIT if data else None,
            sampling=Sampling(max_tokens=plan.get("max_tokens", 64)), seed=0, limit=None,
        )  # fmt: skip
        samples = [
            SampleLine(
                item.id, item.prompt, "text", float(one), (bool(one),), item.checks, item.group, item.target
            )
            for item, one in zip(items, right, strict=True)
        ]
        found = Found(samples, "inspect-ai 1", 2.5)
        return self.results.file(job or self.jobs, ada, repo, planned, items, found)


@pytest.fixture
def shelf(hub: Hub) -> Shelf:
    return Shelf(hub)


def test_a_job_files_one_result_with_its_log(shelf: Shelf) -> None:
    model = shelf.repo("ada/m")
    row = shelf.file(model, [1, 0] * 10, job=7)
    assert shelf.file(model, [1, 0] * 10, job=7).id == row.id
    (found,) = shelf.results.of(ANONYMOUS, model)
    assert (found.row.n, found.row.score, found.row.scores) == (20, 0.5, "10" * 10)
    assert found.row.low < 0.5 < found.row.high
    assert found.row.groups["level 1"]["n"] == 4
    assert [sample.score for sample in shelf.results.samples(ANONYMOUS, found)] == [1.0, 0.0] * 10


def test_what_may_not_be_seen_is_not_there(shelf: Shelf) -> None:
    ada, bob = shelf.people["ada"], shelf.people["bob"]
    hidden, shown = shelf.repo("ada/hidden", private=True), shelf.repo("ada/shown")
    data = shelf.repo("ada/data", type=RepoType.DATASET, private=True)
    private, on_private_data = shelf.file(hidden, [1] * 4), shelf.file(shown, [1] * 4, dataset=data)
    public = shelf.file(shown, [1, 1, 1, 0])
    assert [one.row.id for one in shelf.results.of(bob, shown)] == [public.id]
    assert [one.row.id for one in shelf.results.of(ada, shown)] == [public.id, on_private_data.id]
    for number in (private.id, on_private_data.id, 999):
        with pytest.raises(NotFound, match=f"There is no evaluation {number}"):
            shelf.results.get(bob, number)
    with pytest.raises(RepoNotFound):
        shelf.results.of(bob, hidden)
    with pytest.raises(NotFound):
        shelf.results.get_of(ada, shown, private.id)
    with pytest.raises(NotFound):
        shelf.results.compare(bob, public.id, private.id)
    assert "datasets/ada/data" in shelf.results.suites(ada)
    assert shelf.results.suites(bob) == list(SUITES)
    (board,) = shelf.results.boards(bob, "arithmetic")
    assert [line.result.row.id for line in board.lines] == [public.id]
    assert shelf.results.boards(bob, "datasets/ada/data") == []


def test_answers_are_for_those_who_may_read_model_and_dataset(shelf: Shelf) -> None:
    bob = shelf.people["bob"]
    gated, model = shelf.repo("ada/gated", gated="manual"), shelf.repo("ada/open")
    data = shelf.repo("ada/gated-data", type=RepoType.DATASET, gated="manual")
    for row in (shelf.file(gated, [1, 0]), shelf.file(model, [1, 0], dataset=data)):
        found = shelf.results.get(bob, row.id)
        assert found.row.score == 0.5
        with pytest.raises(GatedRepo):
            shelf.results.open_log(bob, found)
        assert len(shelf.results.samples(shelf.people["ada"], found)) == 2


def test_a_board_ranks_what_was_asked_alike(shelf: Shelf) -> None:
    good, near, bad = (shelf.repo(f"ada/{name}") for name in ("good", "near", "bad"))
    shelf.file(good, [0] * 60)  # an older result of the same questions gives way
    shelf.file(good, [1] * 50 + [0] * 10)
    shelf.file(near, [0] + [1] * 48 + [0] * 11)
    shelf.file(bad, [1] * 10 + [0] * 50)
    shelf.file(bad, [1] * 60, max_tokens=128)
    first, second = shelf.results.boards(ANONYMOUS, "arithmetic")
    assert [(line.place, line.result.model, line.level_with_best) for line in first.lines] == [
        (1, "ada/good", True),
        (2, "ada/near", True),
        (3, "ada/bad", False),
    ]
    assert [line.result.model for line in second.lines] == ["ada/bad"]
    difference = first.lines[2].difference
    assert difference is not None
    assert difference.low < -40 / 60 < difference.high < 0


def test_a_board_that_is_shown_again_is_not_resampled_again(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    resampled = []

    def counted(*sides: Any, **settings: Any) -> Any:
        resampled.append(sides)
        return paired_difference(*sides, **settings)

    monkeypatch.setattr(figures, "paired_difference", counted)
    items = 41 if shelf.hub.database.is_sqlite else 43  # of no other test that may run in this process
    for name, right in (("a", 37), ("b", 29), ("c", 13)):
        shelf.file(shelf.repo(f"ada/{name}"), [1] * right + [0] * (items - right))
    (first,) = shelf.results.boards(ANONYMOUS, "arithmetic")
    assert len(resampled) == 2
    (again,) = shelf.results.boards(shelf.people["bob"], "arithmetic")
    assert (len(resampled), again.lines) == (2, first.lines)


def test_equal_scores_share_a_place(shelf: Shelf) -> None:
    for name in ("a", "b"):
        shelf.file(shelf.repo(f"ada/{name}"), [1, 0, 1])
    shelf.file(shelf.repo("ada/c"), [0, 0, 1])
    (board,) = shelf.results.boards(ANONYMOUS, "arithmetic")
    assert [line.place for line in board.lines] == [1, 1, 3]


def test_other_questions_are_not_compared(shelf: Shelf) -> None:
    model = shelf.repo("ada/m")
    one, two = shelf.file(model, [1, 0, 1]), shelf.file(model, [1, 0])
    with pytest.raises(Invalid, match="different questions"):
        shelf.results.compare(ANONYMOUS, one.id, two.id)


def test_a_card_takes_a_result_from_those_who_may_write(shelf: Shelf) -> None:
    ada, bob = shelf.people["ada"], shelf.people["bob"]
    model = shelf.repo("ada/m")
    row = shelf.file(model, [1, 0, 1, 1])
    with pytest.raises(Forbidden):
        shelf.results.write_card(bob, model, row.id, BASE)
    commit = shelf.results.write_card(ada, model, row.id, BASE)
    assert shelf.results.write_card(ada, model, row.id, BASE) == commit  # it says so already
    file = shelf.hub.reading.file(ada, model, "main/README.md")
    assert file.data is not None
    (read,) = ModelCard(file.data.decode()).data.eval_results or []
    assert (read.metric_value, read.dataset_name) == (0.75, "Seedstock Arithmetic reasoning")
    again = shelf.file(model, [0, 0, 1, 1])
    shelf.results.write_card(ada, model, again.id, BASE)
    file = shelf.hub.reading.file(ada, model, "main/README.md")
    assert file.data is not None
    (read,) = ModelCard(file.data.decode()).data.eval_results or []
    assert read.metric_value == 0.5  # the same questions: the newer result takes the place


def test_who_may_ask(shelf: Shelf) -> None:
    model = shelf.repo("ada/m", private=True)
    ask, request = shelf.hub.evaluations.plan, Request("arithmetic")
    with pytest.raises(Unauthenticated):
        ask(ANONYMOUS, model, request)
    with pytest.raises(RepoNotFound):
        ask(shelf.people["bob"], model, request)
    reader = shelf.hub.accounts.viewer_for_token(shelf.hub.accounts.create_token("ada", role=TokenRole.READ))
    with pytest.raises(Forbidden):
        ask(reader, model, request)
    with pytest.raises(NotFound):  # nothing to run in it
        ask(shelf.people["ada"], model, request)
    assert Action.DOWNLOAD < Action.WRITE


def test_a_dataset_is_named_like_a_suite() -> None:
    assert dataset_of("arithmetic") is None
    assert dataset_of("datasets/ada/q@v1") == (RepoId(RepoType.DATASET, "ada", "q"), "v1")
    assert dataset_of("ada/q") == (RepoId(RepoType.DATASET, "ada", "q"), "main")
    for wrong in ("datasets/ada", "a/b/c", "/x", "ada/"):
        with pytest.raises(Invalid):
            dataset_of(wrong)


def test_pages_and_api_say_the_same(shelf: Shelf) -> None:
    model, other = shelf.repo("ada/m"), shelf.repo("ada/other", private=True)
    row = shelf.file(model, [1, 0] * 15)
    shelf.file(other, [1] * 30)
    with TestClient(build_app(shelf.hub), base_url=BASE) as client:
        found = client.get("/api/models/ada/m/evaluations").json()
        assert [(one["id"], one["score"]) for one in found] == [(row.id, 0.5)]
        log = client.get(f"/api/models/ada/m/evaluations/{row.id}/samples")
        assert len([msgspec.json.decode(line) for line in log.content.splitlines()]) == 30
        board = client.get("/api/leaderboard").json()
        assert [one["repo"] for one in board["boards"][0]["models"]] == ["ada/m"]
        html = {"accept": "text/html"}
        page = client.get("/leaderboard", headers=html).text
        assert "ada/m" in page
        assert "ada/other" not in page
        page = client.get(f"/ada/m/evaluation?result={row.id}&show=wrong&from=5", headers=html).text
        assert page.count("answer-prompt") == 10
        assert client.get("/ada/m/evaluation?result=999", headers=html).status_code == 404
        assert client.get("/ada/other/evaluation", headers=html).status_code == 404
        assert client.get("/leaderboard?suite=%27&board=%27", headers=html).status_code == 200
        assert client.get("/leaderboard?suite=%00", headers=html).status_code in {200, 400}
        assert client.get("/api/evaluations/compare?a=1").status_code == 400
        assert client.get("/api/evaluations/compare?a=99999999999999999999&b=1").status_code == 404
        ada = {"Authorization": f"Bearer {shelf.tokens['ada']}"}
        for body in (
            {},
            {"suite": "x" * 500},
            {"suite": "arithmetic", "limit": 0},
            {"suite": "arithmetic", "seed": -1},
            {"suite": "arithmetic", "file": "a@b"},
            {"suite": "arithmetic", "file": "a\0"},
        ):
            assert client.post("/api/models/ada/m/evaluate", json=body, headers=ada).status_code == 400
        assert client.post("/api/models/ada/m/evaluate", json={"suite": "arithmetic"}).status_code == 401


def test_a_hub_without_the_library_says_what_to_install(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(process.importlib.util, "find_spec", lambda _name: None)
    with pytest.raises(Invalid) as error:
        shelf.hub.evaluations.start(shelf.people["ada"], shelf.repo("ada/m"), Request("arithmetic"), BASE)
    assert error.value.hint == "its operator installs `pip install 'seedstock[eval]'`"


def test_a_log_that_is_too_large_to_show_is_for_downloading(
    shelf: Shelf, monkeypatch: pytest.MonkeyPatch
) -> None:
    row = shelf.file(shelf.repo("ada/m"), [1, 0] * 5)
    monkeypatch.setattr(results, "MOST_READ_BYTES", row.log_bytes - 1)
    with TestClient(build_app(shelf.hub), base_url=BASE) as client:
        page = client.get(f"/ada/m/evaluation?result={row.id}", headers={"accept": "text/html"}).text
        assert "answer-prompt" not in page
        assert "the download has all of them" in page
        log = client.get(f"/api/models/ada/m/evaluations/{row.id}/samples")
        assert len(log.content) == row.log_bytes == int(log.headers["content-length"])
