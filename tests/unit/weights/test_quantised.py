"""Which float model a quantised one was made from."""

from __future__ import annotations

import numpy as np
import pytest

from seedstock.weights.quantised import closest_source, quantised_fit
from seedstock.weights.steps import code_steps, within_range
from tests.factories import models

BASE = models.llama(1, width=256, neurons=256, layers=2)
SIBLINGS = [models.tuned(BASE, seed, 0.002) for seed in (1, 2)]


@pytest.mark.parametrize("type_name", ["Q8_0", "Q5_0", "Q5_1", "Q4_0", "Q4_1"])
def test_the_true_source_is_certain_and_siblings_are_not(type_name: str) -> None:
    quantised = models.opened(models.gguf_of(SIBLINGS[0], type_name))
    true = quantised_fit(quantised, models.model(SIBLINGS[0]))
    assert true is not None
    assert true.certain
    assert true.mismatch == 0
    candidates = [models.model(tensors) for tensors in (BASE, *SIBLINGS)]
    ranked = closest_source(quantised, candidates)
    assert ranked[0] == (1, 0.0)
    assert ranked[1][1] > 0.01
    assert not any(fit.certain for at in (0, 2) if (fit := quantised_fit(quantised, candidates[at])))


def _q6_k(values: np.ndarray) -> bytes:
    """A plain Q6_K encoder: six bits, scales of sixteen values in eight bits, nearest codes."""
    blocks = []
    for block in values.reshape(-1, 16, 16).astype(np.float32):
        scales = np.abs(block).max(axis=1) / 31
        d = np.float16(scales.max() / 127)
        steps = np.maximum(np.rint(scales / np.float32(d)), 1).astype(np.int8)
        codes = np.clip(np.rint(block / (np.float32(d) * steps[:, None])), -32, 31).astype(np.int64) + 32
        low, high = np.zeros(128, np.uint8), np.zeros(64, np.uint8)
        for at, code in enumerate(codes.reshape(-1)):
            half, place = divmod(at, 128)
            row, column = divmod(place, 32)
            low[half * 64 + column + 32 * (row % 2)] |= (int(code) & 15) << (4 * (row // 2))
            high[half * 32 + column] |= (int(code) >> 4) << (2 * row)
        blocks.append(low.tobytes() + high.tobytes() + steps.tobytes() + d.tobytes())
    return b"".join(blocks)


def test_half_steps_of_a_k_quant_tell_its_source_from_a_sibling() -> None:
    from seedstock.weights.elements import decode

    source = BASE["model.layers.0.mlp.up_proj.weight"]
    raw = _q6_k(source)
    values, steps = decode(raw, "Q6_K"), code_steps(raw, "Q6_K")
    off = np.abs(values - source.reshape(-1))
    inside = within_range(raw, "Q6_K", source.reshape(-1))
    assert inside.mean() > 0.9
    assert (off <= 0.502 * steps)[inside].all()
    sibling = SIBLINGS[0]["model.layers.0.mlp.up_proj.weight"].reshape(-1)
    assert (np.abs(values - sibling) > 0.502 * steps)[within_range(raw, "Q6_K", sibling)].mean() > 0.01


@pytest.mark.parametrize("type_name", ["Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"])
def test_steps_are_the_distance_of_neighbouring_codes(type_name: str) -> None:
    import gguf

    kind = gguf.GGMLQuantizationType[type_name]
    raw = gguf.quants.quantize(BASE["model.layers.0.mlp.up_proj.weight"], kind)
    values = gguf.quants.dequantize(raw, kind).reshape(-1, 32)
    steps = code_steps(raw.tobytes(), type_name).reshape(-1, 32)
    assert (steps > 0).all()
    codes = (values - values.min(axis=1, keepdims=True)) / steps
    np.testing.assert_allclose(codes, np.rint(codes), atol=1e-3)


def test_eight_bit_integers_with_a_scale_elsewhere_are_traced() -> None:
    import json

    parts, header, position = [], {}, 0
    for name, value in BASE.items():
        if value.ndim == 2:
            scale = np.abs(value).max(axis=1, keepdims=True) / 127
            raw, dtype = np.rint(value / scale).astype(np.int8).tobytes(), "I8"
        else:
            raw, dtype = value.astype("<f4").tobytes(), "F32"
        header[name] = {"dtype": dtype, "shape": value.shape, "data_offsets": [position, position + len(raw)]}
        position += len(raw)
        parts.append(raw)
    head = json.dumps(header).encode()
    quantised = models.opened(len(head).to_bytes(8, "little") + head + b"".join(parts))
    true, other = (
        quantised_fit(quantised, models.model(tensors)) for tensors in (BASE, models.tuned(BASE, 1))
    )
    assert true is not None
    assert other is not None
    assert true.mismatch < 0.001 < 0.05 < other.mismatch


def test_models_of_other_shapes_have_no_fit() -> None:
    quantised = models.opened(models.gguf_of(BASE, "Q8_0"))
    assert quantised_fit(quantised, models.model(models.llama(1))) is None
