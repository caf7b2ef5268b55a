"""Digests of folders and tensors, and how far two outputs are apart."""

from __future__ import annotations

import json
import struct
from pathlib import Path

import numpy as np
import pytest

from seedstock.core.errors import Invalid, NotFound, UnsupportedFormat
from seedstock.recipes.comparison import compare_digests, compare_outputs
from seedstock.recipes.outputs import (
    OutputDigest,
    content_digest,
    describe_file,
    describe_output,
    file_sha256,
    tree_digest,
)
from tests.factories import models
from tests.factories.models import Tensors

MODEL = models.llama(1, layers=1, width=16, neurons=32)


def folder(path: Path, *shards: Tensors, dtype: str = "F32", config: str = "{}") -> Path:
    path.mkdir()
    (path / "config.json").write_text(config)
    for number, tensors in enumerate(shards):
        (path / f"model-{number}.safetensors").write_bytes(models.safetensors_of(tensors, dtype))
    return path


def moved(model: Tensors, by: float, seed: int = 0) -> Tensors:
    rng = np.random.default_rng(seed)
    return {
        name: value + by * rng.standard_normal(value.shape).astype(np.float32)
        for name, value in model.items()
    }


def test_sharding_and_headers_do_not_change_the_weights(tmp_path: Path) -> None:
    whole = folder(tmp_path / "a", MODEL)
    names = sorted(MODEL)
    halves = [
        {name: MODEL[name] for name in part} for part in (names[: len(names) // 2], names[len(names) // 2 :])
    ]
    sharded = folder(tmp_path / "b", *halves)
    raw = (whole / "model-0.safetensors").read_bytes()
    size = int.from_bytes(raw[:8], "little")
    header = {"__metadata__": {"format": "pt"}, **json.loads(raw[8 : 8 + size])}
    other = folder(tmp_path / "c")
    text = json.dumps(header).encode()
    (other / "weights.safetensors").write_bytes(len(text).to_bytes(8, "little") + text + raw[8 + size :])
    digests = [describe_output(path) for path in (whole, sharded, other)]
    assert len({digest.weights for digest in digests}) == 1
    assert len({digest.tree for digest in digests}) == 3
    assert len(digests[0].tensors) == len(MODEL)
    found = compare_outputs(whole, sharded)
    assert (found.bit_exact, found.files_match) == (True, False)
    assert compare_outputs(whole, whole).files_match


def test_equal_bytes_of_another_type_are_not_the_same_tensor(tmp_path: Path) -> None:
    tensors = {"x": np.zeros((4, 4), dtype=np.float32)}
    one = folder(tmp_path / "a", tensors, dtype="BF16")
    two = folder(tmp_path / "b", tensors, dtype="F16")
    assert not compare_outputs(one, two).bit_exact


def test_what_differs_is_named(tmp_path: Path) -> None:
    name = "model.norm.weight"
    changed = {**MODEL, name: MODEL[name] + 1, "extra": np.ones((2, 2), dtype=np.float32)}
    del changed["model.embed_tokens.weight"]
    found = compare_outputs(folder(tmp_path / "a", MODEL), folder(tmp_path / "b", changed))
    assert not found.bit_exact
    assert found.differing == (name,)
    assert found.only_original == ("model.embed_tokens.weight",)
    assert found.only_replica == ("extra",)


def test_distance_is_in_units_of_what_was_learned(tmp_path: Path) -> None:
    base = folder(tmp_path / "base", MODEL)
    original = folder(tmp_path / "original", {name: value + 0.1 for name, value in MODEL.items()})
    replica = folder(tmp_path / "replica", {name: value + 0.102 for name, value in MODEL.items()})
    found = compare_outputs(original, replica, base)
    assert found.distance == pytest.approx(0.02, rel=1e-3)
    other_seed = folder(tmp_path / "other", moved(MODEL, 0.1, seed=2))
    assert 1.2 < (compare_outputs(original, other_seed, base).distance or 0) < 1.6, "orthogonal: root of two"
    assert compare_outputs(original, original, base).distance == 0
    nothing = compare_outputs(base, base, base)
    assert (nothing.distance, nothing.moved) == (None, 0.0)


def test_distance_needs_the_same_tensors(tmp_path: Path) -> None:
    original = folder(tmp_path / "a", MODEL)
    less = folder(tmp_path / "b", {"x": np.ones((2, 2), dtype=np.float32)})
    assert compare_outputs(original, original, less).distance is None
    broken = folder(tmp_path / "c", {name: value * np.nan for name, value in MODEL.items()})
    assert compare_outputs(original, broken, original).distance is None


def test_tensors_of_an_unknown_type_are_equal_where_their_files_are(tmp_path: Path) -> None:
    """How many bytes such a tensor has is not known, so that none of them can be told from others."""
    entry = struct.pack("<Q", 1) + b"t" + struct.pack("<IQIQ", 1, 4, 999, 0)
    head = b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + entry
    for name, data in (("a", bytes(64)), ("b", bytes(63) + b"1"), ("c", bytes(64))):
        (tmp_path / name).mkdir()
        (tmp_path / name / "model.gguf").write_bytes(head + bytes(-len(head) % 32) + data)
    assert not compare_outputs(tmp_path / "a", tmp_path / "b").bit_exact
    assert compare_outputs(tmp_path / "a", tmp_path / "c").bit_exact
    file = tmp_path / "b" / "model.gguf"
    alone = describe_file("model.gguf", file, file_sha256(file))
    assert alone == describe_output(tmp_path / "b")


def test_nothing_equals_nothing_to_no_bit() -> None:
    nothing = OutputDigest({}, tree_digest({}))
    assert not compare_digests(nothing, nothing).bit_exact


def test_datasets_are_compared_by_files(tmp_path: Path) -> None:
    for name, text in (("a", "1\n"), ("b", "1\n"), ("c", "2\n")):
        (tmp_path / name / "data").mkdir(parents=True)
        (tmp_path / name / "data" / "rows.jsonl").write_text(text)
    assert compare_outputs(tmp_path / "a", tmp_path / "b").bit_exact
    found = compare_outputs(tmp_path / "a", tmp_path / "c")
    assert (found.bit_exact, found.differing) == (False, ("data/rows.jsonl",))
    assert describe_output(tmp_path / "a").weights is None


def test_two_models_in_one_folder_are_kept_apart(tmp_path: Path) -> None:
    path = folder(tmp_path / "a", MODEL, MODEL)
    tensors = describe_output(path).tensors
    assert len(tensors) == 2 * len(MODEL)
    assert "model-0.safetensors:model.norm.weight" in tensors


def test_publication_does_not_change_the_content() -> None:
    made = {"config.json": "1", "model.safetensors": "2"}
    published = {**made, "README.md": "3", ".gitattributes": "4", "recipe.toml": "5", "LICENSE": "6"}
    assert content_digest(made, "model") == content_digest(published, "model") == tree_digest(made)
    assert content_digest(made, "dataset") != content_digest(published, "dataset"), (
        "a dataset's card names its splits"
    )
    assert content_digest({**made, "sub/README.md": "3"}, "model") != content_digest(made, "model")


def test_paths_and_contents_cannot_be_confused() -> None:
    digests = [
        tree_digest(files) for files in ({"a": "b", "c": "d"}, {"a": "bc", "d": ""}, {"a": "d", "c": "b"}, {})
    ]
    assert len(set(digests)) == 4


def test_links_and_broken_weights_are_refused(tmp_path: Path) -> None:
    path = folder(tmp_path / "a")
    (path / "model.safetensors").write_bytes(b"\xff" * 20)
    with pytest.raises(UnsupportedFormat):
        describe_output(path)
    (path / "model.safetensors").unlink()
    (path / "passwords").symlink_to("/etc/passwd")
    with pytest.raises(Invalid, match="neither a file nor a folder"):
        describe_output(path)
    with pytest.raises(NotFound):
        describe_output(tmp_path / "absent")
