from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from seedstock.openness.licence_text import identify_text, is_licence_file, licences_in
from tests.unit.openness.models import APACHE, LLAMA31, MIT

SYSTEM = Path("/usr/share/common-licenses")
BSD = (
    "Redistribution and use in source and binary forms, with or without modification, are permitted provided that\n"
    "1. Redistributions of source code must retain the above copyright notice.\n"
    "2. Redistributions in binary form must reproduce the above copyright notice.\n"
)


def complete(text: str) -> list[str]:
    return [match.licence for match in identify_text(text) if match.complete]


@pytest.mark.parametrize(
    ("text", "licence"),
    [
        (MIT, "mit"),
        (APACHE, "apache-2.0"),
        ("Licensed under the Apache License, Version 2.0 (the \"License\");\nyou may not use this file except in"
         " compliance with the License.", "apache-2.0"),
        (LLAMA31, "llama3.1"),
        (BSD, "bsd-2-clause"),
        (BSD + "3. ... may be used to endorse or promote products derived from this software", "bsd-3-clause"),
        ("Creative Commons Attribution-NonCommercial 4.0 International Public License ... Licensed Material",
         "cc-by-nc-4.0"),
        ("Creative Commons Attribution 4.0 International Public License ... Licensed Material", "cc-by-4.0"),
        ("CreativeML Open RAIL-M\nUse-based restrictions\nAttachment A", "creativeml-openrail-m"),
        ("CreativeML Open RAIL++-M License\nUse-based restrictions\nAttachment A", "openrail++"),
        ("Gemma Terms of Use ... \"Model Derivatives\" ... Gemma Prohibited Use Policy", "gemma"),
        ("META LLAMA 3 COMMUNITY LICENSE AGREEMENT Llama Materials monthly active users", "llama3"),
        ("LLAMA 2 COMMUNITY LICENSE AGREEMENT Llama Materials monthly active users", "llama2"),
    ],
)  # fmt: skip
def test_wording_is_recognised(text: str, licence: str) -> None:
    assert complete(text) == [licence]


@pytest.mark.skipif(not SYSTEM.is_dir(), reason="no collection of licence texts on this system")
@pytest.mark.parametrize(
    ("name", "licence"),
    [
        ("Apache-2.0", "apache-2.0"), ("GPL-2", "gpl-2.0"), ("GPL-3", "gpl-3.0"), ("LGPL-2.1", "lgpl-2.1"),
        ("LGPL-3", "lgpl-3.0"), ("MPL-2.0", "mpl-2.0"), ("CC0-1.0", "cc0-1.0"), ("BSD", "bsd-3-clause"),
        ("GPL-1", None), ("Artistic", None), ("GFDL-1.3", None), ("MPL-1.1", None),
    ],
)  # fmt: skip
def test_whole_texts_give_one_licence_or_none(name: str, licence: str | None) -> None:
    if not (SYSTEM / name).exists():
        pytest.skip("not in this system's collection")
    assert complete((SYSTEM / name).read_text()) == ([licence] if licence else [])


@pytest.mark.parametrize(
    "text", ["", "This model is based on Llama 3.1.", "Licensed under MIT.", "All rights reserved."]
)
def test_a_mention_is_no_licence(text: str) -> None:
    assert complete(text) == []


def test_added_conditions_are_seen() -> None:
    added = (
        MIT + "\nIf the product has more than 100 million monthly active users, display the name prominently."
    )
    assert [match.modified for match in identify_text(added)] == [True]
    assert [match.modified for match in identify_text(MIT)] == [False]


def test_which_files_count() -> None:
    paths = ["LICENSE", "LICENSE.md", "LICENCE-CODE", "COPYING", "UNLICENSE", "sub/LICENSE.txt"]
    assert all(is_licence_file(path) for path in paths)
    assert not any(
        is_licence_file(path) for path in ("NOTICE", "USE_POLICY.md", "README.md", "LICENSE_USE_POLICY.md")
    )
    assert licences_in({"NOTICE": MIT, "LICENSE": "?"}) == {"LICENSE": ()}


@given(st.text(max_size=300), st.text(max_size=300))
def test_what_stands_around_a_text_does_not_hide_it(before: str, after: str) -> None:
    assert "mit" in complete(f"{before}\n{MIT}\n{after}")
