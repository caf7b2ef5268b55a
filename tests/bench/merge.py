"""Merges of two models of SmolLM2-135M's shapes, against the bare work: reading, the arithmetic in plain numpy, writing.

The bare side takes a tensor at a time as one does by hand, with the same formulas; it knows no progress, checks nothing
and holds whole tensors.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import msgspec
import numpy as np

from seedstock.adapt.merge.model import Model
from seedstock.adapt.merge.stage import run
from seedstock.adapt.methods import Merge
from seedstock.adapt.stage import Stage, write_stage
from tests.bench.results import Goal, Plan, Row, Section, Table

HIDDEN, INNER, KEYS, LAYERS, VOCABULARY = 576, 1536, 192, 30, 49152
METHODS: dict[str, dict[str, Any]] = {
    "linear": {"weights": [0.3, 0.7]},
    "slerp": {"weights": [0.4]},
    "task_arithmetic": {"weights": [0.6, 0.4]},
    "ties": {"weights": [0.6, 0.4]},
    "dare_linear": {"weights": [0.6, 0.4]},
    "dare_ties": {"weights": [0.6, 0.4]},
    "passthrough": {"layers": [[0, 0, 20], [1, 20, 30]]},
    "lora": {},
}
MOST = 1.2
RANK = 16
ROLES = ("base", "model_0", "model_1", "adapter")
Arrays = list[Any]


def measure(plan: Plan) -> Section:
    """Both sides in turn, once per round; memory of each method in a process of its own."""
    layers, vocabulary, rounds = (2, 512, 1) if plan.quick else (LAYERS, VOCABULARY, 3)
    models = plan.folder / "merge-models"
    for role in ROLES[:3]:
        write_model(models / role, ROLES.index(role), layers, vocabulary)
    write_adapter(models / "adapter", layers)
    size = (models / "base" / "model.safetensors").stat().st_size
    goals, rows, table = [], [], []
    for method, given in METHODS.items():
        args = {**given}
        if method == "passthrough" and plan.quick:
            args["layers"] = [[0, 0, 1], [1, 1, 2]]
        work = _work(plan.folder / f"merge-{method}", models, method, args)
        times: dict[str, list[float]] = {"merge": [], "bare": []}
        for _ in range(rounds):
            times["bare"].append(_timed(partial(bare, method, models, plan.folder / "bare.safetensors")))
            times["merge"].append(_timed(partial(_merge, work)))
        ratios = [ours / theirs for ours, theirs in zip(times["merge"], times["bare"], strict=True)]
        goals.append(Goal(f"{method}: times the bare work", "x", ratios, at_most=MOST))
        rows += [Row(f"{method}, {side}", "s", samples) for side, samples in times.items()]
        peak = _peak(work)
        table.append([method, f"{peak / 1e6:.0f} MB", f"{peak / size:.2f}"])
        shutil.rmtree(work)
    shutil.rmtree(models)
    (plan.folder / "bare.safetensors").unlink()
    note = f"Two models and their base, {size / 1e6:.0f} MB each in bfloat16, one thread, files in the page cache."
    head = ["method", "peak", "of one model's size"]
    return Section("Merging", note, rows, goals, [Table("Memory of the process", head, table)])


def _timed(work: Callable[[], object]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def _work(work: Path, models: Path, method: str, args: dict[str, Any]) -> Path:
    whole = msgspec.to_builtins(msgspec.convert({"method": method, **args}, Merge))
    write_stage(work, Stage(op="merge", args=whole, inputs={}, seed=1))
    roles = ("base", "adapter") if method == "lora" else ROLES[:3]
    for role in roles:
        (work / "inputs" / role).symlink_to(models / role)
    return work


def _merge(work: Path) -> None:
    stage = msgspec.json.decode((work / "stage.json").read_bytes(), type=Stage)
    run(stage, work, lambda event: None, lambda: False)


def _peak(work: Path) -> int:
    """Most memory the stage's process had, in bytes."""
    # ru_maxrss of a child begins at its parent's: the process is asked for its own.
    program = (
        "import sys; from seedstock.adapt.run_stage import main; status = main(sys.argv[1:]); "
        "sys.stderr.write(next(line for line in open('/proc/self/status') if 'VmHWM' in line)); sys.exit(status)"
    )
    done = subprocess.run(
        [sys.executable, "-c", program, str(work)],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[2] / "src")},
    )
    return int(done.stderr.split()[-2]) * 1024


