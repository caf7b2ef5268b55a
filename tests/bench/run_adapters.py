"""The memory of ten LoRA variants of SmolLM2 that answer in turn, against that of one."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import httpx
import numpy as np
from huggingface_hub import CommitOperationAdd

from tests.bench.results import Goal, Plan, Row, Section
from tests.bench.run_hub import REPO, RunHub, run_hub
from tests.factories.hf_model import safetensors_bytes
from tests.factories.lora import adapter_config

VARIANTS, RANK = 10, 16
# Width in and out of what is adapted in each of SmolLM2's 30 layers.
_MODULES = {
    "self_attn.q_proj": (576, 576),
    "self_attn.k_proj": (576, 192),
    "self_attn.v_proj": (576, 192),
    "self_attn.o_proj": (576, 576),
    "mlp.gate_proj": (576, 1536),
    "mlp.up_proj": (576, 1536),
    "mlp.down_proj": (1536, 576),
}
_LAYERS = 30


def measure(plan: Plan) -> Section:
    """Each variant answers twice; the most memory that the engines ever had resident."""
    with run_hub(plan.folder) as hub:
        names = [_publish(hub, seed) for seed in range(2 if plan.quick else VARIANTS)]
        hub.process.admin("jobs", "--wait")
        said, one, most = _ask_all(hub, names)
    if len(set(said)) < len(names):
        raise SystemExit("two variants gave the same answer: not every adapter was applied")
    goal = Goal(
        "ten LoRA variants in turn: engine's resident memory, of one's", "x", [most / one], at_most=1.3
    )
    rows = [Row("one variant", "MB", [one / 1e6]), Row(f"{len(names)} variants", "MB", [most / 1e6])]
    return Section(
        "Adapters", f"SmolLM2-135M Q4_1, adapters of rank {RANK} on every linear module.", rows, [goal]
    )


def _publish(hub: RunHub, seed: int) -> str:
    random = np.random.default_rng(seed)
    state = {}
    for layer in range(_LAYERS):
        for module, (into, out) in _MODULES.items():
            at = f"base_model.model.model.layers.{layer}.{module}"
            state[f"{at}.lora_A.weight"] = random.standard_normal((RANK, into), np.float32) / into**0.5
            state[f"{at}.lora_B.weight"] = random.standard_normal((out, RANK), np.float32) * 0.05
    modules = [module.rpartition(".")[2] for module in _MODULES]
    settings = adapter_config(REPO, r=RANK, lora_alpha=RANK, target_modules=modules)
    name = f"ada/variant-{seed}"
    hub.api.create_repo(name)
    files = {
        "adapter_config.json": json.dumps(settings).encode(),
        "adapter_model.safetensors": safetensors_bytes(state, "F16"),
    }
    operations = [CommitOperationAdd(path, data) for path, data in files.items()]
    hub.api.create_commit(name, operations, commit_message="An adapter")
    return name


def _ask_all(hub: RunHub, names: list[str]) -> tuple[list[str], int, int]:
    headers = {"Authorization": f"Bearer {hub.key}"}
    said, one, most = [], 0, 0
    with httpx.Client(base_url=hub.process.url, headers=headers, timeout=300, trust_env=False) as client:
        for name in [*names, *names]:
            body = {"model": name, "prompt": "The river", "max_tokens": 12, "temperature": 0, "seed": 1}
            answer = client.post("/v1/completions", json=body).raise_for_status().json()
            said.append(answer["choices"][0]["text"])
            now = _resident_bytes(asyncio.run(hub.engine_pid()))
            one, most = one or now, max(most, now)
    return said[: len(names)], one, most


def _resident_bytes(pid: int) -> int:
    status = Path(f"/proc/{pid}/status").read_text()
    return next(int(line.split()[1]) << 10 for line in status.splitlines() if line.startswith("VmRSS:"))
