"""What a tensor's name says: its layer and role in every naming that is common.

Roles of a layer: q, k, v, o, qkv (kept fused where heads are interleaved), gate, up, down, attn_norm, mlp_norm and
other norms. A model whose MLP has no gate has `up` and `down` only.
"""

from __future__ import annotations

import re
from collections.abc import Mapping

LAYER = re.compile(
    r"(?P<prefix>(?:.*\.)?)(?P<list>layers|layer|h|blk|blocks|block)\.(?P<index>\d{1,4})\.(?P<rest>.+)\Z"
)
_ROLES: Mapping[str, str] = {
    # llama, mistral, qwen, gemma, smollm and all that copy their names
    "self_attn.q_proj": "q", "self_attn.k_proj": "k", "self_attn.v_proj": "v", "self_attn.o_proj": "o",
    "mlp.gate_proj": "gate", "mlp.up_proj": "up", "mlp.down_proj": "down",
    "input_layernorm": "attn_norm", "post_attention_layernorm": "mlp_norm",
    "pre_feedforward_layernorm": "pre_mlp_norm", "post_feedforward_layernorm": "post_mlp_norm",
    "self_attn.q_norm": "q_norm", "self_attn.k_norm": "k_norm",
    # phi-3: fused; phi-2, opt, gpt-j: no gate
    "self_attn.qkv_proj": "qkv", "mlp.gate_up_proj": "gate_up",
    "self_attn.dense": "o", "self_attn.out_proj": "o", "mlp.fc1": "up", "mlp.fc2": "down",
    "fc1": "up", "fc2": "down", "final_layer_norm": "mlp_norm", "self_attn_layer_norm": "attn_norm",
    "mlp.fc_in": "up", "mlp.fc_out": "down", "attn.q_proj": "q", "attn.k_proj": "k", "attn.v_proj": "v",
    "attn.out_proj": "o",
    # gpt-2; gpt-neox, falcon, bloom
    "attn.c_attn": "qkv", "attn.c_proj": "o", "mlp.c_fc": "up", "mlp.c_proj": "down", "ln_1": "attn_norm",
    "ln_2": "mlp_norm", "attention.query_key_value": "qkv", "attention.dense": "o",
    "self_attention.query_key_value": "qkv", "self_attention.dense": "o",
    "mlp.dense_h_to_4h": "up", "mlp.dense_4h_to_h": "down",
    # meta's own, internlm2
    "attention.wq": "q", "attention.wk": "k", "attention.wv": "v", "attention.wo": "o", "attention.wqkv": "qkv",
    "feed_forward.w1": "gate", "feed_forward.w2": "down", "feed_forward.w3": "up",
    "attention_norm": "attn_norm", "ffn_norm": "mlp_norm",
    # bert
    "attention.self.query": "q", "attention.self.key": "k", "attention.self.value": "v",
    "attention.output.dense": "o", "intermediate.dense": "up", "output.dense": "down",
    # gguf
    "attn_q": "q", "attn_k": "k", "attn_v": "v", "attn_output": "o", "attn_qkv": "qkv",
    "ffn_gate": "gate", "ffn_up": "up", "ffn_down": "down", "attn_norm": "attn_norm",
    "attn_q_norm": "q_norm", "attn_k_norm": "k_norm", "post_attention_norm": "post_attn_norm",
    "post_ffw_norm": "post_mlp_norm",
}  # fmt: skip
EMBEDDINGS = (
    "embed_tokens.weight", "token_embd.weight", "tok_embeddings.weight", "wte.weight", "embed_in.weight",
    "word_embeddings.weight", "embeddings.word_embeddings.weight",
)  # fmt: skip
HEADS = ("lm_head.weight", "embed_out.weight", "output.weight")
FINAL_NORMS = (
    "model.norm.weight",
    "output_norm.weight",
    "ln_f.weight",
    "final_layer_norm.weight",
    "norm.weight",
)


def role_of(name: str) -> tuple[int, str] | None:
    """Layer number and role that a tensor's name means; None if it is not understood."""
    match = LAYER.match(name)
    role = role_in_layer(match["rest"]) if match else None
    return (int(match["index"]), role) if match and role else None


def role_in_layer(rest: str) -> str | None:
    """The role that the rest of a name, after its layer, means; None if it is not understood."""
    name, _, kind = rest.rpartition(".")
    role = _ROLES.get(name)
    if role is None or kind == "weight":
        return role
    return f"{role}_bias" if kind == "bias" else None
