"""The closed set of what a stage may do, and the arguments of the operations that only recipes know."""

from __future__ import annotations

from typing import Annotated, Any

import msgspec

from seedstock.adapt.methods import METHODS, Count, Reward, Size

NONE = "none"
"""How TOML, which has no null, says that an argument is given and is nothing."""

_SHA256 = Annotated[str, msgspec.Meta(pattern=r"^[0-9a-f]{64}$")]


class Eval(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Answers to the items of a dataset, each scored. Inputs: `base`, `data`."""

    metric: str
    rewards: Annotated[list[Reward], msgspec.Meta(min_length=1)]
    n: Count
    """Items, from the first."""
    samples: Count
    temperature: Annotated[float, msgspec.Meta(ge=0)]
    top_p: Annotated[float, msgspec.Meta(gt=0, le=1)]
    max_new_tokens: Count
    batch_size: Size


class Script(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """Any Python file of the recipe's repo, in the sandbox. What it makes is trusted less."""

    file: str
    sha256: _SHA256
    args: dict[str, Any] = {}


OPERATIONS: dict[str, type[msgspec.Struct]] = {
    **METHODS,
    "eval": Eval,
    "script": Script,
}
GIVES_DATA = frozenset({"sample", "eval"})
"""Operations whose output is a dataset; that of `script` may be either, and of the others is a model."""
