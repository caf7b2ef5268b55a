"""What reaches those who may not read a repo: nothing, by whichever way."""

from __future__ import annotations

import base64
import json

import pytest

from seedstock.core.names import RepoId, RepoType
from seedstock.hub.repos import RepoSettings
from seedstock.lineage.discovery import Discovery
from tests.factories.toy_models import fine_tuned, toy_llama
from tests.unit.lineage.conftest import Family
from tests.unit.lineage.test_analysis import card

BASE = toy_llama(1)


def model(name: str) -> RepoId:
    return RepoId(RepoType.MODEL, *name.split("/"))


@pytest.mark.parametrize("told", [True, False])
def test_the_badge_of_a_private_copy_is_no_oracle_for_other_peoples_private_models(
    family: Family, told: bool
) -> None:
    """Whoever may upload could otherwise ask which weights, and which names, others hide."""
    family.publish("ada/secret", BASE, private=True)
    if told:  # of bob's own repos his private ones may speak
        family.publish("bob/base", BASE, private=True)
        family.publish("bob/tuned", fine_tuned(BASE, 5), card("bob/base"), private=True)
    family.publish("bob/silent", fine_tuned(BASE, 3), private=True)
    family.publish("bob/guess", fine_tuned(BASE, 4), card("ada/secret"), private=True)
    family.publish("bob/false", toy_llama(7), card("ada/secret"), private=True)
    family.settle()
    assert family.lineage("bob/guess", "bob").repo.lineage == "declared"
    assert family.lineage("bob/false", "bob").repo.lineage == "declared"
    if told:
        assert family.lineage("bob/tuned", "bob").repo.lineage == "verified"
        assert family.lineage("bob/silent", "bob").repo.lineage == "related"
    else:
        assert family.lineage("bob/silent", "bob").repo.lineage is None


def test_a_child_that_is_hidden_is_counted_no_longer(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.settle()
    for private, children in ((True, 0), (False, 1)):
        family.hub.repos.change(family.people["bob"], model("bob/tuned"), RepoSettings(private=private))
        assert family.lineage("ada/base", None).repo.children == children, private
    family.hub.repos.delete(family.people["bob"], model("bob/tuned"))
    assert family.lineage("ada/base", None).repo.children == 0


def test_a_repo_that_is_published_brings_no_badge_from_its_private_time(family: Family) -> None:
    family.publish("bob/base", BASE, private=True)
    family.publish("bob/tuned", fine_tuned(BASE, 2), card("bob/base"), private=True)
    family.settle()
    assert family.lineage("bob/tuned", "bob").repo.lineage == "verified"
    family.hub.repos.change(family.people["bob"], model("bob/tuned"), RepoSettings(private=False))
    assert family.lineage("bob/tuned", None).repo.lineage is None
    family.settle()
    assert family.lineage("bob/tuned", None).repo.lineage == "declared"


def test_what_is_hidden_during_its_first_analysis_is_not_told(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """No edge names the base yet, so that nothing is asked again when it is made private."""
    family.publish("ada/base", BASE)
    family.settle()
    family.publish("bob/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.index()
    real = Discovery.relatives

    def hide(self, subject, known):  # type: ignore[no-untyped-def]
        family.hub.repos.change(family.people["ada"], model("ada/base"), RepoSettings(private=True))
        return real(self, subject, known)

    monkeypatch.setattr(Discovery, "relatives", hide)
    family.settle("analyse_lineage")
    assert family.lineage("bob/tuned", None).repo.lineage == "declared"
    assert family.lineage("ada/base", "ada").repo.children == 1


def test_hidden_models_do_not_truncate_a_strangers_family(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("bob/tuned", fine_tuned(BASE, 1), card("ada/base"))
    for number in range(2, 5):
        family.publish(f"ada/hidden{number}", fine_tuned(BASE, number), card("ada/base"), private=True)
    family.settle()
    stranger = family.hub.lineage.family(family.people["bob"], model("ada/base"), limit=3)
    assert (len(stranger.repos), stranger.truncated) == (2, False)
    owner = family.hub.lineage.family(family.people["ada"], model("ada/base"), limit=3)
    assert (len(owner.repos), owner.truncated) == (3, True)


def test_the_name_that_a_model_had_in_private_is_in_no_record(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/codename", fine_tuned(BASE, 2), card("ada/base"), private=True)
    family.settle()
    ada = family.people["ada"]
    family.hub.repos.move(ada, model("ada/codename"), model("ada/product"))
    family.hub.repos.change(ada, model("ada/product"), RepoSettings(private=False))
    for settled in (False, True):
        [edge] = family.lineage("ada/product", None).edges
        found = family.hub.lineage.evidence(family.people["bob"], model("ada/product"), edge.id)
        assert "codename" not in payload(found.record), settled
        family.settle()
    assert "ada/product" in payload(found.record)


def payload(record: str | None) -> str:
    """What a signed record says."""
    return base64.b64decode(json.loads(record)["payload"]).decode() if record else ""
