"""What is asked of training and replication in bad faith is refused with a word; what is another's does not exist."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st
from starlette.testclient import TestClient

from seedstock.adapt.methods import METHODS
from seedstock.adapt.spec import AdaptSpec
from seedstock.core.viewer import TokenRole
from seedstock.http.app import build_app
from seedstock.settings import load
from seedstock.wiring import Hub, open_hub
from tests.factories.tiny_llama import write_model
from tests.unit.adapt.stages import conversations
from tests.unit.recipes.samples import pinned
from tests.unit.variants.conftest import Nursery

VALID: dict[str, Any] = {"method": "sft", "base": "ada/base", "data": "ada/rows", "publish": "ada/new"}
DEEP: Any = 0
for _ in range(300):
    DEEP = [DEEP]

# Header values are Latin-1, which the test client alone cannot read.
_CHARACTERS = st.characters(exclude_characters="".join(map(chr, range(0x80, 0x100))))
_ODD = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([-1, 0, 2**31, 2**53, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400]),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(_CHARACTERS, max_size=20),
    st.sampled_from(["\0", "a/b\0", "../..", "ada/base@\0", "x" * 20_000, "ada/" + "y" * 300, "ada/base@" + "z" * 300]),
    st.just(DEEP),
)  # fmt: skip
_JSON = st.recursive(
    _ODD,
    lambda inner: (
        st.lists(inner, max_size=4) | st.dictionaries(st.text(_CHARACTERS, max_size=8), inner, max_size=4)
    ),
    max_leaves=6,
)
_SETTINGS = sorted({name for method in METHODS.values() for name in method.__struct_fields__})
_CHANGES = st.fixed_dictionaries(
    {},
    optional={name: _JSON for name in AdaptSpec.__struct_fields__ if name not in {"method", "settings"}}
    | {
        "method": st.sampled_from(sorted(METHODS)) | _JSON,
        "settings": st.dictionaries(st.sampled_from(_SETTINGS), _JSON, max_size=3) | _JSON,
    },
)
_REPLICATION = st.fixed_dictionaries(
    {},
    optional=dict.fromkeys(
        ("revision", "stage", "seeds", "seed", "threads", "smoke", "priority", "x"), _JSON
    ),
)


class Place:
    """A hub without workers: what is queued stays so."""

    def __init__(self, hub: Hub, base: Path) -> None:
        self.hub = hub
        self.nursery = Nursery(hub)
        self.nursery.publish_folder("ada/base", base)
        self.nursery.publish_rows("ada/rows", conversations(8))
        self.nursery.publish("ada/shut", b"x" * 9, private=True)
        self.nursery.publish("ada/made", b"x" * 9, files={"recipe.toml": pinned().encode()})
        self.app = build_app(hub)

    def client(self, name: str) -> TestClient:
        """As one of the people."""
        token = self.hub.accounts.create_token(name, role=TokenRole.WRITE)
        return TestClient(self.app, headers={"Authorization": f"Bearer {token}"})


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    folder = tmp_path_factory.mktemp("place")
    write_model(folder / "base")
    hub = open_hub(load({}, data=folder / "data"))
    yield Place(hub, folder / "base")
    hub.close()


@pytest.fixture(scope="module")
def ada(place: Place) -> TestClient:
    return place.client("ada")


def _ask(client: TestClient, path: str, document: Any) -> int | None:
    """Send JSON; the job if it was taken, else None after the refusal was looked at."""
    body = json.dumps(document).encode()
    answer = client.post(path, content=body, headers={"Content-Type": "application/json"})
    if answer.status_code == 202:
        number = int(answer.json()["job"])
        assert client.post(f"/api/jobs/{number}/cancel").status_code == 200
        return number
    assert 400 <= answer.status_code < 500, (document, answer.status_code, answer.text[:500])
    said = answer.json()["error"]
    assert said
    assert len(said) < 2000, said
    assert "Traceback" not in answer.text
    return None


_FUZZ = settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow])


@_FUZZ
@given(_CHANGES)
@example({})
@example({"seed": 10**400})
@example({"settings": {"steps": 10**400}})
@example({"settings": {"epochs": 1e308, "batch_size": 10**30}})
@example({"note": "\ud800"})
@example({"base": {"repo": "ada/base", "revision": "\0"}})
@example({"data": [{"repo": "ada/rows", "files": ["*" * 500 + "a"]}]})
@example({"data": ["ada/rows"] * 17})
def test_hostile_wishes_for_variants_are_refused_with_a_word(
    ada: TestClient, changes: dict[str, Any]
) -> None:
    _ask(ada, "/api/adapt", VALID | changes)


@_FUZZ
@given(_JSON)
def test_any_json_at_all_is_answered(ada: TestClient, document: Any) -> None:
    assert _ask(ada, "/api/adapt", document) is None
    assert _ask(ada, "/api/models/ada/base/replicate", document) is None


@_FUZZ
@given(_REPLICATION)
@example({"revision": "\ud800"})
@example({"seeds": 16})
@example({"stage": "sft", "smoke": True, "seed": 10**30})
def test_hostile_replications_are_refused_with_a_word(ada: TestClient, document: dict[str, Any]) -> None:
    assert _ask(ada, "/api/models/ada/base/replicate", document) is None  # it has no recipe
    _ask(ada, "/api/models/ada/made/replicate", document)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"seed": -1}, "seed"),
        ({"seed": 1 << 32}, "seed"),
        ({"settings": {"steps": 10**400}}, "steps"),
        ({"settings": {"epochs": 1e308}}, "epochs"),
        ({"settings": {"batch_size": 10**30}}, "batch_size"),
        ({"settings": {"lora": {"r": 0}}}, "lora.r"),
        ({"gguf": "Q9_9", "publish_as": "merged"}, "Q9_9"),
        ({"threads": 4096}, "threads"),
    ],
)
def test_numbers_and_names_beyond_reason_are_refused_before_a_job_starts(
    ada: TestClient, changes: dict[str, Any], words: str
) -> None:
    for query in ("", "?dry_run=true"):
        answer = ada.post(f"/api/adapt{query}", json=VALID | changes)
        assert answer.status_code == 400
        assert words in answer.json()["error"]


def test_the_largest_numbers_that_pass_are_estimated(ada: TestClient) -> None:
    most = 1 << 53
    settings = {"steps": most, "batch_size": most, "max_length": most, "lora": {"r": most}}
    answer = ada.post("/api/adapt?dry_run=true", json=VALID | {"settings": settings})
    assert answer.status_code == 200, answer.text
    assert answer.json()["estimate"]["fits"] is False


def test_jobs_of_others_are_neither_seen_nor_stopped(place: Place, ada: TestClient) -> None:
    number = int(ada.post("/api/adapt", json=VALID).json()["job"])
    bob = place.client("bob")
    for method, path in (
        ("GET", f"/api/jobs/{number}"),
        ("GET", f"/api/jobs/{number}/log"),
        ("GET", f"/api/jobs/{number}/events"),
        ("POST", f"/api/jobs/{number}/cancel"),
        ("POST", f"/api/jobs/{number}/retry"),
    ):
        foreign = bob.request(method, path)
        absent = bob.request(method, path.replace(str(number), "999999"))
        assert foreign.status_code == absent.status_code == 404
        assert foreign.text.replace(str(number), "N") == absent.text.replace("999999", "N")
    assert number not in [job["id"] for job in bob.get("/api/jobs").json()]
    assert ada.get(f"/api/jobs/{number}").json()["state"] == "queued"
    assert ada.post(f"/api/jobs/{number}/cancel").status_code == 200


def test_a_private_base_is_as_absent_to_others(place: Place) -> None:
    bob = place.client("bob")
    for query in ("", "?dry_run=true"):
        said = []
        for name in ("ada/shut", "ada/none"):
            answer = bob.post(f"/api/adapt{query}", json=VALID | {"base": name, "publish": "bob/new"})
            said.append((answer.status_code, answer.text.replace(name, "it")))
        assert said[0] == said[1]
        assert said[0][0] == 404
    for path in ("replicate", "replications"):
        method = "POST" if path == "replicate" else "GET"
        shut, none = (
            bob.request(method, f"/api/models/ada/{name}/{path}", json={} if method == "POST" else None)
            for name in ("shut", "none")
        )
        assert shut.status_code == none.status_code == 404
        assert shut.text.replace("shut", "it") == none.text.replace("none", "it")
    assert TestClient(place.app).post("/api/adapt", json=VALID).status_code == 401
