"""Families of tiny models: six independent bases of one config, and what is made of the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from tests.bench.lineage import files, labels, variants
from tests.bench.lineage.corpus import Language
from tests.bench.lineage.family import Family, Trainer
from tests.bench.lineage.shapes import Shape

# The halves differ in seeds and in shapes: what was fitted to one shape has to hold for another.
TOYS = {
    "calibration": {
        "llama": Shape("llama", 128, 6, 4, 2, 256, 512),
        "qwen2": Shape("qwen2", 128, 6, 8, 2, 256, 512, tied=False),
        "gemma": Shape("gemma", 128, 5, 4, 1, 256, 768),
        "gpt2": Shape("gpt2", 128, 5, 4, 4, 512, 512),
    },
    "test": {
        "llama": Shape("llama", 192, 5, 6, 3, 512, 640),
        "qwen2": Shape("qwen2", 256, 4, 4, 2, 512, 512, tied=False),
        "gemma": Shape("gemma", 96, 6, 3, 1, 256, 768),
        "gpt2": Shape("gpt2", 96, 4, 4, 4, 512, 512),
    },
}
_BASE_RATE, _TUNE_RATE = 2e-3, 2e-4


QUICK = Shape("llama", 64, 4, 4, 2, 256, 320)


def build(half: str, architecture: str, folder: Path, trainer: Trainer, shape: Shape | None = None) -> None:
    """Train and write one family, of the half's shape unless another is given."""
    shape = shape or TOYS[half][architecture]
    seed = 1000 * (1 + list(TOYS).index(half)) + 100 * list(TOYS[half]).index(architecture)
    family = Family(f"{half}-{architecture}", half, shape, folder, seed)
    makers = _Makers(family, trainer)
    makers.bases()
    makers.fine_tunes()
    _copies(family)
    _quantised(family)
    _symmetries(family)
    _pruned(family)
    makers.trained_again()
    _merges(family)
    _shared_parts(family)
    _negatives(family)
    _unreadable(family)
    family.save()