def write_model(folder: Path, seed: int, layers: int, vocabulary: int) -> None:
    """Random weights; seeds above zero are the model of seed zero with small changes."""
    shapes: dict[str, tuple[int, ...]] = {
        "model.embed_tokens.weight": (vocabulary, HIDDEN),
        "model.norm.weight": (HIDDEN,),
    }
    for at in range(layers):
        layer = f"model.layers.{at}"
        shapes |= {f"{layer}.{name}_layernorm.weight": (HIDDEN,) for name in ("input", "post_attention")}
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": (HIDDEN, HIDDEN) for name in "qo"}
        shapes |= {f"{layer}.self_attn.{name}_proj.weight": (KEYS, HIDDEN) for name in "kv"}
        shapes |= {f"{layer}.mlp.{name}_proj.weight": (INNER, HIDDEN) for name in ("gate", "up")}
        shapes[f"{layer}.mlp.down_proj.weight"] = (HIDDEN, INNER)
    settings = {"model_type": "llama", "num_hidden_layers": layers, "tie_word_embeddings": True}
    folder.mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(settings))
    source, changes = np.random.default_rng(0), np.random.default_rng(seed)
    tensors = {}
    for name, shape in shapes.items():
        values = source.standard_normal(shape, dtype=np.float32) * np.float32(0.1)
        if seed:
            values += changes.standard_normal(shape, dtype=np.float32) * np.float32(0.003)
        tensors[name] = _bf16(values)
    _write(folder / "model.safetensors", tensors)


def write_adapter(folder: Path, layers: int) -> None:
    """A LoRA adapter of all linear layers, as float32."""
    folder.mkdir(parents=True)
    settings = {"peft_type": "LORA", "r": RANK, "lora_alpha": 32}
    (folder / "adapter_config.json").write_text(json.dumps(settings))
    random = np.random.default_rng(9)
    tensors = {}
    sizes = {
        "self_attn.q_proj": (HIDDEN, HIDDEN),
        "self_attn.k_proj": (KEYS, HIDDEN),
        "self_attn.v_proj": (KEYS, HIDDEN),
    }
    sizes |= {
        "self_attn.o_proj": (HIDDEN, HIDDEN),
        "mlp.gate_proj": (INNER, HIDDEN),
        "mlp.up_proj": (INNER, HIDDEN),
    }
    sizes |= {"mlp.down_proj": (HIDDEN, INNER)}
    for at in range(layers):
        for module, (rows, columns) in sizes.items():
            name = f"base_model.model.model.layers.{at}.{module}"
            tensors[f"{name}.lora_A.weight"] = random.standard_normal(
                (RANK, columns), dtype=np.float32
            ) * np.float32(0.01)
            tensors[f"{name}.lora_B.weight"] = random.standard_normal(
                (rows, RANK), dtype=np.float32
            ) * np.float32(0.01)
    _write(folder / "adapter_model.safetensors", tensors)


def _write(path: Path, tensors: dict[str, Any]) -> None:
    header, position = {}, 0
    for name, value in tensors.items():
        kind = "BF16" if value.dtype == np.uint16 else "F32"
        header[name] = {
            "dtype": kind,
            "shape": value.shape,
            "data_offsets": (position, position + value.nbytes),
        }
        position += value.nbytes
    raw = json.dumps(header).encode()
    raw += b" " * (-len(raw) % 8)
    with path.open("wb") as file:
        file.write(len(raw).to_bytes(8, "little") + raw)
        for value in tensors.values():
            file.write(value.data)


def bare(method: str, models: Path, out: Path) -> None:
    """The work and nothing else."""
    roles = {"linear": (1, 2), "slerp": (1, 2), "passthrough": (1, 2), "lora": (0, 3)}.get(method, (0, 1, 2))
    opened = [Model(ROLES[at], models / ROLES[at], adapter=at == 3) for at in roles]
    files = [(models / ROLES[at] / ("adapter_" * (at == 3) + "model.safetensors")).open("rb") for at in roles]
    random = np.random.default_rng(1)
    with out.open("wb") as result:
        for name, info in opened[0].tensors.items():
            if method == "passthrough":
                result.write(_bytes(files[0], info))
            elif method == "lora":
                result.write(_lora(name, info, opened, files).data)
            else:
                tensors = [
                    _values(file, model.tensors[name]) for file, model in zip(files, opened, strict=True)
                ]
                result.write(_bf16(_ARITHMETIC[method](tensors, random)).data)
    for model in opened:
        model.close()
    for file in files:
        file.close()


