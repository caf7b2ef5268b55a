"""What is kept of a model so that relatives are found without its files: 512 bytes, and prints of its tensors.

A signature is a shortlist aid. Nothing is ever concluded from one alone.
"""

from __future__ import annotations

import hashlib

import msgspec
import numpy as np

from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.checkpoint import Checkpoint, TensorInfo
from seedstock.weights.elements import FLOAT_TYPES, is_block_type
from seedstock.weights.grids import find_grid, main_dtype
from seedstock.weights.layout import Layout, Slot, find_layout, read_rows
from seedstock.weights.profile import SKETCH_BYTES, Reals, all_profiles, sketch

METHOD = "layer-sketch@1"
MAX_SKETCHES = 32
MAX_PRINTS = 20_000
_ANCHOR_RUN = 64


class Signature(msgspec.Struct, frozen=True):
    """16 bytes for each of at most 32 layers, and sampled digests; `problem` says why it cannot be used."""

    family: str
    hidden_size: int
    layers: int
    sketches: bytes
    anchors: bytes
    tensor_prints: dict[str, str]
    embedding_print: str | None
    dtype: str
    parameters: int
    grid: str | None = None
    problem: str | None = None
    method: str = METHOD
    bytes_read: int = 0


def sign(checkpoint: Checkpoint) -> Signature:
    """Read a sample of the tensors and sign it. Raises UnsupportedFormat only where files are cut off."""
    before = checkpoint.bytes_read
    with np.errstate(all="ignore"):
        return _sign(checkpoint, before)


def _sign(checkpoint: Checkpoint, before: int) -> Signature:
    layout = find_layout(checkpoint)
    prints = tensor_prints(checkpoint)
    problem, sketches = _sketches(checkpoint, layout)
    anchors, anchor_problem = _anchors(checkpoint, layout.embedding)
    return Signature(
        family=layout.family,
        hidden_size=layout.hidden_size,
        layers=len(layout.layers),
        sketches=sketches,
        anchors=anchors,
        tensor_prints=prints,
        embedding_print=prints.get(layout.embedding.name) if layout.embedding else None,
        dtype=main_dtype(checkpoint),
        parameters=checkpoint.elements,
        grid=find_grid(checkpoint, layout),
        problem=problem or anchor_problem,
        bytes_read=checkpoint.bytes_read - before,
    )


def sampled_layers(count: int) -> list[int]:
    """Positions of the layers that are sketched: all, or 32 spread evenly with both ends."""
    if count <= MAX_SKETCHES:
        return list(range(count))
    return [round(index * (count - 1) / (MAX_SKETCHES - 1)) for index in range(MAX_SKETCHES)]


def _sketches(checkpoint: Checkpoint, layout: Layout) -> tuple[str | None, bytes]:
    if not layout.layers:
        return "no layers are recognised by the names of the tensors", b""
    if not layout.profile_role:
        return "no projection into the residual stream is common to all layers", b""
    role = layout.profile_role
    stored = layout.layers[0].slots[role].dtype
    if stored not in FLOAT_TYPES and not is_block_type(stored):
        return f"weights are stored as {stored}, which means nothing without other tensors", b""
    try:
        profiles = all_profiles(checkpoint, layout, sampled_layers(len(layout.layers)))
    except UnsupportedFormat as error:
        return error.message, b""
    return _fault(profiles), b"".join(sketch(profile, layout.hidden_size) for profile in profiles)


def _fault(profiles: list[Reals | None]) -> str | None:
    known = [profile for profile in profiles if profile is not None]
    if any(np.isnan(profile).any() for profile in known):
        return "weights hold NaN, infinite or overflowing values"
    if len(known) * 2 < len(profiles):
        return "weights are zero or constant in most layers"
    return None


def tensor_prints(checkpoint: Checkpoint) -> dict[str, str]:
    """Sampled digests by name: of all tensors, or of the 20,000 largest. Equal prints do not prove equality."""
    tensors = [info for info in checkpoint.tensors.values() if info.size_bytes]
    if len(tensors) > MAX_PRINTS:
        tensors = sorted(tensors, key=lambda info: (-info.size_bytes, info.name))[:MAX_PRINTS]
    return {info.name: _print(checkpoint, info) for info in tensors}


def _print(checkpoint: Checkpoint, info: TensorInfo) -> str:
    """Digest of type, shape, and 64 bytes to 2 KiB at the start and at two thirds; vectors whole to 512 bytes."""
    digest = hashlib.blake2b(f"{info.dtype}{info.shape}".encode(), digest_size=16)
    size = info.size_bytes
    if size <= 512:
        digest.update(checkpoint.raw(info.name, 0, size))
    else:
        length = min(max(size // 32, 64), 2048)
        for start in (0, min(size * 2 // 3 // 64 * 64, size - length)):
            digest.update(checkpoint.raw(info.name, start, start + length))
    return digest.hexdigest()


def _anchors(checkpoint: Checkpoint, embedding: Slot | None) -> tuple[bytes, str | None]:
    """Bit i: are tokens a_i and b_i more alike than the median pair? Survives any rotation of the stream."""
    nothing = bytes(SKETCH_BYTES)
    if embedding is None or embedding.transposed or embedding.shape[0] < 64:
        return nothing, None
    count = embedding.shape[0]
    length = min(_ANCHOR_RUN, max(8, count // 32))
    starts = (320, 1024) if count >= 2048 else (count // 8, count // 2)
    try:
        runs = [read_rows(checkpoint, embedding, start, start + length) for start in starts]
    except UnsupportedFormat as error:
        return nothing, error.message
    rows = np.concatenate(runs).astype(np.float64)
    if not np.isfinite(rows).all():
        return nothing, "the embedding holds NaN or infinite values"
    norms = np.linalg.norm(rows, axis=1)
    if not (norms > 0).all():
        return nothing, None
    raw = hashlib.shake_128(b"anchors@1").digest(2 * 8 * SKETCH_BYTES)
    left, right = np.frombuffer(raw, dtype=np.uint8).reshape(2, -1).astype(int) % length
    unit = rows / norms[:, None]
    alike = np.einsum("ij,ij->i", unit[left], unit[length + right])
    return np.packbits(alike > np.median(alike)).tobytes(), None
