"""Battles: who may begin them, what is hidden until the vote, one vote each, and whose votes make the table."""

from __future__ import annotations

import itertools
from collections import Counter

import pytest
from starlette.testclient import TestClient

from seedstock.arena import service
from seedstock.arena.service import Arena, Battle, hide_names
from seedstock.chats.service import ChatSettings
from seedstock.core.errors import (
    Conflict,
    Forbidden,
    GatedRepo,
    HubError,
    Invalid,
    LimitExceeded,
    ModelNotRunnable,
    NotFound,
    RepoNotFound,
    TooLarge,
    Unauthenticated,
)
from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import ANONYMOUS, TokenRole, Viewer
from seedstock.http.app import build_app
from seedstock.hub.repos import RepoSettings
from seedstock.wiring import Hub
from tests.factories.hf_model import TOKENIZER_CONFIG, config, safetensors_bytes, tokenizer_json, weights
from tests.unit.lineage.conftest import Family

MODELS = ("ada/one", "ada/two", "ada/three")


@pytest.fixture
def family(hub: Hub) -> Family:
    """Three public models of ada's that run, as far as names tell, a private one, and a repo that holds none."""
    import json

    settings = config("llama")
    files = {
        "config.json": json.dumps(settings).encode(),
        "tokenizer.json": tokenizer_json(),
        "tokenizer_config.json": TOKENIZER_CONFIG,
    }
    family = Family(hub)
    for name in (*MODELS, "ada/secret"):
        family.publish(name, safetensors_bytes(weights(settings)), files=files, private=name == "ada/secret")
    family.publish("ada/plain", None, files={"README.md": b"# Nothing"})
    family.index()
    return family


@pytest.fixture
def arena(family: Family) -> Arena:
    return family.hub.arena


def begin(family: Family, who: str, *models: str, blind: bool = True) -> Battle:
    return family.hub.arena.begin(family.people[who], models, "Why?", ChatSettings(), blind=blind)


def answer_all(family: Family, who: str, battle: Battle) -> None:
    for position in range(len(battle.contestants)):
        turn = family.hub.arena.turn(family.people[who], battle.row.key, position)
        family.hub.arena.answered(turn, f"from {position}", {"tokens": 3})


def vote(family: Family, who: str, models: tuple[str, ...], best: str) -> None:
    """Have `best` (a model's name, or a word) win a fresh battle."""
    battle = begin(family, who, *models)
    answer_all(family, who, battle)
    places = {each.model: str(each.position) for each in battle.contestants}
    family.hub.arena.vote(family.people[who], battle.row.key, places.get(best, best))


def api(hub: Hub, name: str) -> TestClient:
    token = hub.accounts.create_token(name, role=TokenRole.WRITE)
    return TestClient(build_app(hub), headers={"authorization": f"Bearer {token}"})


def test_the_order_is_drawn_and_revisions_are_pinned(family: Family) -> None:
    orders = Counter(
        tuple(each.model for each in begin(family, "bob", *MODELS[:2]).contestants) for _ in range(40)
    )
    # Each order has an even chance: fewer than 5 of 40 come once in half a million runs.
    assert min(orders[MODELS[:2]], orders[MODELS[1::-1]]) >= 5
    battle = begin(family, "bob", *MODELS)
    heads = {name: family.hub.models.get(family.people["bob"], name).commit.oid for name in MODELS}
    assert {each.model: each.revision for each in battle.contestants} == heads
    turn = family.hub.arena.turn(family.people["bob"], battle.row.key, 0)
    assert turn.model == f"{battle.contestants[0].model}@{battle.contestants[0].revision}"


@pytest.mark.parametrize(
    ("models", "error"),
    [
        (("ada/one",), Invalid),
        (("ada/one", "ada/one"), Invalid),
        (("ada/one", "ada/one@main"), Invalid),
        ((*MODELS, "ada/one:F16", "ada/two:F16"), Invalid),
        (("ada/one", "no name"), Invalid),
        (("ada/one", "ada/absent"), RepoNotFound),
        (("ada/one", "ada/secret"), RepoNotFound),
        (("ada/one", "ada/plain"), RepoNotFound),
    ],
    ids=["one", "twice", "twice by revision", "five", "no name", "absent", "private", "nothing to run"],
)
def test_only_different_models_that_the_viewer_may_run(
    family: Family, models: tuple[str, ...], error: type[HubError]
) -> None:
    with pytest.raises(error):
        begin(family, "bob", *models)


