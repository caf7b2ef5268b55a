"""How much memory transformers needs for a model, from its config and the number of its parameters.

An upper bound: the weights in the type of the arithmetic, keys and values of every choice's full context with every
layer treated as full attention, one mask and one layer's scores of a full context, and the libraries.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from seedstock.run.engines.base import Ability
from seedstock.run.engines.estimate import Estimate, contexts
from seedstock.run.engines.model_shape import WIDTH, Shape, number, shape_of

CHOICES = 4
"""Answers to one prompt that are written at the same time."""
MAX_POOLED_TOKENS = 512
BATCH = 8
"""Texts that are embedded at the same time."""
MAX_IMAGES = 4
"""In one request."""
MAX_PIXELS = 16 << 20
"""Of all images of a request together."""
_TILES = 17
"""That one image may be cut into: SmolVLM's largest."""
ADAPTER_FACTOR = 2
"""Bytes of memory for each of an adapter's file: PEFT computes with 32 bits what has 16."""
LIBRARIES_BYTES = 640 << 20  # 413 MB resident with a model of 42,000 weights (CPU build, measured)
FLOAT32, BFLOAT16 = "float32", "bfloat16"
WIDTHS = {FLOAT32: 4, BFLOAT16: 2}


def estimate(
    config: Mapping[str, Any],
    parameters: int,
    limit_bytes: int,
    asked_tokens: int | None = None,
    *,
    embeds: bool = False,
) -> tuple[Estimate, str]:
    """The largest shape that fits, else the smallest, and its element type: float32 before bfloat16.

    bfloat16 is 5 times slower on processors without its instructions, and so is the last resort. Raises
    UnsupportedFormat for a config that lacks what is needed.
    """
    shape = shape_of(config)
    found = [
        (_with_images(_estimate(shape, parameters, context, dtype, embeds=embeds), config, dtype), dtype)
        for dtype in (FLOAT32, BFLOAT16)
        for context in contexts(_trained(shape, embeds=embeds), asked_tokens)
    ]
    return next((one for one in found if one[0].total_bytes <= limit_bytes), found[-1])


def _trained(shape: Shape, *, embeds: bool) -> int:
    return min(shape.trained_tokens, MAX_POOLED_TOKENS) if embeds else shape.trained_tokens


def _estimate(shape: Shape, parameters: int, context: int, dtype: str, *, embeds: bool) -> Estimate:
    item_bytes = WIDTHS[dtype]
    at_once = BATCH if embeds else 1
    scores_bytes = at_once * (shape.heads * item_bytes + 4) * context * context
    logits_bytes = 0 if embeds else CHOICES * shape.vocabulary * 4
    return Estimate(
        weights_bytes=parameters * item_bytes,
        cache_bytes=0 if embeds else CHOICES * context * shape.cell_elements * item_bytes,
        other_bytes=scores_bytes + logits_bytes + LIBRARIES_BYTES,
        slots=1,
        context_tokens=context,
        abilities=(Ability.EMBEDDINGS,) if embeds else (Ability.GENERATION,),
        micro_batch_tokens=context,
    )


def _with_images(found: Estimate, config: Mapping[str, Any], dtype: str) -> Estimate:
    """What a model that sees needs besides: the pixels, and a layer's values of every patch of every tile."""
    vision = config.get("vision_config")
    if not isinstance(vision, Mapping):
        return found
    side = number(vision, ("image_size",), 512) // number(vision, ("patch_size",), 14) + 1
    values = 4 * number(vision, WIDTH, 1024) + 2 * number(vision, ("intermediate_size",), 4096)
    seen_bytes = MAX_IMAGES * _TILES * side * side * values * WIDTHS[dtype] + 16 * MAX_PIXELS
    return msgspec.structs.replace(found, other_bytes=found.other_bytes + seen_bytes)
