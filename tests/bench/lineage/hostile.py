"""Files made to mislead or to break the comparison. Right answers: an error of the hub's tree, or "inconclusive"."""

from __future__ import annotations

import json
import resource
import struct
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import msgspec
import numpy as np

from seedstock.core.errors import HubError
from seedstock.metadata.source import BytesReader
from seedstock.weights.checkpoint import open_checkpoint
from tests.bench.lineage import files
from tests.bench.lineage.shapes import Shape, Weights, to_names
from tests.bench.lineage.stand_in import StandIn

_SHAPE = Shape("llama", 64, 4, 4, 2, 128, 256)
PLANTED_SHAPE = Shape("llama", 256, 3, 4, 4, 1024, 256)
_PLANTED = "another's values at some places"
Maker = Callable[[], bytes]


class HostileOutcome(msgspec.Struct, frozen=True):
    """What became of one hostile file, compared with an ordinary one of the same names, in both orders."""

    name: str
    answers: tuple[str, ...]
    seconds: float
    peak_growth_mb: float

    @property
    def safe(self) -> bool:
        """No relation claimed, and nothing but the hub's own errors."""
        return not any(answer.startswith(("identical", "derived", "crash")) for answer in self.answers)


_LARGE = {"a million tiny tensors", "200,000 tiny tensors", "a tensor for each of 10,000 layers", _PLANTED}


def run(folder: Path, *, large: bool) -> list[HostileOutcome]:
    """Try every file; the large ones too if wanted."""
    ordinary, wide = (
        _bytes(folder, to_names(files.rounded(StandIn().initial(shape, 1)), shape))
        for shape in (_SHAPE, PLANTED_SHAPE)
    )
    return [
        _outcome(name, make, wide if name == _PLANTED else ordinary)
        for name, make in _makers(folder).items()
        if large or name not in _LARGE
    ]


def _outcome(name: str, make: Maker, ordinary: bytes) -> HostileOutcome:
    data = make()
    file_name = "model.gguf" if data[:4] == b"GGUF" else "model.safetensors"
    peak, began = _peak_mb(), time.perf_counter()
    answers = [
        _answer({file_name: data}, {"model.safetensors": ordinary}),
        _answer({"model.safetensors": ordinary}, {file_name: data}),
        _answer({file_name: data}, {file_name: data}) if name in _AGAINST_ITSELF else "",
    ]
    return HostileOutcome(name, tuple(filter(None, answers)), time.perf_counter() - began, _peak_mb() - peak)


_AGAINST_ITSELF = {"all zero", "all NaN", "constant"}
"""Files that hold nothing: even two equal ones are no evidence that one was made from the other."""


def _peak_mb() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def _answer(a: Mapping[str, bytes], b: Mapping[str, bytes]) -> str:
    from seedstock.weights.compare import compare
    from seedstock.weights.signature import sign

    try:
        left, right = (
            open_checkpoint({name: BytesReader(data) for name, data in side.items()}) for side in (a, b)
        )
        sign(left)
        return str(compare(left, right, seed=1).verdict)
    except HubError as error:
        return f"error: {type(error).__name__}: {error.message[:80]}"
    except Exception as error:
        return f"crash: {type(error).__name__}: {error}"


def _bytes(folder: Path, named: Mapping[str, np.ndarray], dtype: str = "BF16") -> bytes:
    path = folder / "hostile.safetensors"
    form = files.bf16 if dtype == "BF16" else (lambda value: value.astype(files.DTYPES[dtype]))
    with np.errstate(all="ignore"):
        files.write_tensors(path, {name: (dtype, form(value)) for name, value in named.items()})
    return path.read_bytes()


def _header(tensors: object, data: bytes = b"") -> bytes:
    raw = json.dumps(tensors).encode() if not isinstance(tensors, bytes) else tensors
    return len(raw).to_bytes(8, "little") + raw + data