def test_a_gated_model_is_for_members_and_strangers_begin_nothing(family: Family, arena: Arena) -> None:
    family.hub.repos.change(
        family.people["ada"], RepoId(RepoType.MODEL, "ada", "two"), RepoSettings(gated="manual")
    )
    with pytest.raises(GatedRepo):
        begin(family, "bob", "ada/one", "ada/two")
    with pytest.raises(Unauthenticated):
        arena.begin(ANONYMOUS, MODELS, "Why?", ChatSettings(), blind=True)
    accounts = family.hub.accounts
    reader = accounts.viewer_for_token(accounts.create_token("ada", role=TokenRole.READ))
    with pytest.raises(Forbidden):
        arena.begin(reader, MODELS, "Why?", ChatSettings(), blind=True)


def test_prompts_and_battles_have_limits(
    family: Family, arena: Arena, monkeypatch: pytest.MonkeyPatch
) -> None:
    ada = family.people["ada"]
    for prompt, error in ((" \n", Invalid), ("x" * 70_000, TooLarge)):
        with pytest.raises(error):
            arena.begin(ada, MODELS, prompt, ChatSettings(), blind=True)
    monkeypatch.setattr(service, "MAX_BATTLES", 1)
    begin(family, "ada", *MODELS)
    with pytest.raises(LimitExceeded):
        begin(family, "ada", *MODELS)


def test_names_come_with_the_vote(family: Family) -> None:
    client = api(family.hub, "bob")
    made = client.post("/api/arena/battles", json={"models": MODELS, "prompt": "Why?"}).json()
    path = f"/api/arena/battles/{made['id']}"
    battle = family.hub.arena.get(family.people["bob"], made["id"])
    answer_all(family, "bob", battle)
    for text in (str(made), client.get(path).text):
        assert not any(name in text for name in MODELS)
        assert not any((each.revision or "x") in text for each in battle.contestants)
        assert "tokens" not in text
    shown = client.post(f"{path}/vote", json={"best": "1"}).json()
    assert [each["model"] for each in shown["contestants"]] == [each.model for each in battle.contestants]
    assert shown["contestants"][0]["answers"] == [{"content": "from 0", "tokens": 3}]
    assert client.post(f"{path}/vote", json={"best": "0"}).status_code == 409
    assert client.get(path).json()["best"] == "1"
    assert client.get("/api/arena/votes").json()[0]["id"] == made["id"]
    open_one = client.post("/api/arena/battles", json={"models": MODELS, "prompt": "Why?", "blind": False})
    assert {each["model"] for each in open_one.json()["contestants"]} == set(MODELS)


def test_an_error_says_no_name_before_the_vote(family: Family, arena: Arena) -> None:
    turn = arena.turn(family.people["bob"], begin(family, "bob", *MODELS[:2]).row.key, 0)
    error = ModelNotRunnable("ada/one holds none, alone", hint="publish ada/two:F16, or two, here")
    hide_names(error, turn)
    labels = {each.model: f"Model {'AB'[each.position]}" for each in turn.battle.contestants}
    one, two = labels["ada/one"], labels["ada/two"]
    assert (error.message, error.hint) == (f"{one} holds none, alone", f"publish {two}:F16, or {two}, here")


def test_a_vote_waits_for_every_answer_and_is_one_of_the_choices(family: Family, arena: Arena) -> None:
    bob, battle = family.people["bob"], begin(family, "bob", *MODELS[:2])
    key = battle.row.key
    arena.answered(arena.turn(bob, key, 0), "x", {})
    with pytest.raises(Conflict, match="Model B has not answered yet"):
        arena.vote(bob, key, "0")
    with pytest.raises(Conflict, match="Model B has not answered yet"):
        arena.ask(bob, key, "And?")
    with pytest.raises(Conflict, match="has answered already"):
        arena.turn(bob, key, 0)
    arena.answered(arena.turn(bob, key, 1), "y", {})
    for best in ("2", "-1", "A", "", "none"):
        with pytest.raises(Invalid):
            arena.vote(bob, key, best)
    assert arena.vote(bob, key, "tie").row.outcome == "tie"
    for again in ("tie", "0"):
        with pytest.raises(Conflict, match="voted"):
            arena.vote(bob, key, again)
    with pytest.raises(Conflict):
        arena.ask(bob, key, "And?")


