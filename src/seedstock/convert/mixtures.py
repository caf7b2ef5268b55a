"""What a GGUF can be made into, and which element type each of its tensors then gets.

The mixtures are llama.cpp's: tensors that suffer most from few bits get more, and those whose rows do not fill
blocks of 256 fall back to a type with blocks of 32.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import msgspec

from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.elements import BLOCKS


class Target(msgspec.Struct, frozen=True):
    """A file type: its name, its number in the GGUF header, and the type that most tensors get."""

    name: str
    file_type: int
    base: str


TARGETS: Mapping[str, Target] = {
    target.name: target
    for target in (
        Target("F16", 1, "F16"),
        Target("BF16", 32, "BF16"),
        Target("Q8_0", 7, "Q8_0"),
        Target("Q6_K", 18, "Q6_K"),
        Target("Q5_K_M", 17, "Q5_K"),
        Target("Q4_K_M", 15, "Q4_K"),
        Target("Q4_0", 2, "Q4_0"),
    )
}
_FALLBACK = {"Q4_K": "Q5_0", "Q5_K": "Q5_1", "Q6_K": "Q8_0"}
_LAYER = re.compile(r"blk\.(\d{1,4})\.")
# Small, or read in a way that blocks cannot serve: routers, convolutions, positions, state-space parameters.
_NEVER = re.compile(
    r"_norm\.weight$|norm\.weight$|ffn_gate_inp|altup|laurel|position_embd|token_types|ssm_conv1d|shortconv\.conv"
    r"|time_mix_|attn_rel_b|^rope_freqs|\.position|pos_embd"
)


class Shape(msgspec.Struct, frozen=True):
    """What the rules ask about a model."""

    architecture: str
    layers: int
    experts: int
    has_output: bool


def find_target(name: str) -> Target:
    """The target of that name, in any case. Raises UnsupportedFormat naming those there are."""
    target = TARGETS.get(name.upper())
    if target is None:
        raise UnsupportedFormat(f"Cannot make {name[:40]!r}", hint=f"one of {', '.join(TARGETS)}")
    return target


def is_matrix(name: str, shape: Sequence[int]) -> bool:
    """Whether a tensor is one of those that a target's element type is for."""
    return name.endswith("weight") and len(shape) >= 2 and not _NEVER.search(name)


def stored_type(target: Target, model: Shape, name: str, width: int) -> str:
    """The element type of a matrix with rows of `width` elements."""
    if target.base in {"F16", "BF16"}:
        return target.base
    wanted = _wanted(target, model, name)
    while width % BLOCKS[wanted][0]:
        if wanted not in _FALLBACK:
            return "F16"
        wanted = _FALLBACK[wanted]
    return wanted


def _wanted(target: Target, model: Shape, name: str) -> str:
    base = target.base
    if name == "output.weight" or (name == "token_embd.weight" and not model.has_output):
        return base if base == "Q8_0" else "Q6_K"
    if name == "token_embd.weight" or target.name not in {"Q4_K_M", "Q5_K_M"}:
        return base
    if "attn_v.weight" in name:
        return _wanted_of_value(base, model, name)
    if "attn_k.weight" in name:
        return "Q8_0" if model.experts == 8 else base
    if "ffn_down" in name:
        return "Q6_K" if _gets_more(name, model.layers) else base
    more = ("attn_output.weight" in name and model.experts == 8) or "attn_qkv.weight" in name
    return {"Q4_K": "Q5_K", "Q5_K": "Q5_K" if "attn_output" in name else "Q6_K"}[base] if more else base


def _wanted_of_value(base: str, model: Shape, name: str) -> str:
    if model.experts == 8:
        return "Q8_0"
    if _gets_more(name, model.layers):
        return "Q6_K"
    # Eight heads share these in a model of 70B, so that more bits cost next to nothing.
    is_70b = model.layers == 80 and model.architecture in {"llama", "qwen2"}
    return "Q5_K" if is_70b and base == "Q4_K" else base


def _gets_more(name: str, layers: int) -> bool:
    """The first and last eighth of the layers, and every third between."""
    match = _LAYER.match(name)
    if match is None:
        return False
    layer, eighth = int(match[1]), layers // 8
    return layer < eighth or layer >= 7 * layers // 8 or (layer - eighth) % 3 == 2


def stored_bytes(dtype: str, elements: int) -> int:
    """Length of that many elements, whole blocks."""
    per_block, block_bytes = BLOCKS[dtype]
    return elements // per_block * block_bytes
