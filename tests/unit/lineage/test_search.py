"""The index of signatures beside the database, and the foundations report."""

from __future__ import annotations

import pytest

from seedstock.core.errors import Invalid, NotFound
from seedstock.core.viewer import ANONYMOUS
from seedstock.lineage.sketches import Sketches
from tests.factories.toy_models import fine_tuned, toy_llama
from tests.unit.lineage.conftest import Family
from tests.unit.lineage.test_analysis import BASE, card

NOW = 1_800_000_000_000


def test_an_index_that_is_behind_or_of_another_database_is_brought_level(family: Family) -> None:
    folder = family.hub.settings.data_dir / "cache" / "sketches"
    family.publish("ada/base", BASE)
    family.settle()
    family.publish("bob/silent", fine_tuned(BASE, 3))
    family.settle()
    assert [edge.name for edge in family.lineage("bob/silent").edges] == ["ada/base"]
    (folder / "level.json").write_text('{"id": 999, "digest": "of another database"}')
    family.publish("bob/later", fine_tuned(BASE, 4))
    family.settle()
    assert {edge.name for edge in family.lineage("bob/later").edges} == {"ada/base", "bob/silent"}
    assert isinstance(Sketches(family.hub.database, folder), Sketches)


def test_the_report_counts_each_model_once_for_each_root(family: Family) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/tuned", fine_tuned(BASE, 2), card("ada/base"))
    family.publish("bob/again", fine_tuned(fine_tuned(BASE, 2), 5), card("ada/tuned"))
    family.publish("bob/elsewhere", None, card("out/side"))
    family.publish("bob/liar", toy_llama(40), card("ada/base"))
    family.settle()
    family.hub.publishers.state(
        "ada", organisation="Ada's", country="ch", source="https://example.org", stated_by="t"
    )
    report = family.hub.foundations.report(ANONYMOUS, None, NOW)
    assert (report.models, report.derived, report.contradicted, report.pending) == (5, 3, 1, 0)
    shares = {share.name: (share.models, share.verified, share.declared) for share in report.roots}
    assert shares == {"ada/base": (2, 2, 0), "out/side": (1, 0, 1)}
    ada = next(share for share in report.roots if share.name == "ada/base")
    assert ada.publisher is not None
    assert (ada.publisher.organisation, ada.publisher.country) == ("Ada's", "CH")
    assert ada.trend[-1] == 2
    mine = family.hub.foundations.report(ANONYMOUS, "bob", NOW)
    assert (mine.models, mine.derived) == (3, 2)
    with pytest.raises(NotFound):
        family.hub.foundations.report(ANONYMOUS, "nobody", NOW)


@pytest.mark.parametrize(
    "wrong",
    [
        {"country": "Swiss"},
        {"source": "ask me"},
        {"organisation": " "},
        {"signing_key": "-----BEGIN PRIVATE KEY-----"},
    ],
)
def test_a_publisher_profile_is_checked(family: Family, wrong: dict[str, str]) -> None:
    right = {"organisation": "O", "country": "CH", "source": "https://example.org", "stated_by": "t"}
    with pytest.raises(Invalid):
        family.hub.publishers.state("ada", **{**right, **wrong})
