"""What is wrong with one model spoils the analysis of no other."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from seedstock.core.errors import CorruptBlock, MissingBlob, UnsupportedFormat
from seedstock.core.names import RepoId, RepoType
from seedstock.lineage.reading import WeightReader
from tests.factories.toy_models import fine_tuned, safetensors_bytes, toy_llama
from tests.unit.lineage.conftest import Family
from tests.unit.lineage.test_analysis import card, edges

BASE = toy_llama(1)


def damage(monkeypatch: pytest.MonkeyPatch, repo: str, error: Exception) -> None:
    """Let the weights of a repo be unreadable from now on, as those whose bytes the store has lost."""
    real = WeightReader.open

    def broken(self, revision, held):  # type: ignore[no-untyped-def]
        if revision.name == repo:
            raise error
        return real(self, revision, held)

    monkeypatch.setattr(WeightReader, "open", broken)


@pytest.mark.parametrize("error", [CorruptBlock("A block is damaged"), MissingBlob("The bytes are gone")])
def test_a_damaged_neighbour_is_passed_over(
    family: Family, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/damaged", fine_tuned(BASE, 2))
    family.settle()
    damage(monkeypatch, "ada/damaged", error)
    family.publish("bob/silent", fine_tuned(BASE, 3))
    family.publish("bob/tuned", fine_tuned(BASE, 4), card("ada/damaged"))
    family.settle()
    assert family.lineage("bob/silent").status == "done"
    assert edges(family, "bob/silent")["ada/base"] == ("relative", None, "derived")
    assert family.lineage("bob/tuned").status == "done"
    assert edges(family, "bob/tuned")["ada/damaged"] == ("parent", "finetune", "inconclusive")
    with family.hub.database.read() as connection:  # it may be repaired: nothing is remembered of it
        assert "inconclusive" not in str(connection.exec_driver_sql("SELECT result FROM comparisons").all())


def test_a_trace_passes_over_what_cannot_be_read(
    family: Family, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    family.publish("ada/base", BASE)
    family.publish("ada/damaged", fine_tuned(BASE, 2))
    family.settle()
    damage(monkeypatch, "ada/damaged", UnsupportedFormat("Nobody can read this"))
    file = tmp_path / "model.safetensors"
    file.write_bytes(safetensors_bytes(fine_tuned(BASE, 3)))
    found = family.hub.tracer.trace_files(family.people["bob"], {"model.safetensors": file})
    assert [item.repo for item in found.related] == ["ada/base"]


def test_the_name_of_a_file_says_nothing_about_the_same_bytes_elsewhere(family: Family) -> None:
    """A copy with a false ending, or named as an adapter, was first: what is remembered of its bytes must hold for all."""
    tuned = fine_tuned(BASE, 2)
    family.publish("ada/base", BASE)
    family.publish("bob/first", tuned, card("ada/base"), path="adapter_model.safetensors")
    family.publish("bob/second", fine_tuned(BASE, 3), path="model.gguf")
    family.settle()
    family.publish("ada/tuned", tuned, card("ada/base"))
    family.publish("ada/other", fine_tuned(BASE, 3), card("ada/base"))
    family.settle()
    assert edges(family, "ada/tuned")["ada/base"] == ("parent", "finetune", "derived")
    assert edges(family, "ada/other")["ada/base"] == ("parent", "finetune", "derived")


def test_a_model_that_is_deleted_while_it_is_graded_has_no_grade(
    family: Family, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Between the reading of its family and that of its facts."""
    family.publish("ada/m", BASE)
    family.index()
    ada, repo_id = family.people["ada"], RepoId(RepoType.MODEL, "ada", "m")
    number = family.hub.repos.get(ada, repo_id).id
    read = family.hub.lineage.ancestors

    def then_deleted(*words: Any) -> Any:
        found = read(*words)
        family.hub.repos.delete(ada, repo_id)
        return found

    monkeypatch.setattr(family.hub.lineage, "ancestors", then_deleted)
    assert family.hub.openness.file_badge(number) == set()
