"""Results on models that run elsewhere: who sees them, what becomes of them, how they are ranked. On both databases."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec
import pytest
from httpx import Response
from starlette.testclient import TestClient

from seedstock.core.errors import Forbidden, Invalid, NotFound, Unauthenticated
from seedstock.core.names import RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.db.evaluations import EvaluationRow
from seedstock.evaluation.catalogue import SUITES
from seedstock.evaluation.estimate import estimate
from seedstock.evaluation.items import SampleLine
from seedstock.evaluation.request import Request
from seedstock.evaluation.run import Found, endpoint_of
from seedstock.http.app import build_app
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Put
from seedstock.remotes.remote import Change, NewRemote
from seedstock.run.remote.upstream import ApiKind, RemoteName
from seedstock.wiring import Hub
from tests.unit.evaluation.test_results import BASE, Shelf

KEY = "sk-of-the-rack-0123456789"
BIG = RemoteName("rack", "org/big")


class Rack(Shelf):
    """A hub with a remote that ada alone may use, and results on its models."""

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        hub.accounts.create_user("root", admin=True)
        self.root = hub.accounts.viewer_for_job("root")
        self.add("rack")

    def add(self, name: str, kind: ApiKind = ApiKind.OPENAI, *, accounts: Sequence[str] = ("ada",)) -> None:
        new = NewRemote(name, kind, "http://127.0.0.1:9/v1", KEY, ["org/big", "small"], list(accounts))
        self.hub.remotes.add(self.root, new)

    def remote(self, right: Sequence[int], model: RemoteName = BIG, *, called: str = "") -> EvaluationRow:
        ada, request = self.people["ada"], Request("arithmetic", limit=len(right))
        plan = self.hub.evaluations.plan(ada, model, request)
        items = SUITES["arithmetic"].generate(0, len(right))
        samples = [
            SampleLine(
                item.id, item.prompt, "text", float(one), (bool(one),), item.checks, answered_as=called
            )
            for item, one in zip(items, right, strict=True)
        ]
        self.jobs += 1
        return self.results.file(self.jobs, ada, None, plan, items, Found(samples, "inspect-ai 1", 1.0))

    def change(self, **change: object) -> None:
        self.hub.remotes.change(self.root, "rack", Change(**change))  # type: ignore[arg-type]

    def seen_by(self, viewer: Viewer) -> list[int]:
        boards = self.results.boards(viewer, "arithmetic")
        return sorted(line.result.row.id for board in boards for line in board.lines)


@pytest.fixture
def rack(hub: Hub) -> Rack:
    return Rack(hub)


def test_what_is_filed_is_what_can_be_known(rack: Rack) -> None:
    before = rack.hub.remotes.offer(rack.people["ada"], "remote/rack/org/big").revision
    row = rack.remote([1, 0, 1, 1], called="big-2026-11-01")
    assert (row.repo_id, row.commit, row.file, row.remote_model) == (None, None, None, "org/big")
    assert row.closed == {"kind": "openai", "revisions": [before], "answered_as": ["big-2026-11-01"]}
    (found,) = rack.results.of(rack.people["ada"], BIG)
    assert (found.model, found.closed, found.address) == ("remote/rack/org/big", True, "/remote/rack/org/big")
    assert [sample.score for sample in rack.results.samples(rack.people["ada"], found)] == [1, 0, 1, 1]


def test_who_may_not_ask_a_model_sees_no_result_on_it(rack: Rack) -> None:
    ada, bob = rack.people["ada"], rack.people["bob"]
    row = rack.remote([1, 0, 1, 1])
    assert (rack.seen_by(ada), rack.seen_by(bob), rack.seen_by(ANONYMOUS)) == ([row.id], [], [])
    for viewer in (bob, ANONYMOUS):
        with pytest.raises(NotFound, match=f"There is no evaluation {row.id}"):
            rack.results.get(viewer, row.id)
        with pytest.raises((NotFound, Unauthenticated)):
            rack.results.of(viewer, BIG)
    narrow = rack.hub.accounts.create_token("ada", role=TokenRole.FINE_GRAINED, scopes=[])
    assert rack.seen_by(rack.hub.accounts.viewer_for_token(narrow)) == []
    rack.change(accounts=None)
    assert rack.seen_by(bob) == [row.id]
    rack.change(models=["small"])
    assert rack.seen_by(bob) == []
    rack.change(models=None)
    assert rack.seen_by(bob) == [row.id]
    rack.hub.remotes.enabled = False
    assert rack.seen_by(ada) == []


def test_a_remote_of_the_same_name_does_not_inherit_results(rack: Rack) -> None:
    rack.remote([1, 0, 1, 1])
    rack.hub.remotes.remove(rack.root, "rack")
    rack.add("rack", accounts=("ada", "bob"))
    assert rack.results.of(rack.people["bob"], BIG) == []
    assert rack.seen_by(rack.root) == []


def test_it_is_ranked_among_the_models_of_the_hub(rack: Rack) -> None:
    ada, model = rack.people["ada"], rack.repo("ada/m")
    rack.remote([0] * 30)  # older, and gives way
    rack.remote([1] * 25 + [0] * 5)
    rack.remote([1] * 5 + [0] * 25, RemoteName("rack", "small"))
    digest = rack.results.boards(ada, "arithmetic")[0].lines[0].result.row
    rack.file(
        model, [1] * 24 + [0] * 6, digest=digest.suite_digest, max_tokens=SUITES["arithmetic"].max_tokens
    )
    (board,) = rack.results.boards(ada, "arithmetic")
    assert [(line.result.model, line.level_with_best) for line in board.lines] == [
        ("remote/rack/org/big", True),
        ("ada/m", True),
        ("remote/rack/small", False),
    ]
    (board,) = rack.results.boards(ANONYMOUS, "arithmetic")
    assert [line.result.model for line in board.lines] == ["ada/m"]


def test_settings_that_changed_meanwhile_are_both_named(rack: Rack) -> None:
    ada, items = rack.people["ada"], SUITES["arithmetic"].generate(0, 1)
    plan = rack.hub.evaluations.plan(ada, BIG, Request("arithmetic", limit=1))
    rack.change(accounts=["ada", "bob"])
    samples = [SampleLine(items[0].id, "", "", 1.0, (True,))]
    row = rack.results.file(9, ada, None, plan, items, Found(samples, "inspect-ai 1", 1.0))
    assert plan.closed is not None
    assert row.closed is not None
    assert row.closed["revisions"][0] == plan.closed.revision < row.closed["revisions"][1]


def test_who_may_ask_for_one_and_for_what(rack: Rack) -> None:
    ada, bob = rack.people["ada"], rack.people["bob"]
    plan, request = rack.hub.evaluations.plan, Request("arithmetic")
    with pytest.raises(Unauthenticated):
        plan(ANONYMOUS, BIG, request)
    for viewer, model in (
        (bob, BIG),
        (ada, RemoteName("rack", "absent")),
        (ada, RemoteName("rock", "small")),
    ):
        with pytest.raises(NotFound, match="does not exist or cannot be run"):
            plan(viewer, model, request)
    reader = rack.hub.accounts.viewer_for_token(rack.hub.accounts.create_token("ada", role=TokenRole.READ))
    with pytest.raises(Forbidden):
        plan(reader, BIG, request)
    for wrong in ({"write_card": True}, {"file": "Q4_K_M"}, {"revision": "v1"}):
        with pytest.raises(Invalid, match="runs elsewhere"):
            plan(ada, BIG, Request("arithmetic", **wrong))  # type: ignore[arg-type]
    with pytest.raises(Invalid, match="no card"):
        rack.results.write_card(ada, BIG, rack.remote([1, 0]).id, BASE)


def test_what_is_sent_is_what_the_api_takes(rack: Rack) -> None:
    ada, plan = rack.people["ada"], rack.hub.evaluations.plan
    rack.add("claude", ApiKind.ANTHROPIC)
    request = Request("arithmetic", limit=3)
    assert endpoint_of("", plan(ada, BIG, request)).sampling.parameters == {
        "max_tokens": 384, "temperature": 0, "top_p": 1, "seed": 0,
    }  # fmt: skip
    there = plan(ada, RemoteName("claude", "small"), request)
    assert endpoint_of("", there).sampling.parameters == {"max_tokens": 384, "temperature": 0}
    assert there.sampling.digest == plan(ada, BIG, request).sampling.digest, "ranked together"
    own = plan(ada, BIG, Request("arithmetic", limit=3, sampling="own", max_tokens=900))
    assert endpoint_of("", own).sampling.parameters == {"max_completion_tokens": 900}
    assert own.sampling.digest != there.sampling.digest
    assert (estimate(own).requests, estimate(own).answer_tokens) == (4, 3600)


@pytest.mark.parametrize("database_url", ["sqlite"], indirect=True)
def test_an_estimate_counts_the_rows_of_a_dataset(rack: Rack) -> None:
    ada, words = rack.people["ada"], [f"{'very ' * number}long" for number in range(40)]
    data = rack.repo("ada/questions", type=RepoType.DATASET, private=True)

    def publish(rows: list[dict[str, object]]) -> None:
        row, ref = rack.hub.writing.begin(ada, data, "main")
        files = {
            "eval.yaml": b"prompt: 'Say {word}.'\nanswer: word\nmax_tokens: 50\n",
            "test.jsonl": b"".join(msgspec.json.encode(one) + b"\n" for one in rows),
        }
        oids = rack.hub.writing.store_blobs(row, list(files.values()))
        puts = [Put(path, oid) for path, oid in zip(files, oids, strict=True)]
        rack.hub.writing.commit(ada, row, ref, CommitMessage("rows"), puts)

    publish([{"word": word} for word in words])
    address, headers = "/api/models/remote/rack/small", {"Authorization": f"Bearer {rack.tokens['ada']}"}
    with TestClient(build_app(rack.hub), base_url=BASE) as client:

        def asked(**more: object) -> Response:
            body = {"suite": "datasets/ada/questions", **more}
            return client.post(f"{address}/evaluate?dry_run=true", json=body, headers=headers)

        found = asked().json()["estimate"]
        size_bytes = sum(len(f"Say {word}.") for word in words)
        assert (found["requests"], found["answer_tokens"]) == (41, 41 * 50)
        assert found["prompt_tokens"] == size_bytes // 4
        assert f"about {size_bytes // 4:,} tokens to read" in found["text"]
        some = asked(limit=3).json()["estimate"]
        assert (some["requests"], 0 < some["prompt_tokens"] < size_bytes // 8) == (4, True)
        publish([{"word": "one"}, {"word": None}])
        refused = asked()
        assert (refused.status_code, "test.jsonl" in refused.json()["error"]) == (400, True)


def test_pages_and_api_name_it_by_its_id(rack: Rack) -> None:
    row = rack.remote([1, 0] * 15, called="big-2026-11-01")
    ada = {"Authorization": f"Bearer {rack.tokens['ada']}"}
    bob = {"Authorization": f"Bearer {rack.tokens['bob']}"}
    address, html = "/api/models/remote/rack/org/big", {"accept": "text/html"}
    with TestClient(build_app(rack.hub), base_url=BASE) as client:
        found = client.get(f"{address}/evaluations/{row.id}", headers=ada)
        assert found.json()["remote"]["answeredAs"] == ["big-2026-11-01"]
        assert (
            "big-2026-11-01" in client.get(f"/remote/rack/org/big?result={row.id}", headers=ada | html).text
        )
        page = client.get("/leaderboard", headers=ada | html).text
        assert "remote/rack/org/big</a>" in page
        assert "closed</span>" in page
        assert "runs elsewhere</span>" in page
        for path in ("/evaluations", f"/evaluations/{row.id}", f"/evaluations/{row.id}/samples"):
            assert client.get(address + path, headers=ada).status_code == 200
            assert client.get(address + path, headers=bob).status_code == 404
        assert (
            client.get(f"/api/models/remote/rack/small/evaluations/{row.id}", headers=ada).status_code == 404
        )
        assert client.get("/remote/rack/org/big", headers=bob | html).status_code == 404
        assert client.post(f"{address}/evaluations/{row.id}/card", headers=ada).status_code == 400
        body = {"suite": "arithmetic", "write_card": True}
        refused = client.post(f"{address}/evaluate?dry_run=true", json=body, headers=ada)
        assert (refused.status_code, "no card" in refused.json()["error"]) == (400, True)
        assert KEY not in page + found.text
