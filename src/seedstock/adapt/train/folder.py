"""What a folder of weights holds, read from its headers, and whether its configuration can be believed.

A `config.json` is somebody's file: what it describes is first built without memory, and must be no larger than what
the weight files hold. Pickled weights are not looked at.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import AutoConfig, AutoModelForCausalLM

from seedstock.core.errors import Invalid, UnsupportedFormat
from seedstock.metadata.gguf_header import GgufHeader, read_gguf_header
from seedstock.metadata.safetensors_header import read_safetensors_header
from seedstock.metadata.source import LocalFile

MAX_CONFIG_BYTES = 5_000_000
MAX_LAYERS = 2048
MAX_EXPERTS = 4096
MAX_NUMBER = 2**31
# Buffers (rotary tables, masks of older architectures) come on top of what the files hold.
SLACK_ELEMENTS = 64 * 2**20
TOKENIZER_FILES = (
    "tokenizer.json",
    "tokenizer.model",
    "vocab.json",
    "spiece.model",
    "vocab.txt",
    "tekken.json",
)
_MODELS: Any = AutoModelForCausalLM  # untyped where it is defined
_DTYPES = {"F32": "float32", "F16": "float16", "BF16": "bfloat16", "F64": "float32"}


class WeightsFolder(msgspec.Struct, frozen=True):
    """A model folder, from its headers alone."""

    path: Path
    config: dict[str, Any] | None
    """None where a GGUF file is all there is."""
    gguf: Path | None
    elements: int
    dtype: str
    """Element type that most weights have; bfloat16 for a quantised GGUF, whose weights are unpacked."""

    @property
    def stored_dtype(self) -> torch.dtype:
        """`dtype` as torch names it."""
        found: torch.dtype = getattr(torch, self.dtype)
        return found


def has_tokenizer(folder: Path) -> bool:
    """Whether there are a tokenizer's own files, beside what a GGUF file may hold."""
    return any((folder / name).is_file() for name in TOKENIZER_FILES)


def inspect_folder(folder: Path) -> WeightsFolder:
    """Read the headers of a model folder. Raises UnsupportedFormat where nothing in it can be trained on."""
    if not folder.is_dir():
        raise Invalid(f"The stage has no input {folder.name!r}")
    shards = sorted(folder.glob("*.safetensors"))
    config = read_config(folder)
    if shards and config is not None:
        counts = _elements(shards)
        dtype = _DTYPES.get(counts.most_common(1)[0][0] if counts else "F32", "float32")
        return WeightsFolder(folder, config, None, sum(counts.values()), dtype)
    ggufs = sorted(folder.glob("*.gguf"))
    if len(ggufs) == 1:
        header = _gguf_header(ggufs[0])
        kinds = set(header.parameters_by_type)
        dtype = next((_DTYPES[kind] for kind in ("BF16", "F16") if kind in kinds), "bfloat16")
        dtype = "float32" if kinds == {"F32"} else dtype
        return WeightsFolder(folder, None, ggufs[0], header.parameters, dtype)
    if ggufs:
        raise UnsupportedFormat(f"The folder {folder.name} holds {len(ggufs)} GGUF files; one is expected")
    lacks = "config.json" if shards else "weights as .safetensors"
    hint = "Weights that are only there as .bin or .pt are not opened: convert them to safetensors first"
    raise UnsupportedFormat(f"The model in {folder.name} has no {lacks}", hint=None if shards else hint)


def usable_length(settings: dict[str, Any], wanted: int) -> int:
    """`max_length`, or fewer tokens where a configuration has no more positions."""
    nested = settings.get("text_config")
    for name in ("max_position_embeddings", "n_positions", "max_seq_len", "seq_length"):
        for part in (settings, nested if isinstance(nested, dict) else {}):
            positions = part.get(name)
            if isinstance(positions, int) and positions > 0:
                return min(wanted, positions)
    return wanted


def settings_of(where: WeightsFolder) -> dict[str, Any]:
    """A folder's configuration; of a GGUF file, what this package looks at in it."""
    if where.gguf is None:
        return where.config or {}
    return {"max_position_embeddings": _gguf_header(where.gguf).number("context_length")}