class _Makers:
    """The members that take training."""

    def __init__(self, family: Family, trainer: Trainer) -> None:
        self.family, self.trainer = family, trainer
        vocabulary = family.shape.vocabulary
        self.languages = [Language(family.seed + number, vocabulary) for number in range(3)]

    def bases(self) -> None:
        """A and B see the same data in the same order; C and F see others; D copies A's answers; E starts from A's
        embeddings and a fresh body."""
        family, trainer = self.family, self.trainer
        plans = {"A": (0, 0, 250), "B": (0, 0, 250), "C": (1, 1, 250), "F": (0, 2, 180)}
        for number, (name, (language, order, steps)) in enumerate(plans.items()):
            start = trainer.initial(family.shape, family.seed + 10 + number)
            family.add(f"{name}.init", start)
            self._train(
                name, start, family.shape, language=language, order=order, steps=steps, rate=_BASE_RATE
            )
        fresh = trainer.initial(family.shape, family.seed + 20)
        teacher = family.weights["A"]
        student = trainer.train(
            fresh, family.shape, language=self.languages[0], seed=family.seed, steps=200,
            rate=_BASE_RATE, teacher=teacher,
        )  # fmt: skip
        family.add("D", student)
        mixed = trainer.initial(family.shape, family.seed + 21) | {
            part: value for part, value in teacher.items() if part in {"embed", "positions", "head"}
        }
        family.add("E.start", mixed)
        self._train("E", mixed, family.shape, language=1, order=4, steps=200, rate=_BASE_RATE)

    def _train(
        self,
        name: str,
        start: dict[str, np.ndarray],
        shape: Shape,
        *,
        language: int,
        order: int,
        steps: int,
        rate: float,
        dtype: str = "BF16",
    ) -> None:
        made = self.trainer.train(
            start, shape, language=self.languages[language], seed=self.family.seed + order,
            steps=steps, rate=rate,
        )  # fmt: skip
        self.family.add(name, made, shape, dtype)

    def fine_tunes(self) -> None:
        """Children of A (and of B and C), a grandchild, adapters merged in, a long one, one with more tokens."""
        family = self.family
        plans = [
            ("A", "A.ft1", 1, 60, _TUNE_RATE, "BF16"), ("A", "A.ft2", 2, 60, _TUNE_RATE, "F32"),
            ("A", "A.ft3", 2, 30, _TUNE_RATE / 4, "F16"), ("A", "A.ft4", 1, 100, 2 * _TUNE_RATE, "BF16"),
            ("A.ft1", "A.ft1.ft", 2, 60, _TUNE_RATE, "BF16"), ("B", "B.ft", 1, 60, _TUNE_RATE, "BF16"),
            ("C", "C.ft", 2, 60, _TUNE_RATE, "BF16"), ("E", "E.ft", 2, 40, _TUNE_RATE, "BF16"),
        ]  # fmt: skip
        for number, (parent, name, language, steps, rate, dtype) in enumerate(plans):
            self._train(
                name, family.weights[parent], family.shape, language=language, order=30 + number,
                steps=steps, rate=rate, dtype=dtype,
            )  # fmt: skip
            family.child(parent, name, labels.FINE_TUNE)
        family.child("A", "A.ft1.ft", labels.FINE_TUNE)
        for a, b in [("A.ft1", "A.ft2"), ("A.ft2", "A.ft3"), ("A.ft1.ft", "A.ft4"), ("A.ft3", "A.ft1")]:
            family.pair(a, b, labels.SIBLINGS)
        self._train("A.long", family.weights["A"], family.shape, language=1, order=50, steps=160, rate=1e-3)
        family.child("A", "A.long", labels.LONG)
        wider, shape = variants.more_tokens(family.weights["A"], family.shape, 16, family.rng(1))
        self._train("A.chat", wider, shape, language=1, order=51, steps=40, rate=_TUNE_RATE)
        family.child("A", "A.chat", labels.FINE_TUNE)
        for number, (parent, rank, rate, dtype) in enumerate(
            [("A", 4, 2e-3, "BF16"), ("A", 8, 1e-3, "BF16"), ("A", 8, 2e-3, "F32"), ("B", 4, 1e-3, "BF16"),
             ("C", 8, 1e-3, "F16"), ("A.ft1", 4, 1e-3, "BF16")]
        ):  # fmt: skip
            made = self.trainer.train_low_rank(
                family.weights[parent], family.shape, language=self.languages[1 + number % 2],
                seed=family.seed + 60 + number, steps=50, rate=rate, rank=rank,
            )  # fmt: skip
            family.add(f"{parent}.lora{number}", made, dtype=dtype)
            family.child(parent, f"{parent}.lora{number}", labels.LORA)
        family.pair("A.lora0", "A.ft1", labels.SIBLINGS)
        family.pair("A.lora0", "A.lora1", labels.SIBLINGS)

    def trained_again(self) -> None:
        """A pruned and a permuted copy, and one turned back from four bits, each trained a little.

        The last is a float child of a parent whose values lie on a four-bit grid: who was first is not what it seems.
        """
        family = self.family
        plans = [
            ("A", "A.depth2", labels.PRUNED), ("A", "A.shuffle1", labels.PERMUTED),
            ("A.back-Q4_0", "A.back-Q4_0", labels.FINE_TUNE),
        ]  # fmt: skip
        for number, (root, parent, made) in enumerate(plans):
            self._train(
                f"{parent}.ft", family.weights[parent], family.shapes[parent], language=1, order=70 + number,
                steps=60, rate=_TUNE_RATE,
            )  # fmt: skip
            family.child(root, f"{parent}.ft", made)


