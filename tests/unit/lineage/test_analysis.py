"""From pushed weights to edges with evidence, on both databases."""

from __future__ import annotations

import pytest

from seedstock.core.errors import EntryNotFound
from seedstock.core.names import RepoId, RepoType
from seedstock.hub.repos import RepoSettings
from tests.factories.toy_models import fine_tuned, merged, toy_llama
from tests.unit.lineage.conftest import Family

BASE = toy_llama(1)


def card(base: str, relation: str = "finetune") -> str:
    return f"---\nbase_model: {base}\nbase_model_relation: {relation}\n---\n"


def edges(
    family: Family, name: str, viewer: str | None = "ada"
) -> dict[str, tuple[str, str | None, str | None]]:
    return {
        edge.name: (edge.role, edge.tie.edge.declared, edge.tie.verdict)
        for edge in family.lineage(name, viewer).edges
    }


def test_a_declared_base_is_verified_from_the_weights(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert edges(family, "ada/tuned") == {"ada/base": ("parent", "finetune", "derived")}
    assert edges(family, "ada/base") == {"ada/tuned": ("child", "finetune", "derived")}
    found = family.lineage("ada/tuned")
    assert found.status == "done"
    [root] = found.foundations
    assert (root.name, root.root.declared, root.root.verified) == ("ada/base", True, True)
    assert family.lineage("ada/base").foundations == []
    assert found.repo.lineage == "verified"
    assert family.lineage("ada/base").repo.children == 1


def test_a_false_base_is_contradicted_and_is_no_foundation(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/liar", toy_llama(7), card("ada/base"))
    family.settle()
    assert edges(family, "ada/liar") == {"ada/base": ("parent", "finetune", "contradicted")}
    found = family.lineage("ada/liar")
    assert found.foundations == []
    assert found.repo.lineage == "contradicted"
    assert family.lineage("ada/base").repo.children == 0


def test_an_undeclared_relative_is_found_without_a_direction(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/silent", fine_tuned(BASE, 3))
    family.settle()
    assert edges(family, "bob/silent") == {"ada/base": ("relative", None, "derived")}
    assert edges(family, "ada/base") == {"bob/silent": ("relative", None, "derived")}
    assert family.lineage("bob/silent").foundations == []


def test_a_base_that_comes_later_is_compared_then(family: Family) -> None:
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert edges(family, "ada/tuned") == {"ada/base": ("parent", "finetune", None)}
    [root] = family.lineage("ada/tuned").foundations
    assert (root.name, root.repo, root.root.verified) == ("ada/base", None, False)
    family.publish("ada/base", BASE)
    family.settle()
    assert edges(family, "ada/tuned") == {"ada/base": ("parent", "finetune", "derived")}


def test_unrelated_models_have_no_edge(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/other", toy_llama(9))
    family.settle()
    assert edges(family, "ada/base") == {}
    assert edges(family, "bob/other") == {}


def test_a_copy_under_another_name_is_identical(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/copy", BASE, path="pytorch_model.safetensors")
    family.settle()
    assert edges(family, "bob/copy") == {"ada/base": ("relative", None, "identical")}


def test_a_declared_merge_gets_its_coefficients(family: Family) -> None:
    one, two = fine_tuned(BASE, 2, 0.02), fine_tuned(BASE, 3, 0.02)
    family.publish("ada/base", BASE)
    family.publish("ada/one", one, card("ada/base"))
    family.publish("ada/two", two, card("ada/base"))
    names = "\n- ada/one\n- ada/two"
    family.publish("ada/both", merged([one, two], [0.7, 0.3]), card(names, "merge"))
    family.settle()
    found = {edge.name: edge.tie.edge for edge in family.lineage("ada/both").edges}
    assert found.keys() >= {"ada/one", "ada/two"}
    assert {name: found[name].kind for name in ("ada/one", "ada/two")} == {
        "ada/one": "merge",
        "ada/two": "merge",
    }
    assert found["ada/one"].coefficient == pytest.approx(0.7, abs=0.02)
    assert found["ada/two"].coefficient == pytest.approx(0.3, abs=0.02)


def test_siblings_are_not_shown_as_relatives(family: Family) -> None:
    family.publish("ada/base", BASE)
    for number in range(2, 5):
        family.publish(f"ada/tuned{number}", fine_tuned(BASE, number), card("ada/base"))
    family.settle()
    for number in range(2, 5):
        assert edges(family, f"ada/tuned{number}") == {"ada/base": ("parent", "finetune", "derived")}
    assert family.lineage("ada/base").repo.children == 3


def test_what_a_stranger_may_not_see_is_named_nowhere(family: Family) -> None:
    family.publish("ada/secret", BASE, private=True)
    family.publish("bob/silent", fine_tuned(BASE, 3))
    family.publish("bob/tuned", fine_tuned(BASE, 4), card("ada/secret"))
    family.settle()
    assert edges(family, "bob/silent", "ada") != {}
    for viewer in ("bob", None):
        assert edges(family, "bob/silent", viewer).keys() <= {"bob/tuned"}
        told = family.lineage("bob/tuned", viewer)
        # The card is bob's own text; whether there is such a repo is not said.
        assert {edge.name: (edge.commit, edge.tie.verdict) for edge in told.edges}["ada/secret"] == (
            None,
            None,
        )
        assert [(root.name, root.repo, root.root.verified) for root in told.foundations] == [
            ("ada/secret", None, False)
        ]
    mine = next(edge for edge in family.lineage("bob/silent", "ada").edges if edge.name == "ada/secret")
    with pytest.raises(EntryNotFound):
        family.hub.lineage.evidence(family.people["bob"], RepoId(RepoType.MODEL, "bob", "silent"), mine.id)


def test_weights_that_say_nothing_are_inconclusive(family: Family) -> None:
    broken = {name: value * float("nan") for name, value in BASE.items()}
    family.publish("ada/base", BASE)
    family.publish("ada/broken", broken, card("ada/base"))
    family.publish("ada/junk", b"no weights at all", card("ada/base"))
    family.settle()
    assert edges(family, "ada/broken") == {"ada/base": ("parent", "finetune", "inconclusive")}
    assert edges(family, "ada/junk") == {"ada/base": ("parent", "finetune", "inconclusive")}
    assert family.lineage("ada/junk").status == "done"
    assert family.lineage("ada/broken").repo.lineage == "declared"


def test_bases_that_name_each_other_do_no_harm(family: Family) -> None:
    family.publish("ada/one", BASE, card("ada/two"))
    family.publish("ada/two", fine_tuned(BASE, 2), card("ada/one"))
    family.settle()
    assert edges(family, "ada/one")["ada/two"][2] == "derived"
    assert family.lineage("ada/one").foundations is not None


def test_the_record_names_files_and_is_signed(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    [edge] = family.lineage("ada/tuned").edges
    found = family.hub.lineage.evidence(family.people["ada"], RepoId(RepoType.MODEL, "ada", "tuned"), edge.id)
    assert found.record is not None
    assert found.evidence["files"]["this"].keys() == {"model.safetensors"}
    assert found.evidence["statistics"]
    assert found.evidence["bytes_read"] > 0


def test_a_pruned_models_parent_is_the_one_that_it_was_cut_from(family: Family) -> None:
    """Any fine-tune of the same base is as large; only one of them holds the layers that were kept."""
    base = toy_llama(1, layers=8)
    cut = {
        name: value for name, value in base.items() if ".layers." not in name or int(name.split(".")[2]) < 5
    }
    family.publish("ada/base", base)
    family.publish("ada/tuned", fine_tuned(base, 2), card("ada/base"))
    family.publish("bob/cut", cut)
    family.settle()
    found = edges(family, "bob/cut")
    assert found["ada/base"] == ("parent", None, "derived")
    assert found.get("ada/tuned", ("relative",))[0] == "relative"
    assert [root.name for root in family.lineage("bob/cut").foundations] == ["ada/base"]


def test_without_its_parent_a_pruned_model_has_a_relative_only(family: Family) -> None:
    base = toy_llama(1, layers=8)
    cut = {
        name: value for name, value in base.items() if ".layers." not in name or int(name.split(".")[2]) < 5
    }
    family.publish("ada/tuned", fine_tuned(base, 2))
    family.publish("bob/cut", cut)
    family.settle()
    assert edges(family, "bob/cut") == {"ada/tuned": ("relative", None, "derived")}
    assert family.lineage("bob/cut").foundations == []


def test_a_badge_says_no_more_than_a_stranger_may_know(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert family.lineage("ada/tuned").repo.lineage == "verified"
    base = RepoId(RepoType.MODEL, "ada", "base")
    family.hub.repos.change(family.people["ada"], base, RepoSettings(private=True))
    family.settle()
    assert family.lineage("ada/tuned").repo.lineage == "declared"
    family.hub.repos.change(family.people["ada"], base, RepoSettings(private=False))
    family.settle()
    assert family.lineage("ada/tuned").repo.lineage == "verified"
    family.hub.repos.delete(family.people["ada"], base)
    family.settle()
    assert family.lineage("ada/tuned").repo.lineage == "declared"
    assert edges(family, "ada/tuned") == {"ada/base": ("parent", "finetune", None)}
