"""Does a LoRA adapter fit a base model? Names and shapes can rule a base out; they can never prove one."""

from __future__ import annotations

import re

import msgspec

from seedstock.weights.checkpoint import Checkpoint, TensorInfo
from seedstock.weights.comparison import MAX_SHARED_NAMES, Comparison, Verdict
from seedstock.weights.layout import find_layout
from seedstock.weights.tensor_names import role_of

_PART = re.compile(
    r"(?P<module>.+?)(?:\.weight)?\.(?P<side>lora_(?:embedding_)?[AaBb])(?:\.[^.]+)?(?:\.weight)?\Z"
)
_PREFIXES = ("base_model.model.", "base_model.")


class Target(msgspec.Struct, frozen=True):
    """One adapted module: its name in the base, and the shapes (r, in) and (out, r) of its two matrices."""

    module: str
    a: tuple[int, ...]
    b: tuple[int, ...]
    embedding: bool

    @property
    def rank(self) -> int:
        """Rank of the update; 0 if the two matrices do not fit each other."""
        if len(self.a) != 2 or len(self.b) != 2 or self.a[0] != self.b[1]:
            return 0
        return self.a[0]


def find_targets(adapter: Checkpoint) -> list[Target]:
    """The modules that an adapter changes, by the names that PEFT and llama.cpp give their matrices."""
    sides: dict[str, dict[str, TensorInfo]] = {}
    for name, info in adapter.tensors.items():
        match = _PART.match(name)
        if match is not None:
            sides.setdefault(match["module"], {})[match["side"]] = info
    targets = []
    for module, found in sides.items():
        plain = {side[-1].lower(): info.shape for side, info in found.items()}
        targets.append(
            Target(
                _bare(module),
                plain.get("a", ()),
                plain.get("b", ()),
                any("embedding" in side for side in found),
            )
        )
    return targets


def check_adapter(adapter: Checkpoint, base: Checkpoint) -> Comparison:
    """INCONCLUSIVE where the shapes fit, because an adapter's weights cannot prove its base; NONE where they cannot."""
    targets = find_targets(adapter)
    if not targets:
        return Comparison(Verdict.INCONCLUSIVE, "No matrices of a LoRA adapter are recognised")
    shapes = _ModuleShapes(base)
    wrong = [target for target in targets if not _fits(target, shapes.find(target.module))]
    facts: dict[str, bool | float | int | str] = {
        "adapted_modules": len(targets),
        "fitting_modules": len(targets) - len(wrong),
        "rank": max(target.rank for target in targets),
        "consistent": not wrong,
    }
    if not wrong:
        return Comparison(
            Verdict.INCONCLUSIVE, "shapes match; weights of an adapter cannot prove its base", facts=facts
        )
    names = tuple(target.module for target in wrong)[:MAX_SHARED_NAMES]
    shape = shapes.find(names[0])
    why = "which the base lacks" if shape is None else f"whose shape in the base is {shape}"
    return Comparison(
        Verdict.NONE,
        f"The adapter changes {names[0][:120]!r}, {why}: it was made for another model",
        facts=facts,
    )


def _bare(module: str) -> str:
    for prefix in _PREFIXES:
        module = module.removeprefix(prefix)
    return module


class _ModuleShapes:
    """Shapes of a base's modules, by name or, where names differ in convention, by layer and role."""

    def __init__(self, base: Checkpoint) -> None:
        self._tensors = base.tensors
        layout = find_layout(base)
        self._roles = {
            (layer.index, role): slot.shape for layer in layout.layers for role, slot in layer.slots.items()
        }

    def find(self, module: str) -> tuple[int, ...] | None:
        for name in (f"{module}.weight", module):
            if name in self._tensors:
                return self._tensors[name].shape
        place = role_of(f"{module}.weight")
        return self._roles.get(place) if place else None


def _fits(target: Target, shape: tuple[int, ...] | None) -> bool:
    if shape is None or target.rank == 0 or len(shape) != 2:
        return False
    update = (target.b[0], target.a[1])
    return shape in (update, update[::-1])
