"""Properties of the readers that keep lines."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from seedstock.adapt.yaml_lines import read_yaml
from seedstock.core.errors import Invalid

_KEYS = st.text("abcdefghij _-.#:'", min_size=1, max_size=8)
_SCALARS = (
    st.none() | st.booleans() | st.integers(-(10**17), 10**17) | st.text("abc \n#'\"{}[]:-é", max_size=12)
)
_VALUES = st.recursive(
    _SCALARS,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(_KEYS, inner, max_size=4),
    max_leaves=12,
)


@given(_VALUES, st.booleans())
def test_what_pyyaml_writes_is_read_as_it_was(value: Any, flow: bool) -> None:
    text = yaml.safe_dump(value, default_flow_style=flow, allow_unicode=True)
    assert read_yaml(text, "x").value == value


@given(
    st.dictionaries(st.text("abcxyz", min_size=1, max_size=5), st.integers(10, 99), min_size=1, max_size=20)
)
def test_places_are_where_the_text_says(entries: dict[str, int]) -> None:
    text = "# head\n" + "".join(f"'{key}':   {value}\n\n" for key, value in entries.items())
    located = read_yaml(text, "x")
    lines = text.splitlines()
    for key, value in entries.items():
        at, key_at = located.position((key,)), located.position((key,), key=True)
        assert lines[at.line - 1][at.column - 1 :] == str(value)
        assert lines[key_at.line - 1][key_at.column - 1 :].startswith(f"'{key}'")


@given(st.binary(max_size=200) | st.text("a:-[]{}&*!'\"\n #?|>%@", max_size=60))
def test_anything_is_read_or_refused(text: bytes | str) -> None:
    try:
        read_yaml(text, "x")
    except Invalid as error:
        message = error.message
    else:
        return
    assert message.startswith("x:")
