"""What was said of weights is not said of the ones that took their place."""

from __future__ import annotations

from typing import Any

from starlette.testclient import TestClient

from seedstock.core.names import RepoId, RepoType
from seedstock.db.lineage import EdgeRow
from seedstock.http.app import build_app
from seedstock.hub.commits import CommitMessage
from seedstock.hub.operations import Delete
from seedstock.lineage.graph import Support, ties
from tests.factories.toy_models import fine_tuned, toy_llama
from tests.unit.lineage.conftest import Family
from tests.unit.lineage.test_analysis import card

BASE = toy_llama(1)


def roots(family: Family, name: str, revision: str = "main") -> dict[str, bool]:
    repo_id = RepoId(RepoType.MODEL, *name.split("/"))
    found = family.hub.lineage.of(family.people["ada"], repo_id, revision)
    return {root.name: root.root.verified for root in found.foundations}


def test_a_push_takes_the_badge_of_the_weights_before_it(family: Family) -> None:
    """Or weights whose analysis never ends would keep the badge of others."""
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert family.lineage("ada/tuned").repo.lineage == "verified"
    family.publish("ada/tuned", toy_llama(7), card("ada/base"))
    assert family.lineage("ada/tuned").repo.lineage is None
    family.settle()
    assert family.lineage("ada/tuned").repo.lineage == "contradicted"


def test_foundations_of_an_older_commit_are_its_own(family: Family) -> None:
    family.publish("ada/base", BASE)
    old = family.publish("ada/tuned", toy_llama(7))
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert roots(family, "ada/tuned") == {"ada/base": True}
    assert roots(family, "ada/tuned", old) == {}
    hub, ada = family.hub, family.people["ada"]
    graded = hub.openness.grade(ada, RepoId(RepoType.MODEL, "ada", "tuned"), old)
    assert graded.ancestry.edges == ()


def test_verification_does_not_lead_through_weights_that_were_replaced(family: Family) -> None:
    """The child came from the middle's old weights, and only the new ones come from the base."""
    before = toy_llama(7)
    family.publish("ada/base", BASE)
    old = family.publish("ada/middle", before)
    family.publish("ada/child", fine_tuned(before, 2), card("ada/middle"))
    family.settle()
    assert roots(family, "ada/child") == {"ada/middle": True}
    family.publish("ada/middle", fine_tuned(BASE, 3), card("ada/base"))
    family.settle()
    assert roots(family, "ada/middle") == {"ada/base": True}
    assert roots(family, "ada/child") == {"ada/base": False}
    [edge] = [edge for edge in family.lineage("ada/child").edges if edge.role == "parent"]
    assert (edge.tie.support, edge.commit) == (Support.VERIFIED, old)


def test_a_new_card_leaves_a_chain_verified(family: Family) -> None:
    middle = fine_tuned(BASE, 2)
    family.publish("ada/base", BASE)
    family.publish("ada/middle", middle, card("ada/base"))
    family.publish("ada/child", fine_tuned(middle, 3), card("ada/middle"))
    family.settle()
    assert roots(family, "ada/child") == {"ada/base": True}
    family.publish("ada/middle", None, card("ada/base") + "More words.")
    family.settle()
    assert roots(family, "ada/child") == {"ada/base": True}


def test_a_model_with_new_weights_has_no_parent_by_its_old_ones(family: Family) -> None:
    base: Any = toy_llama(1, layers=8)
    cut = {
        name: value for name, value in base.items() if ".layers." not in name or int(name.split(".")[2]) < 5
    }
    family.publish("ada/base", base)
    family.publish("bob/cut", cut)
    family.settle()
    assert roots(family, "bob/cut") == {"ada/base": True}
    family.publish("bob/cut", toy_llama(9, layers=5))
    family.settle()
    assert roots(family, "bob/cut") == {}
    assert family.lineage("bob/cut").edges == []
    assert family.lineage("ada/base").edges == []
    assert family.lineage("ada/base").repo.children == 0


def test_what_another_says_of_weights_that_are_gone_is_no_tie(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/cut", toy_llama(9))
    visible = {repo.id: repo for repo in (family.lineage(name).repo for name in sorted(family.names))}
    one, two = visible
    common = dict.fromkeys(("declared_name", "declared", "source", "kind", "coefficient", "method"))
    for role, current, kept in (
        ("child", True, 1),
        ("child", False, 0),
        ("relative", False, 0),
        ("parent", False, 1),
    ):
        edge = EdgeRow(
            id=1, repo_id=one, commit_oid="a" * 40, other_repo_id=two, other_commit="b" * 40, role=role,
            verdict="derived", reason="", created_at=1, current=current, **common,
        )  # fmt: skip
        assert len(ties([edge], visible)) == kept, (role, current)


def test_a_foundation_is_given_at_the_commit_that_was_compared(family: Family) -> None:
    old = family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    family.publish("ada/base", toy_llama(7))
    family.settle()
    web = TestClient(build_app(family.hub))
    [root] = web.get("/api/models/ada/tuned/lineage").json()["foundations"]
    assert (root["repo"], root["commit"], root["verified"]) == ("ada/base", old, True)


def test_a_child_that_was_emptied_is_counted_no_longer(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    assert family.lineage("ada/base").repo.children == 1
    ada = family.people["ada"]
    row, ref = family.hub.writing.begin(ada, RepoId(RepoType.MODEL, "ada", "tuned"), "main")
    gone = [Delete("model.safetensors"), Delete("README.md")]
    family.hub.writing.commit(ada, row, ref, CommitMessage("empty"), gone)
    family.settle()
    assert family.lineage("ada/tuned").status == "done"
    assert family.lineage("ada/base").repo.children == 0
    assert family.lineage("ada/base").edges == []
