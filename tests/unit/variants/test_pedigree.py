"""What a variant inherits: licence keys, duties, names and notices."""

from __future__ import annotations

from typing import Any

from seedstock.variants.pedigree import Parent, inherit, notice_files


def parent(role: str = "base", repo: str = "ada/base", **card: Any) -> Parent:
    return Parent(role, repo, "a" * 40, card)


def test_the_licence_is_the_parents() -> None:
    found = inherit([parent(license="apache-2.0", language="en")], "poet")
    assert found.front == {"license": "apache-2.0"}
    assert any("Apache-2.0" in duty and "section 4(a)" in duty for duty in found.duties)
    assert found.warnings == ()


def test_a_named_licence_keeps_its_name_and_link() -> None:
    card = {"license": "other", "license_name": "llama3.1", "license_link": "https://example.org/l"}
    found = inherit([parent(**card)], "my-poet")
    assert found.front == card
    assert any("begins with 'Llama'" in warning for warning in found.warnings)
    assert inherit([parent(**card)], "Llama-3.1-poet").warnings == ()


def test_a_teachers_terms_bind_only_where_they_reach_outputs() -> None:
    llama = {"license": "llama3.1"}
    student, teacher = parent(license="mit"), parent("teacher", "lab/llama", **llama)
    found = inherit([student, teacher], "poet")
    assert any("lab/llama" in warning and "begins with" in warning for warning in found.warnings)
    apache = inherit([student, parent("teacher", "lab/apache", license="apache-2.0")], "poet")
    assert not any("Apache" in duty for duty in apache.duties)


def test_an_unknown_licence_is_said_to_be_unknown() -> None:
    found = inherit([parent()], "poet")
    assert found.front == {}
    assert "not known here" in found.warnings[0]


def test_the_stricter_of_two_parents_is_declared_and_both_are_named() -> None:
    found = inherit([parent(license="mit"), parent("model_1", "ada/other", license="llama3.1")], "poet")
    assert found.front == {"license": "llama3.1"}
    assert any("different licences" in warning for warning in found.warnings)


def test_notices_travel_and_do_not_overwrite_each_other() -> None:
    one = Parent("base", "ada/base", "a" * 40, {}, {"LICENSE": b"one"})
    two = Parent("model_1", "ada/other", "b" * 40, {}, {"LICENSE": b"two"})
    assert notice_files([one]) == {"LICENSE": b"one"}
    assert notice_files([one, two]) == {
        "licences/ada--base/LICENSE": b"one",
        "licences/ada--other/LICENSE": b"two",
    }