def test_a_model_hears_only_its_own_answers(family: Family, arena: Arena) -> None:
    bob, battle = family.people["bob"], begin(family, "bob", *MODELS[:2])
    answer_all(family, "bob", battle)
    arena.ask(bob, battle.row.key, "And?")
    assert arena.turn(bob, battle.row.key, 1).messages == [
        {"role": "user", "content": "Why?"},
        {"role": "assistant", "content": "from 1"},
        {"role": "user", "content": "And?"},
    ]


def test_battles_of_others_do_not_exist(family: Family, arena: Arena) -> None:
    battle = begin(family, "bob", *MODELS)
    for who, key in (("ada", battle.row.key), ("bob", "0" * 24), ("bob", "\0")):
        viewer: Viewer = family.people[who]
        for act in (
            arena.get,
            lambda v, k: arena.turn(v, k, 0),
            lambda v, k: arena.ask(v, k, "And?"),
            lambda v, k: arena.vote(v, k, "0"),
            arena.delete,
        ):
            with pytest.raises(NotFound, match="There is no such comparison"):
                act(viewer, key)
    assert arena.votes(family.people["ada"], 10, None) == []
    with pytest.raises(NotFound):
        arena.turn(family.people["bob"], battle.row.key, 3)


def test_the_table_counts_blind_votes_on_what_a_viewer_may_see(family: Family, arena: Arena) -> None:
    vote(family, "bob", MODELS[:2], "ada/one")
    vote(family, "ada", ("ada/one", "ada/secret"), "ada/secret")
    battle = begin(family, "bob", *MODELS[:2], blind=False)
    answer_all(family, "bob", battle)
    arena.vote(family.people["bob"], battle.row.key, "0")
    for viewer in (ANONYMOUS, family.people["bob"]):
        table = arena.table(viewer)
        assert table.votes == 1
        assert {row.model: (row.wins, row.losses) for row in table.standings} == {
            "ada/one": (1, 0),
            "ada/two": (0, 1),
        }
    mine = arena.table(family.people["ada"])
    assert mine.votes == 2
    assert {row.model for row in mine.standings} == {"ada/one", "ada/two", "ada/secret"}
    vote(family, "bob", MODELS[:2], "ada/two")
    assert arena.table(ANONYMOUS).votes == 2
    family.hub.repos.move(
        family.people["ada"], RepoId(RepoType.MODEL, "ada", "one"), RepoId(RepoType.MODEL, "ada", "first")
    )
    assert {row.model for row in arena.table(ANONYMOUS).standings} == {"ada/first", "ada/two"}
    family.hub.repos.delete(family.people["ada"], RepoId(RepoType.MODEL, "ada", "first"))
    assert arena.table(ANONYMOUS).standings == []


def test_a_seed_is_for_people_who_are_signed_in(family: Family, arena: Arena) -> None:
    vote(family, "bob", MODELS[:2], "ada/one")
    with pytest.raises(Unauthenticated):
        arena.table(ANONYMOUS, 1)
    assert arena.table(family.people["bob"], 1).seed == 1


def test_a_vote_is_deleted_with_its_battle(family: Family, arena: Arena) -> None:
    vote(family, "bob", MODELS[:2], "bad")
    assert arena.table(ANONYMOUS).votes == 1
    arena.delete(family.people["bob"], arena.votes(family.people["bob"], 1, None)[0].row.key)
    assert arena.table(ANONYMOUS).votes == 0
    assert arena.votes(family.people["bob"], 10, None) == []


def test_votes_are_paged(family: Family) -> None:
    for pair in itertools.combinations(MODELS, 2):
        vote(family, "bob", pair, pair[0])
    client = api(family.hub, "bob")
    first = client.get("/api/arena/votes?limit=2")
    rest = client.get(first.links["next"]["url"])
    ids = [each["id"] for each in first.json() + rest.json()]
    assert len(set(ids)) == len(ids) == 3
    assert "next" not in rest.links
