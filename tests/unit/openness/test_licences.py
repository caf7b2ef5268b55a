import json
from importlib import resources

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.openness.licence_model import Duty, all_licences, find_licence
from seedstock.openness.licences import Basis, read_card_licence, read_licence


def test_about_forty_licences_have_a_record_and_every_duty_names_its_clause() -> None:
    licences = all_licences()
    assert len(licences) >= 40
    for licence in licences:
        assert licence.url.startswith("https://")
        assert licence.kinds
        assert all(item.clause and item.text for item in licence.obligations)
        assert not (licence.accepted and (licence.noncommercial or licence.use_restrictions))


def test_scancode_keys_and_spdx_ids_are_those_of_the_index() -> None:
    raw = resources.files("license_expression").joinpath("data/scancode-licensedb-index.json").read_bytes()
    entries = json.loads(raw)
    keys = {entry["license_key"] for entry in entries}
    ids = {entry["spdx_license_key"] for entry in entries} | {"OpenMDW-1.0"}
    assert not [item.id for item in all_licences() if item.scancode and item.scancode not in keys]
    assert not [item.id for item in all_licences() if item.spdx and item.spdx not in ids]


@pytest.mark.parametrize(
    ("value", "expression"),
    [
        ("mit", "MIT"),
        ("MIT", "MIT"),
        ("Apache 2.0", "Apache-2.0"),
        ("llama3.1", "LicenseRef-scancode-llama-3.1-license-2024"),
        ("LicenseRef-scancode-gemma-tou-2024-04-01", "LicenseRef-scancode-gemma-tou-2024-04-01"),
        ("openrail++", "LicenseRef-openrail--"),
        ("odc-pddl-1.0", "PDDL-1.0"),
        ("mit or apache-2.0", "MIT OR Apache-2.0"),
        ("mit AND (cc-by-4.0 OR cc0-1.0)", "(MIT AND CC-BY-4.0) OR (MIT AND CC0-1.0)"),
        ("GPL-2.0-only WITH Classpath-exception-2.0", "GPL-2.0-only WITH Classpath-exception-2.0"),
        ("gpl-3.0", "GPL-3.0-only"),
        ("gpl-3.0-or-later", "GPL-3.0-or-later"),
        ("zlib", "Zlib"),
        (["mit", "cc-by-4.0"], "MIT AND CC-BY-4.0"),
    ],
)
def test_known_spellings(value: str | list[str], expression: str) -> None:
    declared = read_licence(value)
    assert declared.expression == expression
    assert declared.known
    assert read_licence(declared.expression).expression == declared.expression


@pytest.mark.parametrize(
    "value", ["other", "unknown", "", [], "my own terms", "mit and nonsense-1.0", "((", "mit AND"]
)
def test_unknown_stays_unknown(value: str | list[str]) -> None:
    declared = read_licence(value)
    assert not declared.known
    assert not declared.accepted
    assert not declared.allows_commercial_use


def test_other_is_resolved_by_name_or_link() -> None:
    named = read_card_licence({"license": "other", "license_name": "deepseek"})
    assert [item.id for item in named.licences] == ["deepseek"]
    assert named.basis is Basis.CARD
    linked = read_card_licence({"license": "other", "license_link": "https://ai.google.dev/gemma/terms"})
    assert [item.id for item in linked.licences] == ["gemma"]
    assert read_card_licence({"license": "other", "license_name": "secret-terms"}).unknown == (
        "secret-terms",
    )


def test_a_choice_is_open_if_one_side_is() -> None:
    assert read_licence("mit OR cc-by-nc-4.0").accepted
    assert not read_licence("mit AND cc-by-nc-4.0").accepted
    assert not read_licence("mit AND cc-by-nc-4.0").allows_commercial_use


def test_a_category_alone_gives_few_duties_or_none() -> None:
    restricted = read_licence("falcon-2-11b-1.0 OR exaone-ai-model-1.1-nc")
    assert not restricted.known
    assert read_licence("curl").licences[0].find(Duty.NOTICE) is not None


def test_the_records_that_the_worked_case_rests_on() -> None:
    llama = find_licence("llama3.1")
    assert llama is not None
    assert (llama.naming, llama.mau_cap, llama.outputs_bound) == ("Llama", 700_000_000, True)
    assert find_licence("llama2").no_train_others  # type: ignore[union-attr]
    assert find_licence("stability-ai-community").revenue_cap_usd == 1_000_000  # type: ignore[union-attr]


@given(
    st.one_of(
        st.text(max_size=60), st.text("()ANDORWITH mit-2.0+", max_size=60), st.lists(st.text(max_size=9))
    )
)
def test_any_text_is_read_without_error(value: str | list[str]) -> None:
    declared = read_licence(value)
    assert declared.known == (bool(declared.alternatives) and not declared.unknown) or not declared.known


@pytest.mark.parametrize(
    "value",
    [
        "(" * 5000,
        "mit AND " * 5000 + "mit",
        " OR ".join(["(mit AND zlib)"] * 60),
        "(mit OR zlib) AND " * 30 + "mit",
    ],
)
def test_huge_expressions_end_soon(value: str) -> None:
    assert len(read_licence(value).alternatives) <= 64
