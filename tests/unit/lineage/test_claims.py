"""Claims that the weights do not support: none may read as verified."""

from __future__ import annotations

import pytest

from seedstock.core.names import RepoId, RepoType
from seedstock.lineage import analyst
from tests.factories.toy_models import fine_tuned, toy_llama
from tests.unit.lineage.conftest import Family
from tests.unit.lineage.test_analysis import card, edges

BASE = toy_llama(1, layers=8)
CUT = {name: value for name, value in BASE.items() if ".layers." not in name or int(name.split(".")[2]) < 5}


def test_a_model_that_is_made_longer_later_is_not_its_parent(family: Family) -> None:
    """Whoever adds layers, or noise below the step of a quantised model, forges what it would have come from."""
    forged = BASE
    family.publish("ada/model", CUT)
    family.settle()
    family.publish("bob/forged", forged)
    family.settle()
    assert edges(family, "ada/model") == {"bob/forged": ("relative", None, "derived")}
    assert family.lineage("ada/model").foundations == []
    assert family.lineage("bob/forged").repo.children == 0
    family.publish("ada/model", None, "A new card says nothing new of the order.")
    family.settle()
    assert family.lineage("ada/model").foundations == []


def test_copies_of_a_child_do_not_make_a_merge(family: Family) -> None:
    """A model is no merge of what was made from it."""
    one = {
        name: value for name, value in BASE.items() if ".layers." not in name or int(name.split(".")[2]) < 7
    }
    family.publish("bob/cut5", CUT)
    family.publish("bob/cut7", one)
    family.publish("bob/again", BASE)
    family.publish("ada/whole", BASE)
    family.settle()
    kinds = {edge.name: edge.tie.edge.kind for edge in family.lineage("ada/whole").edges}
    assert "merge" not in kinds.values(), kinds


def test_the_record_names_the_files_that_were_compared(family: Family) -> None:
    other = toy_llama(7)
    family.publish("ada/both", BASE, path="a.safetensors")
    family.publish("ada/both", other, path="z/other.safetensors")
    family.publish("bob/copy", other)
    family.settle()
    [edge] = family.lineage("bob/copy").edges
    found = family.hub.lineage.evidence(family.people["bob"], RepoId(RepoType.MODEL, "bob", "copy"), edge.id)
    assert found.edge.verdict == "identical"
    assert found.evidence["files"]["other"].keys() == {"z/other.safetensors"}
    assert {*found.evidence["files"]["other"].values()} == {*found.evidence["files"]["this"].values()}


def test_files_that_were_not_even_looked_at_are_counted(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(analyst, "MAX_SETS", 1)
    family.publish("ada/base", BASE)
    family.publish("ada/many", fine_tuned(BASE, 2), card("ada/base"))
    family.publish("ada/many", toy_llama(7), card("ada/base"), path="z/other.safetensors")
    family.settle()
    [edge] = family.lineage("ada/many").edges
    found = family.hub.lineage.evidence(family.people["ada"], RepoId(RepoType.MODEL, "ada", "many"), edge.id)
    assert found.evidence["weight_files"] == {"compared": 1, "agreeing": 1, "left_out": 1}
