"""How much memory vLLM needs for a model, from its config and the number of its parameters.

The weights in the type of the arithmetic, a pool of keys and values that requests share, the activations of one step,
and the libraries. The pool holds at least one full context; requests beyond it wait inside vLLM.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from seedstock.run.engines.base import Ability
from seedstock.run.engines.estimate import Estimate, contexts
from seedstock.run.engines.model_shape import Shape, shape_of
from seedstock.run.engines.transformers_memory import BFLOAT16, FLOAT32, WIDTHS

SLOTS = 32
"""Requests that are answered at a time."""
STEP_TOKENS = 2048
"""Tokens that go through the model at a time, of all requests."""
_FULL_CONTEXTS = (8, 4, 2, 1)
LIBRARIES_BYTES = 2 << 30
_COPIES = 3
"""Of a step's activations and of the scores that tokens are drawn by."""


def estimate(
    config: Mapping[str, Any],
    parameters: int,
    limit_bytes: int,
    asked_tokens: int | None = None,
    *,
    gpu: bool,
) -> tuple[Estimate, str]:
    """The largest shape that fits, else the smallest, and its element type: on a processor float32 before bfloat16.

    Raises UnsupportedFormat for a config that lacks what is needed.
    """
    shape = shape_of(config)
    found = [
        (_estimate(shape, parameters, context, dtype, full), dtype)
        for dtype in ((BFLOAT16,) if gpu else (FLOAT32, BFLOAT16))
        for context in contexts(shape.trained_tokens, asked_tokens)
        for full in _FULL_CONTEXTS
    ]
    return next((one for one in found if one[0].total_bytes <= limit_bytes), found[-1])


def _estimate(shape: Shape, parameters: int, context: int, dtype: str, full: int) -> Estimate:
    item_bytes = WIDTHS[dtype]
    step_bytes = STEP_TOKENS * (4 * shape.width + 2 * shape.inner) * item_bytes
    return Estimate(
        weights_bytes=parameters * item_bytes,
        cache_bytes=full * context * shape.cell_elements * item_bytes,
        other_bytes=_COPIES * (step_bytes + SLOTS * shape.vocabulary * 4) + LIBRARIES_BYTES,
        slots=SLOTS,
        context_tokens=context,
        abilities=(Ability.GENERATION,),
        micro_batch_tokens=STEP_TOKENS,
    )
