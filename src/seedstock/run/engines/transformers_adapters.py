"""LoRA adapters beside the weights of one loaded model: one acts at a time, or none.

Of an adapter's settings only plain numbers are read, and PEFT is told by us which modules change: in its own reading names are
regular expressions of strangers.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import msgspec
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file
from transformers.pytorch_utils import Conv1D

from seedstock.core.errors import Invalid
from seedstock.metadata.adapter_settings import PLAIN_NAME, REFUSED, SOUND_STARTS, AdapterSettings

_TENSOR = re.compile(
    r"(?:base_model\.model\.)?(?P<module>[\w.]+)\.lora_(?P<side>[AB])(?:\.default)?\.weight\Z"
)
# PEFT itself computes transposed layers, and is told of them.
_REFUSED = tuple(name for name in REFUSED if name != "fan_in_fan_out")
_MAX_RANK = 4096
Pairs = dict[str, tuple[Any, Any]]
"""The two matrices of each module that changes."""


class Use(msgspec.Struct, frozen=True):
    """The adapter of one request."""

    key: str
    path: str


class Asked(msgspec.Struct, frozen=True):
    """What a request says of adapters: all that may stay loaded, and the one that acts."""

    keep: list[str] = []
    use: Use | None = None


class Adapters:
    """Those of one model; to be used by one thread at a time."""

    def __init__(self, model: Any) -> None:
        self._model = model
        self._held: set[str] = set()

    def apply(self, asked: Asked) -> None:
        """Have the next answer written with the adapter that is asked for, or without any. Raises Invalid."""
        for key in self._held - set(asked.keep):
            self._drop(key)
        if asked.use is not None and asked.use.key not in self._held:
            self._load(asked.use.key, Path(asked.use.path))
        if not self._held:
            return
        from peft.tuners.tuners_utils import BaseTunerLayer

        for layer in self._model.modules():
            if isinstance(layer, BaseTunerLayer):
                layer.enable_adapters(enabled=asked.use is not None)
                if asked.use is not None:
                    layer.set_adapter(asked.use.key, inference_mode=True)

    def _drop(self, key: str) -> None:
        from peft.functional import delete_adapter

        delete_adapter(self._model, key, "lora_")
        del self._model.peft_config[key]
        self._held.discard(key)

    def _load(self, key: str, path: Path) -> None:
        try:
            from peft import LoraConfig
            from peft.functional import cast_adapter_dtype, inject_adapter_in_model
        except ImportError:
            raise Invalid(
                "Adapters need peft, which this hub lacks: pip install 'seedstock[adapt]'"
            ) from None
        config = _read_config(path.with_name("adapter_config.json"))
        pairs = _read_pairs(path)
        layers = {module: self._layer(module, pair) for module, pair in pairs.items()}
        settings: Any = LoraConfig(
            r=1,
            target_modules=list(pairs),
            rank_pattern={re.escape(module): a.shape[0] for module, (a, _) in pairs.items()},
            lora_alpha=config.lora_alpha,  # type: ignore[arg-type]
            alpha_pattern={re.escape(module): _alpha(config, module) for module in pairs},
            use_rslora=bool(config.use_rslora),
            fan_in_fan_out=any(isinstance(layer, Conv1D) for layer in layers.values()),
            init_lora_weights=False,
        )
        # The model's own way to do this (transformers 5.24) wants a PEFT that is not out yet.
        inject_adapter_in_model(settings, self._model, key)
        cast_adapter_dtype(
            self._model, key, autocast_adapter_dtype=True
        )  # to 32 bits, as PEFT's own models are
        self._held.add(key)
        with torch.no_grad():
            for module, (a, b) in pairs.items():
                layer = self._model.get_submodule(module)
                layer.lora_A[key].weight.copy_(a)
                layer.lora_B[key].weight.copy_(b)

    def _layer(self, module: str, pair: tuple[Any, Any]) -> Any:
        """The module that a pair changes. Raises Invalid for a pair that does not fit it."""
        try:
            found = self._model.get_submodule(module)
        except AttributeError:
            raise Invalid(
                f"The adapter changes {module[:120]!r}, which its base lacks: it is of another model"
            ) from None
        layer = getattr(found, "base_layer", found)
        if not isinstance(layer, torch.nn.Linear | Conv1D):
            raise Invalid(f"The adapter changes {module[:120]!r}, which is no linear layer")
        wide = tuple(layer.weight.shape)
        out, into = wide[::-1] if isinstance(layer, Conv1D) else wide
        a, b = pair
        if not 1 <= a.shape[0] <= _MAX_RANK or tuple(b.shape) != (out, a.shape[0]) or a.shape[1] != into:
            raise Invalid(
                f"The matrices of {module[:120]!r} are {list(a.shape)} and {list(b.shape)} and do not fit its "
                f"{out} x {into}: the adapter is of another model"
            )
        return layer


def _read_config(path: Path) -> AdapterSettings:
    """The settings of an adapter that is computed as PEFT would. Raises Invalid, naming the one that prevents it."""
    try:
        raw = path.read_bytes()
        plain = msgspec.json.decode(raw, type=dict[str, Any])
        if plain.get("peft_type") != "LORA":
            raise Invalid(
                f"The adapter is of type {str(plain.get('peft_type'))[:40]!r}; only LORA is run here"
            )
        config = msgspec.json.decode(raw, type=AdapterSettings)
    except (OSError, msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise Invalid(f"adapter_config.json is not understood: {str(error)[:200]}") from None
    named = [name for name in _REFUSED if plain.get(name)]
    if config.bias not in {None, "none"}:
        named.append("bias")
    if config.init_lora_weights not in SOUND_STARTS:
        named.append("init_lora_weights")  # of those that began by changing their base
    if named:
        raise Invalid(
            f"The adapter uses {named[0]!r} ({str(plain[named[0]])[:40]}), which is not run: merge it into its base"
        )
    for name in config.alpha_pattern or {}:
        if not PLAIN_NAME.match(name):
            raise Invalid(f"alpha_pattern: {name[:60]!r} is no plain name of a module")
    return config


def _read_pairs(path: Path) -> Pairs:
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError) as error:
        raise Invalid(f"The adapter's weights cannot be read: {str(error)[:200]}") from None
    sides: dict[str, dict[str, Any]] = {}
    for name, tensor in tensors.items():
        match = _TENSOR.match(name)
        if match is None or tensor.ndim != 2:
            raise Invalid(f"The adapter changes {name[:120]!r}, which is not run here")
        if sides.setdefault(match["module"], {}).setdefault(match["side"], tensor) is not tensor:
            raise Invalid(f"The adapter changes {match['module'][:120]!r} twice")
    if not sides:
        raise Invalid("The adapter holds no LoRA matrices")
    for module, found in sides.items():
        if len(found) != 2:
            raise Invalid(f"The adapter holds one of the two matrices of {module[:120]!r}")
    return {module: (found["A"], found["B"]) for module, found in sides.items()}


def _alpha(config: AdapterSettings, module: str) -> float:
    """By the pattern that names a module, all of its path or the end of it; else the one for all."""
    patterns = config.alpha_pattern or {}
    named = (alpha for name, alpha in patterns.items() if module == name or module.endswith(f".{name}"))
    return next(named, config.lora_alpha)