def _lora(name: str, info: Any, opened: list[Model], files: list[Any]) -> Any:
    sides = [f"base_model.model.{name.removesuffix('.weight')}.lora_{side}.weight" for side in "BA"]
    if sides[0] not in opened[1].tensors:
        return np.frombuffer(_bytes(files[0], info), np.uint16)
    b, a = (
        np.frombuffer(_bytes(files[1], at), np.float32).reshape(at.shape)
        for at in (opened[1].tensors[side] for side in sides)
    )
    return _bf16(_values(files[0], info).reshape(info.shape) + (b @ a) * np.float32(2))


def _bytes(file: Any, info: Any) -> bytes:
    file.seek(info.start)
    return bytes(file.read(info.stop - info.start))


def _values(file: Any, info: Any) -> Any:
    return (np.frombuffer(_bytes(file, info), np.uint16).astype(np.uint32) << 16).view(np.float32)


def _bf16(values: Any) -> Any:
    bits = values.view(np.uint32)
    return ((bits + np.uint32(0x7FFF) + ((bits >> 16) & np.uint32(1))) >> 16).astype(np.uint16)


def _linear(tensors: Arrays, random: Any) -> Any:
    one, two = tensors
    return (one * np.float32(0.3) + two * np.float32(0.7)) / np.float32(1)


def _slerp(tensors: Arrays, random: Any) -> Any:
    one, two = tensors
    cosine = np.dot(one, two) / (np.linalg.norm(one) * np.linalg.norm(two))
    if abs(cosine) > 0.9995:
        return one * np.float32(0.6) + two * np.float32(0.4)
    angle = np.arccos(cosine)
    return one * np.float32(np.sin(0.6 * angle) / np.sin(angle)) + two * np.float32(
        np.sin(0.4 * angle) / np.sin(angle)
    )


def _changes(tensors: Arrays) -> Arrays:
    return [tensor - tensors[0] for tensor in tensors[1:]]


def _largest(change: Any) -> Any:
    size = np.abs(change)
    middle = size.size - max(1, size.size // 2)
    return change * (size >= np.partition(size, middle)[middle])


def _dropped(change: Any, random: Any) -> Any:
    kept = change * (random.random(change.size, dtype=np.float32) < 0.5)
    rest = np.abs(kept).sum()
    return kept * (np.abs(change).sum() / rest) if rest else kept


def _added(base: Any, changes: Arrays) -> Any:
    return base + changes[0] * np.float32(0.6) + changes[1] * np.float32(0.4)


def _elected(base: Any, changes: Arrays, normalize: bool) -> Any:
    weights = (np.float32(0.6), np.float32(0.4))
    weighted = [change * weight for change, weight in zip(changes, weights, strict=True)]
    sign = np.where(weighted[0] + weighted[1] >= 0, np.float32(1), np.float32(-1))
    agree = [np.sign(change) == sign for change in weighted]
    mixed = weighted[0] * agree[0] + weighted[1] * agree[1]
    if normalize:
        divisor = agree[0] * weights[0] + agree[1] * weights[1]
        divisor[divisor == 0] = 1
        mixed /= divisor
    return base + mixed


_ARITHMETIC: dict[str, Callable[[Arrays, Any], Any]] = {
    "linear": _linear,
    "slerp": _slerp,
    "task_arithmetic": lambda tensors, random: _added(tensors[0], _changes(tensors)),
    "ties": lambda tensors, random: _elected(tensors[0], [_largest(c) for c in _changes(tensors)], True),
    "dare_linear": lambda tensors, random: _added(
        tensors[0], [_dropped(c, random) for c in _changes(tensors)]
    ),
    "dare_ties": lambda tensors, random: _elected(
        tensors[0], [_dropped(c, random) for c in _changes(tensors)], False
    ),
}

if __name__ == "__main__":
    import tempfile

    from tests.bench.report import render
    from tests.bench.results import Part, full_plan, quick_plan

    with tempfile.TemporaryDirectory(dir=None) as place:
        chosen = quick_plan if "--quick" in sys.argv else full_plan
        print(render([Part("Merging", "python -m tests.bench.merge", {}, [measure(chosen(Path(place)))])]))