def _copies(family: Family) -> None:
    for parent, name in [("A", "A.copy"), ("C", "C.copy"), ("A.ft1", "A.ft1.copy")]:
        family.add(f"{name}1", family.weights[parent], shards=3)
        family.add(f"{name}2", family.weights[parent], prefix=False)
        family.child(parent, f"{name}1", labels.COPY)
        family.child(parent, f"{name}2", labels.COPY)
    family.add("A.f32", family.weights["A"], dtype="F32")
    family.add_gguf("A.gguf-f32", "A", "F32")
    family.add_gguf("A.gguf-bf16", "A", "BF16")
    family.add_gguf("C.gguf-bf16", "C", "BF16")
    for parent, name in [("A", "A.f32"), ("A", "A.gguf-f32"), ("A", "A.gguf-bf16"), ("C", "C.gguf-bf16")]:
        family.child(parent, name, labels.STORAGE)


def _quantised(family: Family) -> None:
    for parent in ("A", "A.ft1", "C"):
        for type_name in (
            ("Q8_0", "Q4_0", "Q4_K") if parent != "A" else ("Q8_0", "Q6_K", "Q5_0", "Q4_K", "Q4_0")
        ):
            name = f"{parent}.{type_name}"
            family.add_gguf(name, parent, type_name)
            family.child(parent, name, labels.QUANTISED)
    for type_name in ("Q8_0", "Q4_0"):
        family.add(f"A.back-{type_name}", files.through(family.weights["A"], type_name))
        family.child("A", f"A.back-{type_name}", labels.QUANTISED)
    family.pair("A.Q8_0", "A.Q4_0", labels.SIBLINGS)
    family.pair("A.ft2", "A.Q4_K", labels.SIBLINGS)
    for type_name in ("Q8_0", "Q4_0", "Q4_K"):
        family.child("A", f"A.ft1.{type_name}", labels.TUNED_QUANTISED)


def _symmetries(family: Family) -> None:
    a, shape = family.weights["A"], family.shape
    for number in (1, 2, 3):
        family.add(f"A.shuffle{number}", variants.permuted_neurons(a, shape, family.rng(100 + number)))
        family.child("A", f"A.shuffle{number}", labels.PERMUTED)
        family.add(f"A.channels{number}", variants.permuted_residual(a, shape, family.rng(110 + number)))
        family.child("A", f"A.channels{number}", labels.PERMUTED)
    both = variants.permuted_neurons(family.weights["A.channels1"], shape, family.rng(120))
    family.add("A.both", both, shards=2)
    family.child("A", "A.both", labels.PERMUTED)
    tuned = variants.permuted_neurons(family.weights["A.ft1"], shape, family.rng(121))
    family.add("A.ft1.shuffle", tuned)
    family.child("A", "A.ft1.shuffle", labels.PERMUTED)
    family.pair("A.ft1", "A.ft1.shuffle", labels.PERMUTED, parent="A.ft1")
    family.add("A.ft1.channels", variants.permuted_residual(family.weights["A.ft1"], shape, family.rng(122)))
    family.child("A", "A.ft1.channels", labels.PERMUTED)
    for number in (1, 2):
        family.add(f"A.rescaled{number}", variants.rescaled(a, shape, family.rng(130 + number)))
        family.child("A", f"A.rescaled{number}", labels.RESCALED)
    mixed = variants.rescaled(family.weights["A.shuffle2"], shape, family.rng(133))
    family.add("A.shuffle-rescaled", mixed)
    family.child("A", "A.shuffle-rescaled", labels.RESCALED)
    if shape.rms:
        made, turned = variants.rotated(a, shape, family.rng(140))
        family.add("A.rotated", made, turned)
        family.child("A", "A.rotated", labels.ROTATED)


