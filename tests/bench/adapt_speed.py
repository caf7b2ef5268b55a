"""Training as a stage against plain trl.

Both train the same model on the same rows with the same settings, turn about, each time in a fresh process with one
thread. A stage's own extras (evaluations, samples) are off: plain trl does none.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import msgspec

from seedstock.adapt.methods import Sft
from seedstock.adapt.stage import Event, Stage, write_stage
from tests.bench.results import Goal, Plan, Row, Section
from tests.factories.tiny_llama import write_model, write_tokenizer

ROOT = Path(__file__).parents[2]
WORDS = "the ring sings of a thing in the spring and her river is there then when it bends to the end".split()


def main() -> None:
    """The process of plain trl, with the model's folder and one with settings and rows; or `write` and a folder for a model."""
    if sys.argv[1] == "write":
        write_larger_model(Path(sys.argv[2]))
        return
    print(json.dumps(plain(Path(sys.argv[1]), Path(sys.argv[2]))))


def write_larger_model(folder: Path) -> None:
    """A random llama of 11 million weights: large enough that its steps are arithmetic, not calls."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    torch.manual_seed(0)
    config = LlamaConfig(
        hidden_size=384, intermediate_size=1024, num_hidden_layers=6, num_attention_heads=6, num_key_value_heads=6,
        vocab_size=267, max_position_embeddings=512, tie_word_embeddings=False, bos_token_id=None, eos_token_id=264,
    )  # fmt: skip
    LlamaForCausalLM(config).save_pretrained(str(folder))
    write_tokenizer(folder)


_FIGURES = {
    "seconds": ("time of the steps", 1.02),
    "cpu_seconds": ("CPU time of the steps", 1.02),
    "whole_seconds": ("time of the process, imports included", None),
    "peak_bytes": ("peak memory", 1.02),
}


def measure(plan: Plan) -> Section:
    """An adapter and all weights of a small random model, turn about with plain trl."""
    model = plan.folder / "speed-model"
    # Neighbouring runs of one and the same side differ by up to 5 %: the median of 4 turns moved by 2 % between runs.
    steps, turns = (2, 1) if plan.quick else (20, 8)
    if plan.quick:
        write_model(model)
    else:
        _timed([sys.executable, "-m", "tests.bench.adapt_speed", "write", str(model)])
    goals, rows = [], []
    for name, lora in (("adapter", True), ("all weights", False)):
        method = method_of(steps, lora=lora)
        ours, theirs = run_turns(plan.folder, model, method, turns)
        for key, (label, most) in _FIGURES.items():
            ratios = [mine[key] / yours[key] for mine, yours in zip(ours, theirs, strict=True)]
            goals.append(Goal(f"training {name}: {label}, of plain trl's", "x", ratios, at_most=most))
        for side, found in (("a stage", ours), ("plain trl", theirs)):
            rows.append(Row(f"{name}, {side}", "s", [item["seconds"] for item in found]))
    shutil.rmtree(model)
    note = f"{steps} steps of 4 sequences on one thread; a stage's own evaluations and samples are off, for plain trl has none."
    return Section("Training", note, rows, goals)


def method_of(steps: int, *, lora: bool) -> Sft:
    """Settings that both sides get."""
    method = Sft(
        steps=steps,
        batch_size=4,
        max_length=128,
        held_out=0.0,
        warmup=0.0,
        schedule="linear",
        sample_every=10_000,
    )
    return method if lora else msgspec.structs.replace(method, lora=None, learning_rate=2e-5)


Figures = list[dict[str, float]]


def run_turns(work: Path, model: Path, method: Sft, turns: int) -> tuple[Figures, Figures]:
    """Both sides in turn, each first in every other: a machine that warms up or drifts then favours neither."""
    rows = _rows(4 * method.steps)
    ours, theirs = [], []
    for turn in range(turns):
        sides = [(_stage, ours), (_plain, theirs)]
        for side, found in sides if turn % 2 == 0 else reversed(sides):
            found.append(side(work / f"{side.__name__}{turn}", model.resolve(), method, rows))
    return ours, theirs


def _rows(count: int) -> list[dict[str, str]]:
    chance = random.Random(1)
    return [
        {
            "prompt": " ".join(chance.choices(WORDS, k=chance.randint(10, 30))),
            "completion": " " + " ".join(chance.choices(WORDS, k=chance.randint(20, 60))),
        }
        for _ in range(count)
    ]


def _stage(work: Path, model: Path, method: Sft, rows: list[dict[str, str]]) -> dict[str, float]:
    write_stage(work, Stage(op="sft", args=msgspec.to_builtins(method), inputs={}, seed=1))
    (work / "inputs" / "base").symlink_to(model)
    _write_rows(work / "inputs" / "data", rows)
    out, spent = _timed([sys.executable, "-m", "seedstock.adapt.run_stage", str(work)])
    last = msgspec.json.decode(out.splitlines()[-1], type=Event)
    if last.result is None:
        raise SystemExit(f"the stage failed: {last.error}")
    shutil.rmtree(work)
    found = last.result
    figures = {"seconds": found["seconds"], "cpu_seconds": found["cpu_seconds"]}
    return figures | {"peak_bytes": found["peak_memory_bytes"], "loss": _last_loss(out)} | spent


def _last_loss(out: bytes) -> float:
    events = [msgspec.json.decode(line, type=Event) for line in out.splitlines()]
    return [event.metrics["loss"] for event in events if event.metrics and "loss" in event.metrics][-1]


def _plain(work: Path, model: Path, method: Sft, rows: list[dict[str, str]]) -> dict[str, float]:
    _write_rows(work, rows)
    (work / "settings.json").write_bytes(msgspec.json.encode(method))
    out, spent = _timed([sys.executable, "-m", "tests.bench.adapt_speed", str(model), str(work)])
    shutil.rmtree(work)
    return {**json.loads(out.splitlines()[-1]), **spent}


def _write_rows(folder: Path, rows: list[dict[str, str]]) -> None:
    folder.mkdir(parents=True)
    (folder / "train.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))


def _timed(command: list[str]) -> tuple[bytes, dict[str, float]]:
    environment = {
        **os.environ,
        "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
        **dict.fromkeys(("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1"),
        "HF_HUB_OFFLINE": "1",
        "TOKENIZERS_PARALLELISM": "false",
    }
    before, began = os.times(), time.monotonic()
    done = subprocess.run(command, capture_output=True, env=environment, cwd=ROOT, check=False)
    after = os.times()
    if done.returncode:
        raise SystemExit(done.stderr.decode()[-2000:] or done.stdout.decode()[-2000:])
    cpu = after.children_user + after.children_system - before.children_user - before.children_system
    return done.stdout, {"whole_seconds": time.monotonic() - began, "whole_cpu_seconds": cpu}


def plain(model: Path, work: Path) -> dict[str, Any]:
    """Plain trl, as its documentation has it, with the stage's settings."""
    import torch
    from datasets import load_dataset
    from peft import LoraConfig
    from transformers import AutoModelForCausalLM, AutoTokenizer
    from trl import SFTConfig, SFTTrainer

    from seedstock.adapt.train.facts import peak_memory_bytes

    method = msgspec.json.decode((work / "settings.json").read_bytes(), type=Sft)
    torch.set_num_threads(1)
    lora = method.lora and LoraConfig(
        r=method.lora.r, lora_alpha=method.lora.alpha, target_modules="all-linear", task_type="CAUSAL_LM"
    )
    trainer = SFTTrainer(
        model=AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32),
        args=SFTConfig(
            output_dir=str(work / "out"),
            max_steps=method.steps,
            per_device_train_batch_size=method.batch_size,
            learning_rate=method.learning_rate,
            lr_scheduler_type=method.schedule,
            warmup_steps=0,
            max_length=method.max_length,
            seed=1,
            use_cpu=True,
            bf16=False,
            activation_checkpointing=False,
            logging_steps=1,
            save_strategy="no",
            report_to=[],
            disable_tqdm=True,
            completion_only_loss=True,
        ),
        train_dataset=load_dataset(
            "json", data_files=str(work / "train.jsonl"), split="train", cache_dir=str(work / "cache")
        ),
        processing_class=AutoTokenizer.from_pretrained(model),
        peft_config=lora or None,
    )
    began, cpu = time.monotonic(), time.process_time()
    trainer.train()
    seconds, cpu_seconds = time.monotonic() - began, time.process_time() - cpu
    trainer.save_model(str(work / "out"))
    loss = [entry["loss"] for entry in trainer.state.log_history if "loss" in entry][-1]
    return {"seconds": seconds, "cpu_seconds": cpu_seconds, "peak_bytes": peak_memory_bytes(), "loss": loss}


if __name__ == "__main__":
    main()