def read_config(folder: Path) -> dict[str, Any] | None:
    """The `config.json` of a folder, if it has one."""
    path = folder / "config.json"
    if not path.is_file():
        return None
    if path.stat().st_size > MAX_CONFIG_BYTES:
        raise UnsupportedFormat(f"config.json has more than {MAX_CONFIG_BYTES} bytes")
    try:
        return msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"config.json is not valid: {str(error)[:200]}") from error


def _elements(shards: list[Path]) -> Counter[str]:
    counts: Counter[str] = Counter()
    for shard in shards:
        try:
            with closing(LocalFile(shard)) as file:
                header = read_safetensors_header(file)
        except UnsupportedFormat as error:
            raise UnsupportedFormat(f"{shard.name}: {error.message}") from error
        for tensor in header.tensors:
            counts[tensor.dtype] += tensor.parameters
    return counts


def check_folder(where: WeightsFolder, memory_bytes: int | None = None) -> int | None:
    """Parameters that the configuration describes. Raises before any weights are loaded if something is off."""
    if where.config is None:
        return None
    if where.config.get("quantization_config"):
        raise UnsupportedFormat(
            "The base model is quantised, and such weights cannot be trained on",
            hint="Take the model it was quantised from",
        )
    count = described_elements(where.config)
    if count > where.elements * 1.05 + SLACK_ELEMENTS:
        raise UnsupportedFormat(
            f"config.json describes {count:,} weights, and the files hold {where.elements:,}"
        )
    check_memory(min(count, where.elements), memory_bytes)
    return count


def check_memory(elements: int, memory_bytes: int | None) -> None:
    """Refuse a model that cannot even be held. What training needs on top is not known as well."""
    if memory_bytes and elements * 2 > memory_bytes:
        raise Invalid(
            f"The model has {elements:,} weights, more than fit in the {memory_bytes / 2**20:.0f} MiB allowed",
            hint="Allow the stage more memory, or take a smaller model",
        )


def described_elements(settings: dict[str, Any]) -> int:
    """How many weights and buffers a configuration describes, found without allocating them."""
    for key, number in _numbers(settings):
        limit = MAX_LAYERS if "layer" in key else MAX_EXPERTS if "expert" in key else MAX_NUMBER
        if abs(number) > limit:
            raise UnsupportedFormat(f"The configuration's {key} is {number}; at most {limit} is believed")
    kind = settings.get("model_type")
    if not isinstance(kind, str):
        raise UnsupportedFormat("The configuration names no model_type")
    try:
        config = AutoConfig.for_model(kind, **{k: v for k, v in settings.items() if k != "model_type"})
    except Exception as error:
        reason = f"transformers does not know the architecture {kind!r}" if _unknown(kind) else _reason(error)
        raise UnsupportedFormat(f"The configuration cannot be used: {reason}") from error
    try:
        with torch.device("meta"):
            model = _MODELS.from_config(config, trust_remote_code=False)
    except Exception as error:
        raise UnsupportedFormat(f"No model can be made of the configuration: {_reason(error)}") from error
    return sum(tensor.numel() for tensor in (*model.parameters(), *model.buffers()))


def _numbers(value: Any, key: str = "") -> Iterator[tuple[str, int]]:
    if isinstance(value, bool):
        return
    if isinstance(value, int):
        yield key, value
    elif isinstance(value, dict):
        for name, item in value.items():
            yield from _numbers(item, str(name))
    elif isinstance(value, list):
        for item in value:
            # Items of a list (token ids, kinds of layers) say nothing about how many there are.
            yield from _numbers(item, "" if isinstance(item, int) else key)


def _unknown(kind: str) -> bool:
    from transformers.models.auto.configuration_auto import CONFIG_MAPPING

    return kind not in CONFIG_MAPPING


def _reason(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}"


def _gguf_header(path: Path) -> GgufHeader:
    with closing(LocalFile(path)) as file:
        return read_gguf_header(file)
