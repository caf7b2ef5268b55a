"""Which tensor, or which rows of one, is layer 7's down projection: roles found by name and shape.

The names and their roles are in `weights.tensor_names`. Unknown names give a layout without layers.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import msgspec
import numpy as np

from seedstock.weights.checkpoint import Checkpoint, TensorInfo
from seedstock.weights.elements import Floats
from seedstock.weights.tensor_names import EMBEDDINGS, FINAL_NORMS, HEADS, LAYER, role_in_layer

MAX_LAYERS = 1024
# Roles of matrices in a layer whose part is not known, such as experts: compared in place and by name only.
EXTRA = "x:"


class Slot(msgspec.Struct, frozen=True):
    """Rows [first, last) of a tensor in one role; `transposed` ones are stored (in, out)."""

    name: str
    first: int
    last: int
    columns: int
    dtype: str
    transposed: bool = False

    @property
    def shape(self) -> tuple[int, int]:
        """(out, in); a vector is (n, 1)."""
        return self.last - self.first, self.columns

    @property
    def elements(self) -> int:
        """Number of elements."""
        return (self.last - self.first) * self.columns


class Layer(msgspec.Struct, frozen=True):
    """One block of the network: its number in the names, and its slots by role."""

    index: int
    slots: Mapping[str, Slot]


class Layout(msgspec.Struct, frozen=True):
    """What was recognised. `family` is "gated", "plain" (no gate in the MLP), "mixed" (no common MLP) or "unknown"."""

    family: str
    layers: tuple[Layer, ...] = ()
    embedding: Slot | None = None
    head: Slot | None = None
    final_norm: Slot | None = None
    norm_offset: float = 0.0  # gemma stores its norm weights less one
    others: tuple[str, ...] = ()

    @property
    def hidden_size(self) -> int:
        """Width of the residual stream; 0 if unknown."""
        if self.embedding is not None:
            return self.embedding.columns
        return self.profile_shape[0]

    @property
    def profile_role(self) -> str:
        """The role whose rows lie along the residual stream in every layer: "down" beside a gate, else "o".

        Not the down projection of plain MLPs, because GPT-2 stores it so that a row costs the whole tensor.
        """
        wanted = ("down", "o") if self.family == "gated" else ("o", "down")
        return next((role for role in wanted if self._common(role)), "")

    @property
    def profile_shape(self) -> tuple[int, int]:
        """Shape of the profile role's matrix in the first layer."""
        role = self.profile_role
        return self.layers[0].slots[role].shape if role else (0, 0)

    def _common(self, role: str) -> bool:
        return bool(self.layers) and all(role in layer.slots for layer in self.layers)


_GEMMA_VOCABULARY = range(256_000, 263_000)


def find_layout(checkpoint: Checkpoint) -> Layout:
    """Recognise roles by name and shape; never reads tensor data."""
    stacks: dict[str, dict[int, dict[str, TensorInfo]]] = defaultdict(lambda: defaultdict(dict))
    unknown: dict[str, dict[int, dict[str, TensorInfo]]] = defaultdict(lambda: defaultdict(dict))
    outside: list[TensorInfo] = []
    for info in checkpoint.tensors.values():
        match = LAYER.match(info.name)
        role = role_in_layer(match["rest"]) if match else None
        if match and role:
            stacks[match["prefix"] + match["list"]][int(match["index"])].setdefault(role, info)
            continue
        outside.append(info)
        if match and len(info.shape) >= 2:
            unknown[match["prefix"] + match["list"]][int(match["index"])][EXTRA + match["rest"]] = info
    embedding = _find(outside, EMBEDDINGS)
    stack = max(stacks, key=lambda name: _weight(stacks[name]), default="")
    raw: Mapping[int, dict[str, TensorInfo]] = stacks.get(stack, {})
    gemma = _is_gemma(checkpoint, raw, embedding)
    layers = tuple(
        Layer(
            index, _split(raw[index], embedding.columns if embedding else 0) | _extras(unknown[stack][index])
        )
        for index in sorted(raw)[:MAX_LAYERS]
    )
    used = {slot.name for layer in layers for slot in layer.slots.values()}
    return Layout(
        family=_family(layers),
        layers=layers,
        embedding=embedding,
        head=_find(outside, HEADS),
        final_norm=_find(outside, FINAL_NORMS),
        norm_offset=1.0 if gemma else 0.0,
        others=tuple(name for name in checkpoint.tensors if name not in used),
    )


