"""The result as files: an adapter or a whole model in safetensors, with tokenizer, chat template and configuration."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import torch
from peft import PeftModel

from seedstock.adapt.output import begin_output
from seedstock.adapt.train.folder import TOKENIZER_FILES, has_tokenizer
from seedstock.adapt.train.model import Loaded, load_tokenizer

# What transformers, peft and trl leave beside the weights: a form to fill in, and pickles.
JUNK = ("README.md", "training_args.bin", "*.pt", "*.pth", "*.bin", "*.pkl")
SHARD_SIZE = "5GB"
KEPT_FILES = (
    *TOKENIZER_FILES,
    *(
        "tokenizer_config.json",
        "special_tokens_map.json",
        "added_tokens.json",
        "merges.txt",
        "chat_template.jinja",
        "chat_template.json",
    ),
)


def save_output(loaded: Loaded, work: Path) -> Path:
    """Write the trained model, or the adapter, into the stage's unfinished output."""
    folder = begin_output(work)
    if isinstance(loaded.model, PeftModel):
        save_adapter(loaded.model, folder)
    else:
        save_model(loaded.model, folder, loaded.stored)
    add_end_of_turn(loaded.model, loaded.tokenizer)
    if not loaded.is_adapter:
        _save_generation_config(loaded.model, folder)
    save_tokenizer(loaded.tokenizer, loaded.source, folder)
    for pattern in JUNK:
        for path in folder.glob(pattern):
            path.unlink()
    return folder


def save_adapter(model: Any, folder: Path) -> None:
    """`adapter_model.safetensors` and `adapter_config.json`, whose base model is the publisher's to name."""
    model.save_pretrained(str(folder), safe_serialization=True, selected_adapters=["default"])
    # peft fills in the path of the folder that the base was loaded from.
    written = folder / "adapter_config.json"
    settings = json.loads(written.read_text()) | {"base_model_name_or_path": None}
    written.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")


def save_model(model: Any, folder: Path, stored: torch.dtype) -> None:
    """All weights as `stored`, with `config.json`. The model's own weights are converted: it is not used afterwards."""
    model = model.to(stored)
    model.config.dtype = stored
    model.save_pretrained(str(folder), safe_serialization=True, max_shard_size=SHARD_SIZE)


def save_tokenizer(tokenizer: Any, source: Path, folder: Path) -> None:
    """The base's own tokenizer files, byte for byte, and a chat template that was given to it.

    Written anew they would differ: transformers adds a padding token and how they were loaded.
    """
    if not has_tokenizer(source):
        tokenizer.save_pretrained(str(folder))
        return
    for name in KEPT_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    before = load_tokenizer(source).chat_template
    if tokenizer.chat_template and before != tokenizer.chat_template:
        (folder / "chat_template.jinja").write_text(tokenizer.chat_template)


def merge_adapter(loaded: Loaded) -> Loaded:
    """The model with its adapter added to the weights, in memory. A whole model at once: see `merge` for the streamed way."""
    assert isinstance(loaded.model, PeftModel)
    merged = loaded.model.merge_and_unload(safe_merge=True)
    return Loaded(merged, loaded.tokenizer, loaded.source, loaded.stored)


def add_end_of_turn(model: Any, tokenizer: Any) -> None:
    """Generation must stop where a turn of the chat template ends, not only at the end of text."""
    settings = getattr(model, "generation_config", None)
    ends = end_tokens(tokenizer)
    if settings is None or not ends:
        return
    known = settings.eos_token_id
    known = [] if known is None else [known] if isinstance(known, int) else list(known)
    merged = list(dict.fromkeys([*known, *ends]))
    settings.eos_token_id = merged[0] if len(merged) == 1 else merged


def end_tokens(tokenizer: Any) -> list[int]:
    """Tokens that end an answer: the tokenizer's own, and ChatML's where its template writes it."""
    found = [] if tokenizer.eos_token_id is None else [tokenizer.eos_token_id]
    for text in ("<|im_end|>", "<|eot_id|>", "<end_of_turn>", "<|end|>"):
        number = tokenizer.get_vocab().get(text)
        if number is not None and text in (tokenizer.chat_template or ""):
            found.append(number)
    return list(dict.fromkeys(found))


def _save_generation_config(model: Any, folder: Path) -> None:
    settings = getattr(model, "generation_config", None)
    if settings is not None:
        settings.save_pretrained(str(folder))
