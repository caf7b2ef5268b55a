"""The closed set of what a stage may do, and the arguments of the operations that only recipes know."""

from __future__ import annotations

from typing import Annotated

import msgspec

from seedstock.adapt.methods import METHODS, Count, Reward, Script, Size

NONE = "none"
"""How TOML, which has no null, says that an argument is given and is nothing."""


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


OPERATIONS: dict[str, type[msgspec.Struct]] = {
    **METHODS,
    "eval": Eval,
    "script": Script,
}
GIVES_DATA = frozenset({"sample", "eval"})
"""Operations whose output is a dataset; that of `script` may be either, and of the others is a model."""


def script_of(stage: str) -> str:
    """The name by which the file of a `script` stage is placed; no input and no stage can have it."""
    return f"script of {stage}"
