"""Code that is known to exist without being in a repo: architectures of transformers and llama.cpp, libraries."""

from __future__ import annotations

import msgspec

# `model_type` of transformers and `general.architecture` of GGUF; a word that is absent here counts as unknown.
MODEL_TYPES = frozenset(
    "albert apertus arcee aria bamba bart bert bitnet blip blip-2 bloom camembert chameleon clip codegen cohere"
    " cohere2 command-r convnext dbrx deberta deberta-v2 deepseek deepseek2 deepseek_v2 deepseek_v3 deit detr diffllama"
    " dinov2 distilbert dots1 electra ernie4_5 ernie4_5_moe exaone exaone4 falcon falcon_h1 falcon_mamba flaubert"
    " florence2 fuyu gemma gemma2 gemma3 gemma3_text gemma3n gemma4 git glm glm4 glm4_moe gpt2 gpt_bigcode gpt_neo"
    " gpt_neox gpt_oss gpt-oss gptj gptneox granite granitemoe granitemoehybrid grok-1 helium hubert idefics idefics2"
    " idefics3 internlm2 internvl jamba jetmoe jais kimi-linear kosmos-2 lfm2 llama llama4 llama4_text llava"
    " llava_next llava_onevision longformer m2m_100 mamba mamba2 marian mbart mimi minicpm minicpm3 minimax ministral"
    " mistral mistral3 mixtral mllama mobilebert mobilevit modernbert moonshine mosaic mpt mt5 musicgen nemotron"
    " nemotron_h nomic-bert olmo olmo2 olmo3 olmoe openelm opt orion paligemma pegasus persimmon phi phi2 phi3 phi4mm"
    " phimoe pixtral plamo qwen qwen2 qwen2_5_omni qwen2_5_vl qwen2_audio qwen2_moe qwen2_vl qwen2moe qwen2vl qwen3"
    " qwen3_moe qwen3_next qwen3_vl qwen3moe recurrent_gemma refact roberta roformer rwkv rwkv6 rwkv7 sam seed_oss"
    " segformer siglip smollm3 smolvlm speecht5 stablelm starcoder starcoder2 swin t5 timesfm trocr unispeech videomae"
    " vilt vision-encoder-decoder vit vits wav2vec2 wavlm whisper xglm xlm-roberta xlnet yolos zamba zamba2 zoedepth".split()
)


class Library(msgspec.Struct, frozen=True):
    """A library that runs or evaluates models: its licence, and words that show it in use."""

    name: str
    license: str
    words: tuple[str, ...]


LIBRARIES = {
    "transformers": Library(
        "transformers", "Apache-2.0", ("from_pretrained", "pipeline(", "vllm", "transformers")
    ),
    "peft": Library("peft", "Apache-2.0", ("from_pretrained", "PeftModel")),
    "diffusers": Library("diffusers", "Apache-2.0", ("from_pretrained", "DiffusionPipeline")),
    "sentence-transformers": Library("sentence-transformers", "Apache-2.0", ("SentenceTransformer",)),
    "timm": Library("timm", "Apache-2.0", ("create_model",)),
    "gguf": Library("llama.cpp", "MIT", ("llama-cli", "llama-server", "llama_cpp", "ollama", "llama.cpp")),
    "mlx": Library("mlx", "MIT", ("mlx_lm",)),
    "vllm": Library("vllm", "Apache-2.0", ("vllm",)),
    "lm-eval": Library("lm-evaluation-harness", "MIT", ()),
    "lighteval": Library("lighteval", "MIT", ()),
    "helm": Library("helm", "Apache-2.0", ()),
}
