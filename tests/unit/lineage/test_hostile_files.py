"""Files made to break what reads them: they are their own repo's problem and nobody else's."""

from __future__ import annotations

import json
import struct
from typing import Any

import msgspec
import pytest
from starlette.testclient import TestClient

from seedstock.core.names import RepoId, RepoType
from seedstock.core.viewer import TokenRole
from seedstock.http.app import build_app
from seedstock.weights import compare as comparing
from seedstock.weights.comparison import Comparison
from tests.factories.toy_models import State, fine_tuned, safetensors_bytes, toy_llama
from tests.unit.lineage.conftest import Family
from tests.unit.lineage.test_analysis import card, edges

BASE = toy_llama(1)


def renamed(state: State, suffix: str) -> bytes:
    """The file of a model with one more tensor whose name holds what databases refuse."""
    data = safetensors_bytes(state)
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    body = data[8 + length :]
    header[f"model.layers.0.extra{suffix}"] = {
        "dtype": "F32",
        "shape": [4, 4],
        "data_offsets": [len(body), len(body) + 64],
    }
    raw = json.dumps(header).encode()
    return struct.pack("<Q", len(raw)) + raw + body + b"\1" * 64


@pytest.mark.parametrize("suffix", ["\0", "\ud800", "\U0001f4a5", "x" * 5000])
def test_a_strange_tensor_name_spoils_nobody_elses_analysis(family: Family, suffix: str) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/strange", renamed(fine_tuned(BASE, 2), suffix), card("ada/base"))
    family.publish("bob/copy", renamed(fine_tuned(BASE, 2), suffix))
    family.publish("ada/tuned", fine_tuned(BASE, 3), card("ada/base"))
    family.settle()
    for name in ("ada/base", "ada/tuned", "bob/strange", "bob/copy"):
        assert family.lineage(name).status == "done", (name, family.lineage(name).error)
    assert edges(family, "ada/tuned")["ada/base"] == ("parent", "finetune", "derived")


@pytest.mark.parametrize(
    "files",
    [
        {"adapter_config.json": b"[" * 200_000},
        {"adapter_config.json": b'{"a":' * 50_000},
        {"adapter_config.json": b'{"base_model_name_or_path": ["ada/base"], "revision": {}}'},
        {"adapter_config.json": b'{"base_model_name_or_path": "ada/base\\u0000"}'},
        {"adapter_config.json": b'{"base_model_name_or_path": "ada/base", "revision": "\\ud800"}'},
        {"mergekit_config.yml": b"models: " + b"[" * 20_000},
        {"mergekit_config.yml": b"models: {a: b}\nslices: 5\nbase_model: [1]"},
        {"mergekit_config.yml": b"slices: [{sources: {model: x}}, 7, {sources: [5, {model: [1]}]}]"},
        {"mergekit_config.yml": b"a: &a [x, x]\nb: &b [*a, *a]\nc: &c [*b, *b]\nmodels: *c"},
        {"mergekit_config.yml": b"\xff\xfe\0\0"},
        {"README.md": b"---\nbase_model: " + b"[" * 20_000 + b"\n---\n"},
        {"README.md": b"---\nbase_model:\n- ../../x\n- " + b"a" * 5000 + b"/b\n- 'a/b\0c'\n- {x: 1}\n---\n"},
        {"README.md": b"---\nbase_model:\n" + b"".join(b"- ada/x%d\n" % at for at in range(5000)) + b"---\n"},
    ],
)
def test_strange_declarations_are_passed_over(family: Family, files: dict[str, bytes]) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/strange", fine_tuned(BASE, 2), files=files)
    family.settle()
    found = family.lineage("bob/strange")
    assert found.status == "done", found.error
    assert len(found.edges) <= 34


def test_a_trace_follows_a_repo_that_has_moved(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    family.hub.repos.move(
        family.people["ada"],
        RepoId(RepoType.MODEL, "ada", "tuned"),
        RepoId(RepoType.MODEL, "ada", "renamed"),
    )
    token = family.hub.accounts.create_token("ada", role=TokenRole.READ, name="r")
    web = TestClient(build_app(family.hub), headers={"authorization": f"Bearer {token}"})
    answer = web.post("/api/trace", json={"repo": "ada/tuned"})
    assert answer.status_code == 200, answer.text
    assert [item["repo"] for item in answer.json()["related"]] == ["ada/base"]
    assert "ada/base" in web.get("/trace?repo=ada/tuned").text


def test_figures_that_are_no_numbers_stop_no_analysis(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """PostgreSQL stores none, and no record holds any; whichever weights might lead to one."""
    real = comparing.compare

    def strange(*arguments: Any, **options: Any) -> Comparison:
        figures = {"rho": float("inf"), "bit_distance": float("nan"), "mlp_cosine": [0.5, float("nan")]}
        found = real(*arguments, **options)
        return msgspec.structs.replace(found, statistics={**found.statistics, **figures})

    monkeypatch.setattr(comparing, "compare", strange)
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert edges(family, "ada/tuned")["ada/base"] == ("parent", "finetune", "derived")
    [edge] = family.lineage("ada/tuned").edges
    assert edge.statistics["rho"] > 1e300
    assert "bit_distance" not in edge.statistics
    web = TestClient(build_app(family.hub))
    assert web.get(f"/ada/tuned/evidence/{edge.id}").status_code == 200
