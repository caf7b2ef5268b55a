"""Where GRPO's completions come from: our decoding against what else could write them on a processor, same model, same work."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

from tests.bench.results import Goal, Plan, Row, Section
from tests.factories.tiny_llama import write_tokenizer

ROOT = Path(__file__).parents[2]
SIDES = ("ours", "generate", "continuous", "llama.cpp")
NAMES = {
    "ours": "our decoding in GRPO",
    "generate": "trl's own way, transformers generate",
    "continuous": "continuous batching of transformers",
    "llama.cpp": "llama.cpp, 16 slots, the new weights written out and loaded first",
}
PROMPTS, GROUP, TOKENS = 12, 16, 80


def measure(plan: Plan) -> Section:
    """Each side in fresh processes, turn about; one step of 192 completions of up to 80 tokens."""
    folder = plan.folder / "rollouts"
    _side("write", folder, 4 if plan.quick else TOKENS)
    tokens, turns = (4, 1) if plan.quick else (TOKENS, 3)
    found: dict[str, list[float]] = {side: [] for side in SIDES}
    for _ in range(turns):
        for side in SIDES:
            found[side].append(_side(side, folder, tokens))
    best = [max(found[side][turn] for side in SIDES[1:]) for turn in range(turns)]
    goal = Goal(
        "rollouts: our tokens/s against the best other way",
        "x",
        [ours / other for ours, other in zip(found["ours"], best, strict=True)],
        at_least=0.9,
    )
    rows = [Row(NAMES[side], "tokens/s", samples) for side, samples in found.items()]
    note = f"A Llama of 104,000 weights, {PROMPTS} prompts x {GROUP} completions of {TOKENS} tokens, one thread, float32; continuous batching, which takes minutes for it, 32 completions of 20 tokens."
    return Section("Rollouts", note, rows, [goal])


def _side(name: str, folder: Path, tokens: int) -> float:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    command = [sys.executable, "-m", "tests.bench.rollouts", name, str(folder), str(tokens)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment, cwd=ROOT, check=False)
    if done.returncode:
        raise SystemExit(done.stderr[-2000:])
    return float(json.loads(done.stdout.splitlines()[-1]))


def main() -> None:
    """One side, in its own process: prints tokens a second."""
    name, folder, tokens = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    if name == "write":
        _write(folder)
        print(0.0)
        return
    if name == "llama.cpp":
        print(_llama_cpp(folder, tokens))
        return
    import torch
    from transformers import AutoModelForCausalLM

    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(str(folder), dtype=torch.float32).eval()
    prompts = [_prompt(number) for number in range(PROMPTS) for _ in range(GROUP)]
    if name == "continuous":
        prompts, tokens = (
            prompts[: 2 * GROUP],
            min(tokens, 20),
        )  # a sixth of a minute; all of it would take five
    side = {"ours": _ours, "generate": _generate, "continuous": _continuous}[name]
    side(model, prompts, 4)  # what is compiled or cached at first
    began = time.perf_counter()
    written = side(model, prompts, tokens)
    print(written / (time.perf_counter() - began))


def _prompt(number: int) -> list[int]:
    return [(number * 7 + at) % 200 + 1 for at in range(8)]


def _write(folder: Path) -> None:
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=64, intermediate_size=176, num_hidden_layers=2, num_attention_heads=4, num_key_value_heads=4,
        vocab_size=267, max_position_embeddings=256, tie_word_embeddings=False, bos_token_id=None, eos_token_id=264,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(str(folder))
    write_tokenizer(folder)


def _ours(model: Any, prompts: list[list[int]], tokens: int) -> int:
    from seedstock.adapt.train.rollout import Decoding, complete, generator

    written = complete(model, prompts, Decoding(max_new_tokens=tokens), generator("cpu", 0), rows=256)
    return sum(map(len, written))


def _generate(model: Any, prompts: list[list[int]], tokens: int) -> int:
    import torch

    ids = torch.tensor(prompts)
    with torch.no_grad():
        out = model.generate(
            input_ids=ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, min_new_tokens=tokens,
            do_sample=True, temperature=1.0, top_k=0, pad_token_id=0,
        )  # fmt: skip
    return int((out.shape[1] - ids.shape[1]) * len(prompts))


def _continuous(model: Any, prompts: list[list[int]], tokens: int) -> int:
    from transformers import GenerationConfig

    settings = GenerationConfig(
        max_new_tokens=tokens, do_sample=True, temperature=1.0, top_k=0, eos_token_id=-1, pad_token_id=0
    )
    found = model.generate_batch(inputs=prompts, generation_config=settings, progress_bar=False)
    return sum(len(one.generated_tokens) for one in found.values())


def _llama_cpp(folder: Path, tokens: int) -> float:
    """As a step of training would have to: write the weights as a GGUF, start an engine on it, ask, stop."""
    from concurrent.futures import ThreadPoolExecutor

    import xllamacpp

    from seedstock.convert.from_safetensors import ModelFiles, plan_from_safetensors
    from seedstock.convert.mixtures import find_target
    from seedstock.convert.plan import write
    from seedstock.metadata.source import LocalFile
    from seedstock.weights.checkpoint import open_checkpoint

    began = time.perf_counter()
    checkpoint = open_checkpoint({"model.safetensors": LocalFile(folder / "model.safetensors")})
    texts = [
        (folder / name).read_bytes() for name in ("config.json", "tokenizer.json", "tokenizer_config.json")
    ]
    plan = plan_from_safetensors(checkpoint, ModelFiles("tiny", *texts, None), find_target("F16"))
    path = folder / "tiny.gguf"
    with path.open("wb") as file:
        write(plan, checkpoint, file.write)
    params = xllamacpp.CommonParams()
    params.model.path = str(path)
    params.n_parallel = GROUP
    params.n_ctx = GROUP * 128
    params.cpuparams.n_threads = 1
    params.cpuparams_batch.n_threads = 1
    server = xllamacpp.Server(params)
    asked = [_prompt(number) for number in range(PROMPTS) for _ in range(GROUP)]

    def one(prompt: list[int]) -> int:
        request = {
            "prompt": prompt,
            "n_predict": tokens,
            "temperature": 1.0,
            "top_k": 0,
            "top_p": 1.0,
            "min_p": 0.0,
            "ignore_eos": True,
        }
        return int(server.handle_completions(request)["usage"]["completion_tokens"])

    with ThreadPoolExecutor(GROUP) as pool:
        written = sum(pool.map(one, asked))
    return written / (time.perf_counter() - began)


if __name__ == "__main__":
    main()
