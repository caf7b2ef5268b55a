"""Models and tokenizers as a stage's inputs hold them, loaded without remote code and without pickles."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import (
    AutoConfig,
    AutoModelForCausalLM,
    AutoTokenizer,
    BitsAndBytesConfig,
    GgufConfig,
    set_seed,
)
from transformers.utils.logging import disable_progress_bar

from seedstock.adapt.methods import Lora, Training
from seedstock.adapt.run_stage import out_of_memory
from seedstock.adapt.stage import Event, Stage
from seedstock.adapt.train.folder import (
    WeightsFolder,
    check_folder,
    has_tokenizer,
    inspect_folder,
)
from seedstock.core.errors import Invalid, UnsupportedFormat

Say = Callable[[Event], None]
# Untyped where they are defined.
_MODELS: Any = AutoModelForCausalLM
_quiet: Any = disable_progress_bar
DTYPES = {"float32": torch.float32, "float16": torch.float16, "bfloat16": torch.bfloat16}


@dataclass
class Loaded:
    """A model that is ready to train, and what its output must remember."""

    model: Any
    """A transformers model, or a `PeftModel` around one."""
    tokenizer: Any
    source: Path
    """The folder that the tokenizer came from, whose files are kept as they are."""
    stored: torch.dtype
    """Element type that full weights are saved in."""

    @property
    def is_adapter(self) -> bool:
        """Whether an adapter is trained rather than all weights."""
        return isinstance(self.model, PeftModel)


def arithmetic(dtype: str, device: str) -> torch.dtype:
    """Element type of the arithmetic. `auto` is bfloat16 on a GPU alone: without such instructions it is 5 times slower."""
    if dtype == "auto":
        return torch.bfloat16 if device == "cuda" and torch.cuda.is_bf16_supported() else torch.float32
    return DTYPES[dtype]


def make_deterministic(stage: Stage) -> None:
    """Seed everything; equal stages give equal weights on one platform class."""
    set_seed(stage.seed)
    torch.set_num_threads(stage.threads)
    torch.use_deterministic_algorithms(True, warn_only=stage.device == "cuda")
    torch.utils.deterministic.fill_uninitialized_memory = False  # type: ignore[attr-defined]
    if stage.device == "cuda":
        if not torch.cuda.is_available():
            raise Invalid("The stage asks for a GPU and there is none", hint="Use device: cpu")
        torch.backends.cuda.matmul.allow_tf32 = False
        torch.backends.cudnn.allow_tf32 = False
        torch.backends.cudnn.benchmark = False


def open_base(stage: Stage, work: Path) -> Any:
    """The base's tokenizer, once the base has been found to be one that can be loaded. Takes no weights."""
    base = work / "inputs" / "base"
    check_folder(inspect_folder(base), stage.memory_bytes)
    return load_tokenizer(base)


