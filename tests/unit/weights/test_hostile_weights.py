"""Files made to break or to mislead: an error of the hub's tree or "inconclusive", in bounded time."""

from __future__ import annotations

import time

import numpy as np
import pytest

from seedstock.core.errors import UnsupportedFormat
from seedstock.weights.compare import compare
from seedstock.weights.comparison import Verdict
from seedstock.weights.signature import sign
from tests.factories import models

BASE = models.llama(1)


def _tiny_tensors(count: int) -> bytes:
    entries = (f'"t{at}":{{"dtype":"U8","shape":[1],"data_offsets":[{at},{at + 1}]}}' for at in range(count))
    head = ("{" + ",".join(entries) + "}").encode()
    return len(head).to_bytes(8, "little") + head + bytes(count)


@pytest.mark.parametrize("value", [np.nan, np.inf, 0.0, 0.02, 3e38, 1e-40])
def test_values_that_say_nothing_are_inconclusive_even_against_themselves(value: float) -> None:
    made = models.model({name: np.full_like(tensor, value) for name, tensor in BASE.items()}, "F32")
    assert compare(made, made).verdict is Verdict.INCONCLUSIVE
    assert compare(models.model(BASE), made).verdict is Verdict.INCONCLUSIVE
    assert compare(made, models.model(BASE)).verdict is Verdict.INCONCLUSIVE


@pytest.mark.parametrize("layer", [0, 2])
def test_one_spoilt_layer_in_a_child_is_not_silently_passed(layer: int) -> None:
    child = models.tuned(BASE, 1)
    name = f"model.layers.{layer}.mlp.gate_proj.weight"
    child[name] = np.full_like(child[name], np.nan)
    assert compare(models.model(BASE), models.model(child)).verdict is Verdict.INCONCLUSIVE


def test_a_million_tiny_tensors_are_refused_and_many_are_handled_in_time() -> None:
    with pytest.raises(UnsupportedFormat):
        models.opened(_tiny_tensors(1_000_000))
    started = time.process_time()
    many = models.opened(_tiny_tensors(20_000))
    assert sign(many).problem
    assert compare(many, models.model(BASE)).verdict is Verdict.INCONCLUSIVE
    assert compare(many, many).verdict is Verdict.INCONCLUSIVE
    assert time.process_time() - started < 20


@pytest.mark.parametrize(
    "change",
    [
        lambda value: value[:0],
        lambda value: value[:1],
        lambda value: value.reshape(-1),
        lambda value: value.reshape(2, 2, -1),
        lambda value: value.reshape(1, -1),
        lambda value: value.T if value.ndim == 2 else value,
        lambda value: np.broadcast_to(value[:1], value.shape),
    ],
)
def test_odd_shapes_are_no_relation_and_no_crash(change) -> None:  # type: ignore[no-untyped-def]
    made = models.model({name: np.ascontiguousarray(change(value)) for name, value in BASE.items()})
    sign(made)
    for a, b in ((made, models.model(BASE)), (models.model(BASE), made)):
        assert compare(a, b).verdict in {Verdict.NONE, Verdict.INCONCLUSIVE}


def test_layers_of_unequal_shapes_are_handled() -> None:
    rng = np.random.default_rng(0)
    made = {
        name: value[: len(value) - int(rng.integers(5)), ...] if value.ndim == 2 else value
        for name, value in BASE.items()
    }
    assert compare(models.model(BASE), models.model(made)).verdict is not Verdict.IDENTICAL


def test_a_file_cut_off_is_refused() -> None:
    data = models.safetensors_of(BASE)
    with pytest.raises(UnsupportedFormat):
        models.opened(data[: len(data) // 2])
    gguf = models.gguf_of(BASE, "Q4_0")
    with pytest.raises(UnsupportedFormat):
        models.opened(gguf[: len(gguf) // 2])


def test_a_reader_that_fails_midway_gives_an_inconclusive_comparison() -> None:
    from seedstock.metadata.source import BytesReader
    from seedstock.weights.checkpoint import open_checkpoint

    class Short(BytesReader):
        def read(self, start: int, stop: int) -> bytes:
            return super().read(start, min(stop, self.size_bytes * 2 // 3))

    cut = open_checkpoint({"m.safetensors": Short(models.safetensors_of(BASE))})
    result = compare(models.model(BASE), cut)
    assert result.verdict is Verdict.INCONCLUSIVE
    assert "cut off" in result.reason


def test_rank_one_matrices_are_not_related_to_each_other() -> None:
    made = [
        models.model({name: np.outer(*(np.random.default_rng([seed, at]).standard_normal(n) for n in value.shape))
                      if value.ndim == 2 else value for at, (name, value) in enumerate(BASE.items())})
        for seed in (1, 2)
    ]  # fmt: skip
    assert compare(*made).verdict in {Verdict.NONE, Verdict.INCONCLUSIVE}