def read_rows(checkpoint: Checkpoint, slot: Slot, first: int = 0, last: int | None = None) -> Floats:
    """Return rows [first, last) of a slot as (rows, columns), transposed back where stored so."""
    rows = slot.last - slot.first
    last = rows if last is None else min(last, rows)
    if slot.transposed:
        whole = checkpoint.read(slot.name).T
        return np.ascontiguousarray(whole[slot.first + first : slot.first + last])
    values = checkpoint.read(slot.name, slot.first + first, slot.first + last)
    return values.reshape(last - first, slot.columns)


def _slot(info: TensorInfo, first: int = 0, last: int | None = None) -> Slot:
    rows = info.shape[0] if info.shape else 1
    return Slot(info.name, first, rows if last is None else last, info.row_elements, info.dtype)


def _find(tensors: Iterable[TensorInfo], endings: tuple[str, ...]) -> Slot | None:
    """The first ending that names a tensor wins; among several the largest, outside of any vision tower."""
    tensors = [info for info in tensors if info.name.endswith(".weight") and info.elements]
    for ending in endings:
        named = [info for info in tensors if info.name == ending or info.name.endswith("." + ending)]
        if named:
            return _slot(max(named, key=lambda info: (info.elements, info.name)))
    return None


def _weight(stack: Mapping[int, dict[str, TensorInfo]]) -> int:
    return sum(info.elements for layer in stack.values() for info in layer.values())


def _extras(roles: Mapping[str, TensorInfo]) -> dict[str, Slot]:
    return {role: _slot(info) for role, info in roles.items() if info.elements}


def _is_gemma(
    checkpoint: Checkpoint, raw: Mapping[int, dict[str, TensorInfo]], embedding: Slot | None
) -> bool:
    if checkpoint.format == "gguf":  # the converter has added the one
        return False
    if any("pre_mlp_norm" in layer for layer in raw.values()):
        return True
    return (
        embedding is not None
        and embedding.shape[0] in _GEMMA_VOCABULARY
        and any("gate" in r for r in raw.values())
    )


def _split(roles: dict[str, TensorInfo], hidden: int) -> dict[str, Slot]:
    """Slots of one layer: fused tensors taken apart, transposed ones marked, odd shapes left out."""
    slots = {role: _slot(info) for role, info in roles.items() if info.elements and len(info.shape) <= 2}
    up, down = slots.get("gate_up") or slots.get("up"), slots.get("down")
    if up is not None and down is not None and "gate" not in slots and up.shape[0] == 2 * down.columns:
        slots.pop("gate_up", None)
        middle = up.shape[0] // 2
        slots["gate"] = msgspec.structs.replace(up, last=middle)
        slots["up"] = msgspec.structs.replace(up, first=middle)
    if "c_fc" in roles.get("up", _NOTHING).name:
        _mark_transposed(slots, hidden)
    _split_qkv(slots)
    if "pre_mlp_norm" in slots:  # gemma-2: the norm after attention is not the one before the MLP
        slots["post_attn_norm"] = slots.pop("mlp_norm", slots["pre_mlp_norm"])
        slots["mlp_norm"] = slots.pop("pre_mlp_norm")
    return slots


_NOTHING = TensorInfo("", "", (), "", 0, 0)


def _mark_transposed(slots: dict[str, Slot], hidden: int) -> None:
    """GPT-2's Conv1D stores (in, out); copies of it with linear layers do not, and only shapes tell."""
    if slots["up"].shape[0] != hidden or slots["up"].columns == hidden:
        return
    for role in ("qkv", "o", "up", "down"):
        if role in slots:
            rows, columns = slots[role].shape
            slots[role] = msgspec.structs.replace(slots[role], last=columns, columns=rows, transposed=True)


def _split_qkv(slots: dict[str, Slot]) -> None:
    """Phi-3 stacks q, k and v; where heads are interleaved instead (gpt-neox) the tensor stays whole."""
    qkv, output = slots.get("qkv"), slots.get("o")
    if qkv is None or output is None or not qkv.name.endswith("self_attn.qkv_proj.weight"):
        return
    rest = qkv.shape[0] - output.columns
    if rest <= 0 or rest % 2:
        return
    edges = [0, output.columns, output.columns + rest // 2, qkv.shape[0]]
    del slots["qkv"]
    for role, first, last in zip("qkv", edges[:-1], edges[1:], strict=True):
        slots[role] = msgspec.structs.replace(qkv, first=first, last=last)


def _family(layers: tuple[Layer, ...]) -> str:
    if not layers:
        return "unknown"
    if all({"gate", "up", "down"} <= layer.slots.keys() for layer in layers):
        return "gated"
    if all({"up", "down"} <= layer.slots.keys() and "gate" not in layer.slots for layer in layers):
        return "plain"
    return "mixed"