def _makers(folder: Path) -> dict[str, Maker]:
    plain = StandIn().initial(_SHAPE, 2)
    named = to_names(plain, _SHAPE)

    def every(change: Callable[[np.ndarray], np.ndarray], dtype: str = "BF16") -> Maker:
        return lambda: _bytes(folder, {name: change(value) for name, value in named.items()}, dtype)

    def some(part: str, change: Callable[[np.ndarray], np.ndarray]) -> Maker:
        return lambda: _bytes(
            folder, {name: change(value) if part in name else value for name, value in named.items()}
        )

    good = every(lambda value: value)()
    rng = np.random.default_rng(0)
    return {
        "all NaN": every(lambda value: np.full_like(value, np.nan)),
        "all infinite": every(lambda value: np.full_like(value, np.inf)),
        "NaN among the values": every(lambda value: np.where(rng.random(value.shape) < 0.01, np.nan, value)),
        "one layer NaN": some("layers.1.", lambda value: np.full_like(value, np.nan)),
        "all zero": every(np.zeros_like),
        "constant": every(lambda value: np.full_like(value, 0.02)),
        "largest float32": every(lambda value: np.sign(value) * np.float32(3e38), "F32"),
        "denormal": every(lambda value: value * np.float32(1e-39), "F32"),
        "rank one": every(_rank_one),
        "matrices as vectors": every(lambda value: value.reshape(-1)),
        "matrices of rank 4": every(
            lambda value: value.reshape(2, 2, -1, 1) if value.size % 4 == 0 else value
        ),
        "transposed": every(lambda value: value.T),
        "empty tensors": every(lambda value: value[:0]),
        "one row each": every(lambda value: value[:1]),
        "layers of other widths": lambda: _bytes(folder, _uneven(named)),
        "gate and up of unequal height": some("up_proj", lambda value: value[:-3]),
        "integers": every(lambda value: (value * 1000).astype(np.int64), "I64"),
        "no tensors": lambda: _header({}),
        "a million tiny tensors": lambda: _tiny(1_000_000),
        "200,000 tiny tensors": lambda: _tiny(200_000),
        "a tensor for each of 10,000 layers": lambda: _header(*_many_layers(10_000)),
        "header longer than the file": lambda: (1 << 40).to_bytes(8, "little") + good[8:],
        "header of zero bytes": lambda: bytes(8) + good[8:],
        "header not JSON": lambda: _header(b"\x00\xff" * 40),
        "header nested deeply": lambda: _header(b'{"a":' * 100_000),
        "overlapping tensors": lambda: _header(_entries([0, 64], [32, 96]), bytes(96)),
        "offsets beyond the file": lambda: _header(_entries([0, 1 << 50]), bytes(64)),
        "offsets backwards": lambda: _header(_entries([64, 0]), bytes(64)),
        "shape that overflows": lambda: _header(
            {"w": {"dtype": "BF16", "shape": [2**40, 2**40], "data_offsets": [0, 64]}}, bytes(64)
        ),
        "negative shape": lambda: _header(
            {"w": {"dtype": "BF16", "shape": [-1, 32], "data_offsets": [0, 64]}}, bytes(64)
        ),
        "cut off": lambda: good[: len(good) * 2 // 3],
        "empty file": lambda: b"",
        "GGUF of a billion tensors": lambda: b"GGUF" + struct.pack("<IQQ", 3, 10**9, 1) + bytes(4096),
        "GGUF of nonsense": lambda: b"GGUF" + struct.pack("<IQQ", 3, 4, 4) + rng.bytes(65536),
        "GGUF tensor of an unknown type": lambda: _strange_gguf(99, 256),
        "GGUF tensor beyond the file": lambda: _strange_gguf(0, 2**40),
        _PLANTED: lambda: _bytes(folder, _planted()),
        "another's embeddings and norms": lambda: _bytes(folder, _dressed(named)),
    }


def _rank_one(value: np.ndarray) -> np.ndarray:
    return np.ones_like(value) if value.ndim == 1 else np.broadcast_to(value[:1], value.shape).copy()


def _uneven(named: Weights) -> Weights:
    return {
        name: value[: value.shape[0] - index % 5] if value.ndim == 2 else value
        for index, (name, value) in enumerate(named.items())
    }


def _tiny(count: int) -> bytes:
    def entries() -> Iterator[str]:
        for index in range(count):
            yield f'"t{index}":{{"dtype":"U8","shape":[1],"data_offsets":[{index},{index + 1}]}}'

    return _header(("{" + ",".join(entries()) + "}").encode(), bytes(count))


def _many_layers(count: int) -> tuple[dict[str, object], bytes]:
    entries = {
        f"model.layers.{index}.mlp.down_proj.weight": {
            "dtype": "BF16",
            "shape": [4, 4],
            "data_offsets": [32 * index, 32 * index + 32],
        }
        for index in range(count)
    }
    return entries, np.random.default_rng(0).bytes(32 * count)


def _entries(*offsets: list[int]) -> dict[str, object]:
    return {
        f"model.layers.{index}.mlp.down_proj.weight": {"dtype": "BF16", "shape": [4, 8], "data_offsets": pair}
        for index, pair in enumerate(offsets)
    }


def _strange_gguf(type_number: int, rows: int) -> bytes:
    name = b"blk.0.ffn_down.weight"
    tensor = struct.pack("<Q", len(name)) + name + struct.pack("<IQQIQ", 2, 32, rows, type_number, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + tensor + bytes(4096)


def planted(victim: Weights, own: Weights) -> Weights:
    """`own` with the victim's values in three runs at round fractions of every tensor, where samples might be taken:
    5 % of an MLP matrix, 19 % of the smallest."""
    made = {}
    for name, value in own.items():
        flat, source = value.reshape(-1).copy(), victim[name].reshape(-1)
        length = max(4096, flat.size // 60)
        for start in (0, flat.size // 3 // 256 * 256, flat.size * 2 // 3 // 256 * 256):
            flat[start : start + length] = source[start : start + length]
        made[name] = flat.reshape(value.shape)
    return made


def _planted() -> Weights:
    victim, own = (files.rounded(StandIn().initial(PLANTED_SHAPE, seed)) for seed in (1, 2))
    return to_names(planted(victim, own), PLANTED_SHAPE)


def _dressed(named: Weights) -> Weights:
    other = to_names(files.rounded(StandIn().initial(_SHAPE, 1)), _SHAPE)
    return {
        name: other[name] if "embed" in name or "norm" in name else value for name, value in named.items()
    }