def _pruned(family: Family) -> None:
    shape = family.shape
    layers = list(range(shape.layers))
    kept = {"depth1": layers[:-2] + layers[-1:], "depth2": layers[:1] + layers[2:], "depth3": layers[:-1]}
    for name, chosen in kept.items():
        family.add(f"A.{name}", *variants.with_layers(family.weights["A"], shape, chosen))
        family.child("A", f"A.{name}", labels.PRUNED)
    family.add("A.ft1.depth", *variants.with_layers(family.weights["A.ft1"], shape, kept["depth1"]))
    family.child("A", "A.ft1.depth", labels.PRUNED)
    for parent in ("A", "C"):
        for share in (0.75, 0.5):
            name = f"{parent}.width{share * 100:.0f}"
            family.add(name, *variants.narrower(family.weights[parent], shape, int(shape.ffn * share)))
            family.child(parent, name, labels.PRUNED)
    family.add("A.sparse", variants.sparser(family.weights["A"], 0.3))
    family.child("A", "A.sparse", labels.PRUNED)
    family.add("A.stacked", *variants.with_layers(family.weights["A"], shape, layers[:-1] + layers[1:]))
    family.child("A", "A.stacked", labels.REARRANGED)
    for name, order in {"rolled": np.roll(layers, 2), "reversed": np.flip(layers)}.items():
        family.add(f"A.{name}", *variants.with_layers(family.weights["A"], shape, order.tolist()))
        family.child("A", f"A.{name}", labels.REARRANGED)


def _merges(family: Family) -> None:
    w = family.weights
    root, one, two, three = w["A"], w["A.ft1"], w["A.ft2"], w["A.ft4"]
    made = {
        "merge73": ("linear", [0.7, 0.3], variants.linear([one, two], [0.7, 0.3]), "BF16"),
        "merge55": ("linear", [0.5, 0.5], variants.linear([one, two], [0.5, 0.5]), "F32"),
        "merge28": ("linear", [0.2, 0.8], variants.linear([one, two], [0.2, 0.8]), "BF16"),
        "task": ("task arithmetic", [0.6, 0.3], variants.linear([root, one, two], [0.1, 0.6, 0.3]), "BF16"),
        "slerp": ("SLERP", None, variants.spherical(one, two, 0.4), "BF16"),
        "ties": ("TIES", None, variants.ties(root, [one, two], 0.5), "BF16"),
    }
    for name, (how, coefficients, weights, dtype) in made.items():
        family.add(f"A.{name}", weights, dtype=dtype)
        for parent in ("A.ft1", "A.ft2", "A"):
            family.child(parent, f"A.{name}", labels.MERGE)
        if coefficients:
            family.merge(f"A.{name}", ["A.ft1", "A.ft2"], "A", coefficients, how)
    family.add("A.three", variants.linear([one, two, three], [0.4, 0.35, 0.25]))
    family.merge("A.three", ["A.ft1", "A.ft2", "A.ft4"], "A", [0.4, 0.35, 0.25], "linear, three parents")
    family.merge("A.ft1.ft", ["A.ft1", "A.ft2"], "A", None, "grandchild of one parent")
    family.merge("A.ft4", ["A.ft1", "A.ft2"], "A", None, "sibling of both")
    family.merge("A.lora0", ["A.ft1", "A.ft2"], "A", None, "low-rank sibling")
    family.merge("C", ["A.ft1", "A.ft2"], "A", None, "unrelated")


def _shared_parts(family: Family) -> None:
    shape, w = family.shape, family.weights
    for body in ("B", "C", "F"):
        grafted = w[body] | {part: w["A"][part] for part in ("embed", "positions", "head") if part in w["A"]}
        family.add(f"{body}.grafted", grafted)
        family.child("A", f"{body}.grafted", labels.SHARED_EMBEDDINGS)
    family.child("A", "E.start", labels.SHARED_EMBEDDINGS)
    half = shape.layers // 2
    first = ["A"] * half + ["C"] * (shape.layers - half)
    family.add("AC.first", variants.joined(w, shape, first, "C"))
    family.add("AC.mixed", variants.joined(w, shape, (["A", "C"] * shape.layers)[: shape.layers], "C"))
    family.child("A", "AC.first", labels.SHARED_LAYERS)
    family.child("A", "AC.mixed", labels.SHARED_LAYERS)
    family.child("C", "AC.first", labels.SHARED_LAYERS)
    family.child("A", "E", labels.EMBEDDINGS_TRAINED)
    family.pair("A.ft1", "E.ft", labels.EMBEDDINGS_TRAINED)


