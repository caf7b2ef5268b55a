"""Tiny random models of architectures that only transformers runs here: a GPT-2, a BERT that embeds, a LLaVA that sees."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

from tests.factories.hf_model import byte_vocabulary
from tests.factories.tiny_llama import CHAT, VOCABULARY, write_tokenizer


def write_gpt2(
    folder: Path,
    *,
    seed: int = 0,
    chat: str | None = CHAT,
    positions: int = 256,
    script: tuple[str, ...] = (),
) -> Path:
    """A GPT-2 of two layers.

    With a `script` of distinct pieces it says just those, in their order, after any prompt that ends in a line break.
    """
    import torch
    from transformers import GPT2Config, GPT2LMHeadModel

    torch.manual_seed(seed)
    config: Any = GPT2Config(
        vocab_size=VOCABULARY + len(script), n_positions=positions, n_embd=32, n_layer=2, n_head=2, bos_token_id=None,
        eos_token_id=264, pad_token_id=264, initializer_range=0.3, tie_word_embeddings=not script,
    )  # fmt: skip
    model = GPT2LMHeadModel(config)
    if script:
        _learn(model, script)
    model.save_pretrained(str(folder))
    write_tokenizer(folder, chat, script)
    return folder


def _learn(model: Any, script: tuple[str, ...]) -> None:
    """A chain: a line break is followed by the first piece, each piece by the next, the last by the end."""
    import torch

    with torch.no_grad():
        for name, weight in model.named_parameters():
            if "ln_" not in name:
                weight.zero_()
        embedding, output = model.transformer.wte.weight, model.lm_head.weight
        embedding[:, -1] = 1
        chain = [byte_vocabulary()["Ċ"], *range(VOCABULARY, VOCABULARY + len(script)), 264]
        for at, (token, following) in enumerate(itertools.pairwise(chain)):
            embedding[token] = 0
            embedding[token, at] = 1
            output[following, at] = 10


def write_bert(
    folder: Path, *, pooling: str = "mean_tokens", modules: tuple[str, ...] = ("Normalize",)
) -> Path:
    """A BERT of one layer, as sentence-transformers publishes it."""
    import torch
    from transformers import BertConfig, BertModel

    torch.manual_seed(0)
    config: Any = BertConfig(
        vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=1, num_attention_heads=2, intermediate_size=64,
        max_position_embeddings=64, pad_token_id=264, initializer_range=0.3,
    )  # fmt: skip
    BertModel(config).save_pretrained(str(folder))
    write_tokenizer(folder, None)
    kinds = ("Transformer", "Pooling", *modules)
    described = [
        {
            "idx": at,
            "name": str(at),
            "path": "" if at == 0 else f"{at}_{kind}",
            "type": f"sentence_transformers.models.{kind}",
        }
        for at, kind in enumerate(kinds)
    ]
    (folder / "modules.json").write_text(json.dumps(described))
    (folder / "1_Pooling").mkdir()
    flags = {
        f"pooling_mode_{name}": name == pooling
        for name in ("cls_token", "mean_tokens", "max_tokens", "lasttoken")
    }
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"word_embedding_dimension": 32, **flags}))
    return folder


def write_llava(folder: Path) -> Path:
    """A LLaVA of two layers, whose images have four patches."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration
    from transformers import LlavaProcessor, PreTrainedTokenizerFast  # isort: skip
    from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

    torch.manual_seed(0)
    shape: Any = {
        "hidden_size": 32,
        "intermediate_size": 64,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
    }
    vision: Any = CLIPVisionConfig(
        **shape, image_size=28, patch_size=14, projection_dim=32, initializer_range=0.3
    )
    text: Any = LlamaConfig(
        **shape, vocab_size=VOCABULARY + 1, num_key_value_heads=2, max_position_embeddings=256, bos_token_id=None,
        eos_token_id=264, pad_token_id=264, initializer_range=0.3,
    )  # fmt: skip
    config: Any = LlavaConfig(
        vision_config=vision, text_config=text, image_token_index=VOCABULARY, vision_feature_layer=-1
    )
    LlavaForConditionalGeneration(config).save_pretrained(str(folder))
    write_tokenizer(folder, None, ("<image>",))
    size: Any = {"height": 28, "width": 28}
    LlavaProcessor(
        CLIPImageProcessorPil(size=size, crop_size=size),
        PreTrainedTokenizerFast.from_pretrained(str(folder)),
        patch_size=14,
        num_additional_image_tokens=1,
        vision_feature_select_strategy="default",
        chat_template=CHAT.replace("{{ message['content'] }}", _PARTS),
    ).save_pretrained(str(folder))
    return folder


_PARTS = (
    "{% for part in message['content'] %}{% if part['type'] == 'image' %}<image>{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}"
)
