"""The index of signatures: exact about what it promises to find."""

from __future__ import annotations

from pathlib import Path

import msgspec
import numpy as np
import pytest

from seedstock.core.errors import Invalid
from seedstock.weights.probes import BLOCK_MODELS
from seedstock.weights.search import CLOSE_BITS, SketchIndex
from seedstock.weights.signature import Signature, sign
from tests.factories import models
from tests.factories.signatures import random_signature


def _flipped(signature: Signature, bits: int, seed: int, layers: range | None = None) -> Signature:
    rng = np.random.default_rng(seed)
    rows = np.unpackbits(np.frombuffer(signature.sketches, dtype=np.uint8)).reshape(-1, 128)
    for layer in layers or range(len(rows)):
        rows[layer, rng.choice(128, bits, replace=False)] ^= 1
    return msgspec.structs.replace(signature, sketches=np.packbits(rows).tobytes(), anchors=bytes(16))


def _filled(folder: Path, count: int = 3000) -> SketchIndex:
    index = SketchIndex(folder)
    index.extend([(f"stranger-{number}", random_signature(number)) for number in range(count)])
    return index


def test_a_relative_is_found_among_strangers_and_they_are_not(tmp_path: Path) -> None:
    index = _filled(tmp_path)
    query = random_signature(10_000)
    index.append("child", _flipped(query, CLOSE_BITS, 1))
    index.append("far", _flipped(query, CLOSE_BITS + 9, 2))
    found = index.near(query)
    assert [item.key for item in found] == ["child"]
    assert (found[0].layers_close, found[0].layers, found[0].distance_bits) == (32, 32, CLOSE_BITS)


def test_seven_strange_layers_never_hide_a_model_of_equal_depth(tmp_path: Path) -> None:
    index = _filled(tmp_path, 10)
    query = random_signature(10_000)
    for seed in range(60):
        strange = np.random.default_rng(seed).choice(32, 7, replace=False)
        made = query
        for layer in strange:
            made = _flipped(made, 60, seed, range(layer, layer + 1))
        index.append(f"mixed-{seed}", made)
    assert {item.key for item in index.near(query, 100)} == {f"mixed-{seed}" for seed in range(60)}


def test_pruned_and_grown_relatives_are_found_either_way(tmp_path: Path) -> None:
    index = _filled(tmp_path)
    whole = random_signature(10_000)
    rows = np.frombuffer(whole.sketches, dtype=np.uint8).reshape(-1, 16)
    kept = [layer for layer in range(32) if layer % 4 != 2]
    pruned = msgspec.structs.replace(whole, layers=24, sketches=rows[kept].tobytes())
    index.append("pruned", pruned)
    index.append("whole", whole)
    for query in (whole, pruned):
        found = {item.key: item for item in index.near(query)}
        assert set(found) == {"pruned", "whole"}
        assert found["pruned"].layers_close == 24


def test_other_widths_are_not_compared(tmp_path: Path) -> None:
    index = SketchIndex(tmp_path)
    query = random_signature(1)
    index.append("wide", msgspec.structs.replace(query, hidden_size=8192))
    assert index.near(query) == []


def test_equal_anchors_alone_are_enough_to_be_listed(tmp_path: Path) -> None:
    index = _filled(tmp_path, 50)
    query = random_signature(10_000)
    index.append("turned", msgspec.structs.replace(random_signature(10_001), anchors=query.anchors))
    found = index.near(query)
    assert [(item.key, item.layers_close, item.anchor_bits) for item in found] == [("turned", 0, 0)]


def test_an_index_is_read_again_and_grows_beyond_a_block(tmp_path: Path) -> None:
    query = random_signature(10_000)
    _filled(tmp_path, BLOCK_MODELS + 3).append("last", query)
    again = SketchIndex(tmp_path)
    assert len(again) == BLOCK_MODELS + 4
    assert again.near(query)[0].key == "last"
    assert again.near(random_signature(7))[0].key == "stranger-7"


def test_bytes_that_a_crash_left_behind_are_not_read(tmp_path: Path) -> None:
    _filled(tmp_path, 5)
    with (tmp_path / "keys").open("ab") as file:
        file.write(b"half a ke")
    with (tmp_path / "records").open("ab") as file:
        file.write(b"\x01\x02\x03")
    index = SketchIndex(tmp_path)
    assert len(index) == 5
    index.append("next", random_signature(77))
    assert SketchIndex(tmp_path).near(random_signature(77))[0].key == "next"


def test_a_removed_model_is_not_found(tmp_path: Path) -> None:
    index = _filled(tmp_path, 20)
    assert index.near(random_signature(4))[0].key == "stranger-4"
    assert index.remove("stranger-4")
    assert not index.remove("stranger-4")
    assert index.near(random_signature(4)) == []


def test_a_signature_with_a_problem_is_refused_and_blank_layers_match_nothing(tmp_path: Path) -> None:
    index = SketchIndex(tmp_path)
    with pytest.raises(Invalid, match="zero"):
        index.append("bad", msgspec.structs.replace(random_signature(1), problem="zero"))
    blank = msgspec.structs.replace(random_signature(1), sketches=bytes(32 * 16), anchors=bytes(16))
    index.append("blank", blank)
    index.append("other", random_signature(2))
    assert index.near(blank) == []
    assert [item.key for item in index.near(random_signature(2))] == ["other"]


def test_real_signatures_find_their_family(tmp_path: Path) -> None:
    base = models.llama(1)
    index = SketchIndex(tmp_path)
    made = {
        "tuned": models.tuned(base, 1),
        "pruned": models.by_layer(base, [0, 2, 3]),
        "turned": models.rotated(base, 1),
        "other": models.llama(2),
    }
    index.extend([(name, sign(models.model(tensors))) for name, tensors in made.items()])
    index.append("quantised", sign(models.opened(models.gguf_of(base, "Q8_0"))))
    found = {item.key for item in index.near(sign(models.model(base)))}
    assert found == {"tuned", "pruned", "turned", "quantised"}
