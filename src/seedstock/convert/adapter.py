"""A LoRA adapter as PEFT saves it, to the GGUF adapter that llama.cpp adds to its base while it runs.

Only what llama.cpp then computes as PEFT would is written: an adapter that also changes biases, norms, embeddings or
whole modules, or that was trained on altered base weights, is refused by the name of the setting that says so.
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any

import msgspec

from seedstock.convert import architectures, phi
from seedstock.convert.mixtures import TARGETS
from seedstock.convert.plan import Plan, PlannedTensor, Value
from seedstock.core.errors import UnsupportedFormat
from seedstock.metadata.adapter_settings import PLAIN_NAME, REFUSED, SOUND_STARTS, AdapterSettings
from seedstock.weights.checkpoint import Checkpoint, TensorInfo

ARCHITECTURES = frozenset(kind.name for kind in architectures.ARCHITECTURES.values())
"""llama.cpp's names of the bases whose tensors are known here by the names that PEFT gives them."""
_REORDERED = "llama"
_STRING, _FLOAT32 = 8, 6
_TENSOR = re.compile(
    r"(?:base_model\.)?(?:model\.)?model\.layers\.(?P<layer>\d{1,4})\.(?P<module>[\w.]+?)"
    r"\.lora_(?P<side>[AB])(?:\.default)?\.weight\Z"
)
_MODULES = {
    name: ours for name, ours in {**architectures.LAYER_NAMES, **phi.NAMES}.items() if name.endswith("_proj")
}


class AdapterConfig(AdapterSettings, frozen=True, kw_only=True):
    """What a conversion reads of it."""

    r: Annotated[int, msgspec.Meta(ge=1, le=65536)]


def read_adapter_config(raw: bytes) -> AdapterConfig:
    """The settings of an adapter that can be converted. Raises UnsupportedFormat, naming the one that prevents it."""
    try:
        plain = msgspec.json.decode(raw, type=dict[str, Any])
        kind = str(plain.get("peft_type"))[:40]
        if kind != "LORA":
            raise UnsupportedFormat(f"The adapter is of type {kind!r}; only LORA is run here")
        config = msgspec.json.decode(raw, type=AdapterConfig)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"adapter_config.json is not understood: {str(error)[:200]}") from None
    hint = "merge the adapter into its base and publish the whole model"
    for name in REFUSED:
        if plain.get(name):
            raise UnsupportedFormat(f"The adapter uses {name!r}, which llama.cpp does not compute", hint=hint)
    if config.bias not in {None, "none"}:
        raise UnsupportedFormat(f"The adapter trains biases (bias: {str(config.bias)[:40]!r})", hint=hint)
    if config.init_lora_weights not in SOUND_STARTS:
        how = str(config.init_lora_weights)[:40]
        raise UnsupportedFormat(
            f"The adapter began by changing its base's weights (init_lora_weights: {how!r})", hint=hint
        )
    _check_patterns(config.alpha_pattern or {})
    return config


def _check_patterns(patterns: Mapping[str, float]) -> None:
    """Names only: regular expressions of strangers may take for ever."""
    for name in patterns:
        if not PLAIN_NAME.match(name):
            raise UnsupportedFormat(f"alpha_pattern: {name[:60]!r} is no plain name of a module")


def plan_adapter(adapter: Checkpoint, config: AdapterConfig, base: Checkpoint, name: str = "") -> Plan:
    """Plan the adapter of a base that is a GGUF file, from headers alone.

    Raises UnsupportedFormat for matrices that do not fit the base: llama.cpp would refuse to start with them.
    """
    architecture = str(base.metadata.get("general.architecture"))
    if base.format != "gguf" or architecture not in ARCHITECTURES:
        raise UnsupportedFormat(
            f"Adapters of architecture {architecture[:40]!r} are not run here",
            hint=f"these are: {', '.join(sorted(ARCHITECTURES))}",
        )
    pairs = _pairs(adapter)
    if not pairs:
        raise UnsupportedFormat("The adapter holds no LoRA matrices")
    alpha = _strength(config, *next(iter(pairs.items()))) * next(iter(pairs.values()))[0].shape[0]
    tensors: list[PlannedTensor] = []
    for target, (a, b) in pairs.items():
        _check_fit(target, a, b, base)
        # llama.cpp multiplies by alpha / rank, with one alpha for all.
        factor = _strength(config, target, (a, b)) * a.shape[0] / alpha
        turned = _head_rows(target, b.shape[0], base) if architecture == _REORDERED else 0
        tensors.append(PlannedTensor(f"{target}.lora_a", a.shape, "F16", a.name))
        tensors.append(PlannedTensor(f"{target}.lora_b", b.shape, "F16", b.name, turned, factor=factor))
    values = {
        "general.type": Value("adapter", _STRING),
        "general.name": Value(name, _STRING),
        "adapter.type": Value("lora", _STRING),
        "adapter.lora.alpha": Value(alpha, _FLOAT32),
    }
    return Plan(TARGETS["F16"], architecture, values, tuple(tensors))


