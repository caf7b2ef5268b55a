"""Foreign files with anything in them are imported or refused, never a crash; what is imported can be read."""

from __future__ import annotations

from typing import Any

import yaml
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import HubError
from seedstock.recipes.foreign import FORMS, import_yaml
from seedstock.recipes.pinning import pin
from seedstock.recipes.toml_lines import read_toml
from tests.unit.recipes.samples import resolve
from tests.unit.recipes.test_foreign import AXOLOTL, GRPO, SFT, TIES

_KEYS = sorted({key for text in (SFT, GRPO, AXOLOTL, TIES) for key in yaml.safe_load(text)})
_INNER = [
    "path",
    "type",
    "model",
    "parameters",
    "weight",
    "density",
    "sources",
    "layer_range",
    "split",
    "t",
    "rl",
]
_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers(-5, 10**15) | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from(["ada/base", "", "grpo", "ties", "slerp", "\x07", "cosine", "x" * 300]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(_INNER), inner, max_size=4),
    max_leaves=8,
)  # fmt: skip
_PARTS = st.dictionaries(st.sampled_from([*_KEYS, "slices", "rl", "max_steps"]), _VALUES, max_size=8)


@given(st.sampled_from([SFT, GRPO, AXOLOTL, TIES, "{}"]), _PARTS, st.sampled_from([None, *FORMS]))
def test_anything_is_imported_or_refused(text: str, changes: dict[str, Any], form: str | None) -> None:
    document = yaml.safe_dump({**yaml.safe_load(text), **changes}, allow_unicode=True)
    try:
        found = import_yaml(document, "x.yaml", form=form)
    except HubError:
        return
    read_toml(found.text, "x.toml")
    try:
        pin(found.text, resolve)
    except HubError as error:
        message = error.message  # the recipe's own rules, such as a learning rate above 1
    else:
        return
    assert "recipe.toml:" in message
