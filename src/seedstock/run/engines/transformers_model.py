"""A model as transformers loads it, without remote code and without pickles; imported by the engine's child alone."""

from __future__ import annotations

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import msgspec
import torch
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForCausalLM,
    AutoModelForImageTextToText,
    AutoProcessor,
    AutoTokenizer,
)
from transformers.utils.logging import disable_progress_bar

from seedstock.core.errors import ModelNotRunnable
from seedstock.run.engines.transformers_adapters import Adapters
from seedstock.run.engines.transformers_engine import IMAGE_SETTINGS, MODULES
from seedstock.run.engines.transformers_grammar import Grammars

# Untyped where they are defined.
_CAUSAL: Any = AutoModelForCausalLM
_ENCODER: Any = AutoModel
_SEEING: Any = AutoModelForImageTextToText
_PROCESSOR: Any = AutoProcessor
_quiet: Any = disable_progress_bar
_POOLINGS = {
    "cls": "pooling_mode_cls_token",
    "mean": "pooling_mode_mean_tokens",
    "lasttoken": "pooling_mode_lasttoken",
}
_ERRORS = (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError, ImportError, EOFError)


class Pooling(msgspec.Struct, frozen=True):
    """How token vectors become one: of the first token (`cls`), the `mean`, or of the last (`lasttoken`)."""

    mode: str


class Loaded(msgspec.Struct, frozen=True):
    """A model on its device, and its tokenizer."""

    model: Any
    tokenizer: Any
    defaults: dict[str, Any]
    """What `generation_config.json` says."""
    pooling: Pooling | None
    grammars: Grammars
    adapters: Adapters
    processor: Any = None
    """Of a model that sees: what makes its inputs of texts and images."""


def load(folder: Path, dtype: str) -> Loaded:
    """Load all of a folder. Raises ModelNotRunnable with the library's reason."""
    _quiet()
    pooling = read_pooling(folder)
    cuda = torch.cuda.is_available()
    try:
        tokenizer = AutoTokenizer.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
        processor = _processor(folder) if sees(folder) else None
        model = _model(folder, torch.bfloat16 if cuda else getattr(torch, dtype), pooling, processor)
    except _ERRORS as error:
        raise ModelNotRunnable(f"transformers cannot load this model: {_short(error)}") from None
    if not tokenizer.is_fast:
        raise ModelNotRunnable("This model's tokenizer has no tokenizer.json")
    if tokenizer.pad_token_id is None:
        tokenizer.pad_token = tokenizer.eos_token or tokenizer.convert_ids_to_tokens(0)
    defaults = model.generation_config.to_diff_dict() if pooling is None else {}
    model = model.to("cuda" if cuda else "cpu").eval()
    grammars = Grammars(tokenizer, model.config.get_text_config().vocab_size)
    if tokenizer.chat_template is None and processor is not None:
        tokenizer.chat_template = processor.chat_template
    return Loaded(model, tokenizer, defaults, pooling, grammars, Adapters(model), processor)


def sees(folder: Path) -> bool:
    """Whether a model takes images."""
    config = _json(folder / "config.json", dict[str, Any])
    return isinstance(config.get("vision_config"), dict) and any(
        (folder / name).exists() for name in IMAGE_SETTINGS
    )


def _processor(folder: Path) -> Any:
    if find_spec("PIL") is None:
        raise ModelNotRunnable("Models that see need Pillow", hint="pip install 'seedstock[adapt]'")
    return _PROCESSOR.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)


def _model(folder: Path, dtype: torch.dtype, pooling: Pooling | None, processor: Any) -> Any:
    embeds = pooling is not None
    kind = _SEEING if processor is not None else _ENCODER if embeds else _CAUSAL
    config = AutoConfig.from_pretrained(str(folder), local_files_only=True, trust_remote_code=False)
    for attention in ("sdpa", "eager"):  # named, for a config may name code to be fetched
        try:
            model, info = kind.from_pretrained(
                str(folder),
                config=config,
                dtype=dtype,
                attn_implementation=attention,
                use_safetensors=True,
                local_files_only=True,
                trust_remote_code=False,
                output_loading_info=True,
            )
            break
        except ValueError as error:
            if attention == "eager" or "scaled_dot_product_attention" not in str(error):
                raise
    missing = sorted(name for name in info["missing_keys"] if not (embeds and "pooler" in name))
    if missing:
        raise ModelNotRunnable(f"The weights lack {missing[0]}, which config.json asks for")
    return model


def read_pooling(folder: Path) -> Pooling | None:
    """How a sentence-transformers model pools; None for a model that makes text. Raises ModelNotRunnable."""
    if not (folder / MODULES).exists():
        return None
    kinds = [
        str(module.get("type", "")).rpartition(".")[2]
        for module in _json(folder / MODULES, list[dict[str, Any]])
    ]
    if kinds[:2] != ["Transformer", "Pooling"] or kinds[2:] not in ([], ["Normalize"]):
        raise ModelNotRunnable(
            f"This model embeds by {', '.join(kinds)}; only Transformer, Pooling, Normalize are known"
        )
    settings = _json(folder / "1_Pooling" / "config.json", dict[str, Any])
    named = settings.get("pooling_mode")
    modes = [mode for mode, flag in _POOLINGS.items() if settings.get(flag) is True or named == mode]
    others = [name for name, on in settings.items() if name.startswith("pooling_mode_") and on is True]
    if len(modes) != 1 or len(others) > 1:
        raise ModelNotRunnable(
            f"This model pools by {', '.join(others) or named}; only cls, mean or last token are known"
        )
    return Pooling(modes[0])


def _json(path: Path, kind: Any) -> Any:
    try:
        return msgspec.json.decode(path.read_bytes(), type=kind)
    except (OSError, msgspec.MsgspecError) as error:
        raise ModelNotRunnable(f"{path.name} of this model cannot be read: {error}") from None


def _short(error: BaseException) -> str:
    return next((line.strip() for line in str(error).splitlines() if line.strip()), type(error).__name__)[
        :300
    ]