def _pairs(adapter: Checkpoint) -> dict[str, tuple[TensorInfo, TensorInfo]]:
    """Base tensors by llama.cpp's names, each with its two matrices."""
    sides: dict[str, dict[str, TensorInfo]] = {}
    for name, info in adapter.tensors.items():
        match = _TENSOR.match(name)
        if match is None or match["module"] not in _MODULES:
            raise UnsupportedFormat(
                f"The adapter changes {name[:120]!r}, which is not run here",
                hint=f"in each layer: {', '.join(_MODULES)}",
            )
        target = f"blk.{int(match['layer'])}.{_MODULES[match['module']]}.weight"
        if sides.setdefault(target, {}).setdefault(match["side"], info) is not info:
            raise UnsupportedFormat(f"The adapter changes {target} twice")
    for target, found in sides.items():
        if len(found) != 2:
            raise UnsupportedFormat(f"The adapter holds one of the two matrices of {target}")
    return {target: (found["A"], found["B"]) for target, found in sorted(sides.items(), key=_in_order)}


def _in_order(item: tuple[str, object]) -> tuple[int, str]:
    return int(item[0].split(".")[1]), item[0]


def _check_fit(target: str, a: TensorInfo, b: TensorInfo, base: Checkpoint) -> None:
    found = base.tensors.get(target)
    if found is None:
        raise UnsupportedFormat(f"The adapter changes {target}, which its base lacks: it is of another model")
    if len(a.shape) != 2 or len(b.shape) != 2 or a.shape[0] != b.shape[1]:
        raise UnsupportedFormat(
            f"The matrices of {target} do not fit each other: {list(a.shape)}, {list(b.shape)}"
        )
    if (b.shape[0], a.shape[1]) != found.shape:
        raise UnsupportedFormat(
            f"The adapter is for a {target} of {b.shape[0]} x {a.shape[1]}; its base's is "
            f"{' x '.join(map(str, found.shape))}: it is of another model"
        )


def _head_rows(target: str, rows: int, base: Checkpoint) -> int:
    """Rows of one attention head, where llama.cpp keeps them in another order than PEFT; 0 where it does not."""
    part = target.split(".")[2]
    if part not in {"attn_q", "attn_k"}:
        return 0
    heads = base.metadata.get("llama.attention.head_count")
    if part == "attn_k":
        heads = base.metadata.get("llama.attention.head_count_kv", heads)
    if not isinstance(heads, int) or heads < 1 or rows % (2 * heads):
        raise UnsupportedFormat("The base's header does not say how many attention heads it has")
    return rows // heads


def _strength(config: AdapterConfig, target: str, pair: tuple[TensorInfo, TensorInfo]) -> float:
    """What PEFT multiplies the product of two matrices by."""
    rank = pair[0].shape[0] if pair[0].shape else 0
    if rank < 1:
        raise UnsupportedFormat(f"The matrices of {target} are empty")
    alpha = next(_matching(config.alpha_pattern or {}, pair[0].name), config.lora_alpha)
    return alpha / math.sqrt(rank) if config.use_rslora else alpha / rank


def _matching(patterns: Mapping[str, float], name: str) -> Iterator[float]:
    """The values of those patterns that name the module of a tensor: all of its path, or the end of it."""
    module = name.rpartition(".lora_")[0]
    yield from (value for key, value in patterns.items() if module == key or module.endswith(f".{key}"))