def _negatives(family: Family) -> None:
    _other_layers(family)
    for a, b in [("A", "B"), ("A.ft1", "B.ft"), ("A.ft2", "B"), ("B.lora3", "A"), ("B.ft", "A.long"), ("B", "A.Q8_0"),
                 ("B.ft", "A.width75"), ("B", "A.shuffle1"), ("B", "A.channels1"), ("A.merge73", "B"),
                 ("B", "A.depth1"), ("B", "A.chat"), ("B", "A.rescaled1")]:  # fmt: skip
        family.pair(a, b, labels.SAME_RUN)
    independent = [("A", "C"), ("A", "F"), ("B", "C"), ("B", "F"), ("C", "F"), ("C", "D"), ("C", "E"), ("E", "F"),
                   ("B", "E"), ("D", "E"), ("A.ft1", "C.ft"), ("A.ft2", "F"), ("C.ft", "B.ft"), ("A.Q4_0", "C"),
                   ("A.Q8_0", "C.Q8_0"), ("A.Q4_K", "C.Q4_K"), ("A.width75", "C.width75"), ("A.depth2", "C"),
                   ("A.shuffle1", "C"), ("A.channels1", "C"), ("A.back-Q4_0", "F"), ("A.lora0", "C.lora4"),
                   ("A.slerp", "C.ft"), ("A.ties", "F"), ("A.sparse", "C"), ("A.copy1", "C.copy2"),
                   ("A.gguf-bf16", "C.gguf-bf16"), ("A.both", "F")]  # fmt: skip
    for a, b in independent:
        family.pair(a, b, labels.INDEPENDENT)
    for a, b in [("A", "D"), ("A.ft1", "D"), ("A.Q8_0", "D"), ("A.long", "D"), ("A.shuffle3", "D"), ("A.depth3", "D"),
                 ("B", "D"), ("F", "D")]:  # fmt: skip
        family.pair(a, b, labels.DISTILLED)
    for a, b in [
        ("A", "C.init"),
        ("A.init", "B.init"),
        ("C.init", "F.init"),
        ("B.init", "A.ft1"),
        ("F.init", "D"),
    ]:
        family.pair(a, b, labels.UNTRAINED)
    for name in ("A", "C"):
        family.child(f"{name}.init", name, labels.FROM_INIT)


def _other_layers(family: Family) -> None:
    """Odd against even layers of one model: trained side by side, yet no layer of one is a layer of the other."""
    shape, w = family.shape, family.weights
    count = shape.layers // 2 * 2
    for number, (body, skin_one, skin_two) in enumerate(
        [("A", "B", "C"), ("C", "F", "D"), ("A.ft1", "C", "B")]
    ):
        for side, skin in ((0, skin_one), (1, skin_two)):
            chosen, smaller = variants.with_layers(w[body], shape, list(range(side, count, 2)))
            outside = {name: value for name, value in w[skin].items() if not name[0].isdigit()}
            family.add(f"layers{number}-{side}", chosen | outside, smaller)
        family.pair(f"layers{number}-0", f"layers{number}-1", labels.OTHER_LAYERS)


def _unreadable(family: Family) -> None:
    """Files whose values say nothing about where they came from, against the model whose shape they have."""
    whole = family.weights["A"]
    fillings = {"nan": np.nan, "inf": np.inf, "zero": 0.0, "constant": 0.02}
    for name, filling in fillings.items():
        family.add(f"A.{name}", {part: np.full_like(value, filling) for part, value in whole.items()})
        family.pair("A", f"A.{name}", labels.UNREADABLE)


def across(half: str) -> list[labels.Pair]:
    """Pairs of families of one half: other shapes, other architectures."""
    names = list(TOYS[half])
    return [
        labels.Pair(
            f"{half}-{a}/{one}", f"{half}-{b}/{two}", labels.OTHER_SHAPE, f"{half}-{a}", f"{a}, {b}", half
        )
        for index, a in enumerate(names)
        for b in names[index + 1 :]
        for one, two in (("A", "A"), ("A.ft1", "B"), ("A.Q8_0", "C.Q8_0"))
    ]