def load_tokenizer(folder: Path) -> Any:
    """The tokenizer of a model folder, with its chat template."""
    more: dict[str, Any] = {}
    if not has_tokenizer(folder):
        gguf = inspect_folder(folder).gguf
        more = {"gguf_file": gguf.name} if gguf else {}
    if not more and not has_tokenizer(folder):
        raise UnsupportedFormat(
            "The model has no tokenizer that transformers can load",
            hint="It needs tokenizer.json, or tokenizer.model with tokenizer_config.json",
        )
    try:
        tokenizer = AutoTokenizer.from_pretrained(
            str(folder), local_files_only=True, trust_remote_code=False, **more
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UnsupportedFormat(f"The tokenizer cannot be loaded: {_short(error)}") from error
    if tokenizer.pad_token is None:
        if tokenizer.eos_token is None:
            raise UnsupportedFormat("The tokenizer has no end-of-sequence token")
        tokenizer.pad_token = tokenizer.eos_token
    tokenizer.padding_side = "right"
    return tokenizer


def load_model(where: WeightsFolder, *, dtype: torch.dtype, device: str, quantised: bool = False) -> Any:
    """A model's weights on the device as `dtype`. `check_folder` comes first where the folder is not our own."""
    more: dict[str, Any] = {"use_safetensors": True}
    if where.gguf:
        more = {"gguf_file": where.gguf.name, "quantization_config": GgufConfig(dequantize=True)}
    if quantised:
        more["quantization_config"] = _four_bits(device)
    _quiet()
    try:
        model, info = _MODELS.from_pretrained(
            str(where.path),
            dtype=dtype,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
            **more,
        )
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except (ValueError, KeyError, TypeError, AttributeError, EOFError, RuntimeError) as error:
        if out_of_memory(error):
            raise
        raise UnsupportedFormat(f"The base model cannot be loaded: {_short(error)}") from error
    missing = sorted(info["missing_keys"])
    if missing:
        raise UnsupportedFormat(f"The base model lacks weights that its configuration names: {missing[0]}")
    return model if quantised else model.to(device)


def from_scratch(architecture: dict[str, Any], tokenizer: Any, *, device: str, seed: int) -> Any:
    """A model with random weights; vocabulary and special tokens follow the tokenizer."""
    settings = {"vocab_size": len(tokenizer), **architecture}
    for name in ("bos_token_id", "eos_token_id", "pad_token_id"):
        settings.setdefault(name, getattr(tokenizer, name))
    if settings["vocab_size"] < len(tokenizer):
        raise Invalid(
            f"vocab_size is {settings['vocab_size']}, and the tokenizer has {len(tokenizer)} tokens"
        )
    kind = settings.pop("model_type")
    set_seed(seed)
    try:
        config = AutoConfig.for_model(kind, **settings)
        return _MODELS.from_config(config, dtype=torch.float32, trust_remote_code=False).to(device)
    except (ValueError, KeyError, TypeError, AttributeError, ZeroDivisionError) as error:
        raise Invalid(f"No {kind} model can be made of this architecture: {_short(error)}") from error


def load(stage: Stage, work: Path, method: Training, *, tokenizer: Any = None, attach: bool = True) -> Loaded:
    """The stage's base with a new adapter, the adapter it goes on from, or neither.

    `tokenizer`: what `open_base` gave, which has looked at the folder. `attach=False` leaves a new adapter to the trainer, which must know that it is new (see `lora_config`).
    """
    base = work / "inputs" / "base"
    lora = method.lora
    adapter = work / "inputs" / "adapter"
    dtype = arithmetic(method.dtype, stage.device)
    # All weights are trained in float32, bfloat16 being that of the products alone: an update is often smaller than
    # what bfloat16 can add to a weight.
    holding = dtype if lora else torch.float32
    tokenizer = open_base(stage, work) if tokenizer is None else tokenizer
    where = inspect_folder(base)
    model = load_model(where, dtype=holding, device=stage.device, quantised=bool(lora and lora.quantised))
    if adapter.is_dir():
        if lora is None:
            raise Invalid("There is an adapter to go on from, and `lora` is not set")
        model = with_adapter(model, adapter, trainable=True)
    elif lora:
        check_targets(model, lora)
        model = with_lora(model, lora, seed=stage.seed) if attach else model
    return Loaded(model, tokenizer, base, where.stored_dtype)


def with_lora(model: Any, lora: Lora, *, seed: int) -> Any:
    """A fresh adapter on a model."""
    set_seed(seed)
    return get_peft_model(model, lora_config(lora))


def lora_config(lora: Lora) -> LoraConfig:
    """The settings as peft takes them."""
    return LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets,
        bias="none",
        task_type="CAUSAL_LM",
    )


def check_targets(model: Any, lora: Lora) -> None:
    """Refuse targets that the model does not have, each by its name."""
    if lora.targets == "all-linear":
        return
    linear = {name for name, module in model.named_modules() if isinstance(module, torch.nn.Linear)}
    known = sorted({name.rsplit(".", 1)[-1] for name in linear})
    wanted = lora.targets if isinstance(lora.targets, list) else [lora.targets]
    absent = [name for name in wanted if not any(f".{full}".endswith(f".{name}") for full in linear)]
    if absent or not wanted:
        raise Invalid(
            f"The model has no linear modules named {', '.join(absent) or 'nothing'}",
            hint=f"It has {', '.join(known)}; or set lora.targets to all-linear",
        )
    if "lm_head" in wanted:
        raise Invalid("An adapter on lm_head would not be trained", hint="Leave it out of lora.targets")


def with_adapter(model: Any, folder: Path, *, trainable: bool) -> Any:
    """A model with the adapter of a folder on it."""
    if not (folder / "adapter_model.safetensors").is_file() or not (folder / "adapter_config.json").is_file():
        raise UnsupportedFormat("An adapter needs adapter_config.json and adapter_model.safetensors")
    try:
        return PeftModel.from_pretrained(model, str(folder), is_trainable=trainable, local_files_only=True)
    except (MemoryError, torch.OutOfMemoryError):
        raise
    except Exception as error:
        raise UnsupportedFormat(f"The adapter does not fit the base model: {_short(error)}") from error


def _four_bits(device: str) -> Any:
    if device != "cuda" or importlib.util.find_spec("bitsandbytes") is None:
        raise Invalid(
            "lora.quantised keeps the base in 4 bits, which needs a GPU and the package bitsandbytes",
            hint="Set lora.quantised to false: plain LoRA works on any device",
        )
    quantisation: Any = BitsAndBytesConfig
    return quantisation(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=torch.bfloat16,
    )


def _short(error: Exception) -> str:
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return f"{type(error).__name__}: {' '.join(lines)[:300]}"
