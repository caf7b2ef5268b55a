"""Safetensors to GGUF: names, row order, settings and tokenizer."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import msgspec

from seedstock.convert.architectures import ARCHITECTURES, expected_shapes, read_config, settings
from seedstock.convert.config import Config
from seedstock.convert.mixtures import Shape, Target, is_matrix, stored_type
from seedstock.convert.plan import Plan, PlannedTensor, Value
from seedstock.convert.rotary import frequency_factors
from seedstock.convert.tokenizer import read_tokenizer
from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.checkpoint import Checkpoint

_OTHER = {"model.embed_tokens": "token_embd", "model.norm": "output_norm", "lm_head": "output"}
_IN_LAYER = re.compile(r"model\.layers\.(\d{1,4})\.(.+)\.(weight|bias)\Z")
_COMPUTED = re.compile(r"rotary_emb\.(inv_freq|cos_cached|sin_cached)\Z")
_STRING, _UINT32, _QUANTISATION_VERSION = 8, 4, 2


class ModelFiles(msgspec.Struct, frozen=True):
    """The files beside the weights."""

    name: str
    config: bytes | None
    tokenizer: bytes | None
    tokenizer_config: bytes | None = None
    chat_template: bytes | None = None


def plan_from_safetensors(checkpoint: Checkpoint, files: ModelFiles, target: Target) -> Plan:
    """Plan a GGUF of a safetensors model, from its headers and small files; raises UnsupportedFormat."""
    if files.config is None:
        raise UnsupportedFormat("The model has no config.json, which says what its tensors are")
    if files.tokenizer is None:
        raise UnsupportedFormat(
            "The model has no tokenizer.json, without which a GGUF cannot read text",
            hint="add tokenizer.json and tokenizer_config.json to the repository",
        )
    config, plain = read_config(files.config)
    sources = _sources(checkpoint, config)
    _check_shapes(checkpoint, config, sources)
    kind = ARCHITECTURES[config.model_type]
    shape = Shape(kind.name, config.num_hidden_layers, 0, "output.weight" in sources)
    values = {
        "general.type": Value("model", _STRING),
        "general.name": Value(files.name, _STRING),
        "general.file_type": Value(target.file_type, _UINT32),
        "general.quantization_version": Value(_QUANTISATION_VERSION, _UINT32),
    }
    values |= settings(config)
    values |= read_tokenizer(
        files.tokenizer, files.tokenizer_config, files.chat_template, plain, config.vocab_size
    )
    tensors = tuple(_tensors(checkpoint, config, target, shape, sources))
    return Plan(target, kind.name, values, tensors, tuple(_notes(config)))


def _notes(config: Config) -> Iterator[str]:
    window = config.sliding_window
    if config.model_type in {"mistral", "phi3"} and window and window < config.max_position_embeddings:
        yield (
            f"The model attends to the last {window} tokens only; llama.cpp attends to all, so that longer texts "
            "are answered otherwise."
        )


def _sources(checkpoint: Checkpoint, config: Config) -> dict[str, str]:
    """llama.cpp's names to the checkpoint's."""
    found = {}
    for name in checkpoint.tensors:
        if _COMPUTED.search(name) or (name == "lm_head.weight" and config.tie_word_embeddings):
            continue
        found[_renamed(name, ARCHITECTURES[config.model_type].names)] = name
    if "output.weight" not in found and config.tie_word_embeddings is False:
        raise UnsupportedFormat(
            "lm_head.weight is missing, though config.json says that it is no copy of the embedding"
        )
    return found


def _renamed(name: str, names: Mapping[str, str]) -> str:
    match = _IN_LAYER.match(name)
    if match and match[2] in names:
        return f"blk.{int(match[1])}.{names[match[2]]}.{match[3]}"
    stem, _, ending = name.rpartition(".")
    if stem in _OTHER and ending == "weight":
        return f"{_OTHER[stem]}.weight"
    raise UnsupportedFormat(f"Tensor {name[:80]!r} has no place in a model of this architecture")


def _check_shapes(checkpoint: Checkpoint, config: Config, sources: dict[str, str]) -> None:
    expected = expected_shapes(config)
    missing = next((name for name in expected if name not in sources), None)
    if missing is not None:
        raise UnsupportedFormat(f"A tensor is missing: {missing}", hint="are all files of the model here?")
    kind = ARCHITECTURES[config.model_type]
    for name, source in sources.items():
        shape = checkpoint.tensors[source].shape
        wanted = expected.get(name)
        if name == "output.weight":
            wanted = expected["token_embd.weight"]
        elif wanted is None and name.endswith(".bias") and name.split(".")[2] in kind.biases:
            wanted = expected.get(name.removesuffix("bias") + "weight", ())[:1]
        if not wanted:
            raise UnsupportedFormat(f"Tensor {source[:80]!r} has no place in a model of this architecture")
        if shape != wanted:
            raise UnsupportedFormat(f"Tensor {source[:80]!r} is {shape}; config.json says {wanted}")


def _tensors(
    checkpoint: Checkpoint, config: Config, target: Target, shape: Shape, sources: dict[str, str]
) -> Iterator[PlannedTensor]:
    order = {name: at for at, name in enumerate(expected_shapes(config))}
    kind = ARCHITECTURES[config.model_type]
    head_rows = config.head_size if kind.reordered else 0
    factors = frequency_factors(config)
    if factors:
        yield PlannedTensor("rope_freqs.weight", (len(factors),), "F32", "", constant=factors)
    for name in sorted(sources, key=lambda name: (order.get(_weight_of(name), len(order)), name)):
        source = sources[name]
        wanted = checkpoint.tensors[source].shape
        dtype = stored_type(target, shape, name, wanted[-1]) if is_matrix(name, wanted) else "F32"
        turned = head_rows if name.startswith("blk.") and name.split(".")[2] in {"attn_q", "attn_k"} else 0
        offset = kind.norm_offset if name.endswith("norm.weight") else 0.0
        yield PlannedTensor(name, wanted, dtype, source, turned, offset=offset)


def _weight_of(name: str) -> str:
    return name.removesuffix("bias") + "weight" if name.endswith("bias") else name
