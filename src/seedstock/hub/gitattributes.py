"""Which files belong in large-file storage, by `.gitattributes`, size and first bytes."""

from __future__ import annotations

from pathspec import GitIgnoreSpec

from seedstock.core.names import RepoType
from seedstock.hub.ignore_patterns import compile_patterns

REGULAR_MAX_BYTES = 10_000_000

_PATTERNS = """*.7z *.arrow *.avro *.bin *.bz2 *.ckpt *.ftz *.gguf *.gz *.h5 *.joblib *.lfs.* *.mlmodel *.model
*.msgpack *.npy *.npz *.onnx *.ot *.parquet *.pb *.pickle *.pkl *.pt *.pth *.rar *.safetensors saved_model/**/*
*.tar.* *.tar *.tflite *.tgz *.wasm *.xz *.zip *.zst *tfevents*""".split()
_DATASET_PATTERNS = """*.lz4 *.mds *.pcm *.sam *.raw *.aac *.flac *.mp3 *.ogg *.wav *.bmp *.gif *.png *.tiff *.jpg
*.jpeg *.webp *.mp4 *.webm""".split()


def default_attributes(type: RepoType) -> bytes:
    """The `.gitattributes` that a new repo starts with."""
    patterns = _PATTERNS + (_DATASET_PATTERNS if type is RepoType.DATASET else [])
    return "".join(f"{pattern} filter=lfs diff=lfs merge=lfs -text\n" for pattern in patterns).encode()


class LargeFileRules:
    """Compiled `.gitattributes`: the last matching line decides."""

    def __init__(self, attributes: str) -> None:
        self._rules: list[tuple[GitIgnoreSpec, bool]] = []
        for line in attributes.splitlines()[:2000]:
            fields = line.split()
            if len(fields) < 2 or fields[0].startswith(("#", "[", "!")):
                continue
            values = [field for field in fields[1:] if field.lstrip("-!").startswith("filter")]
            if values:
                self._rules.append((compile_patterns([fields[0]]), values[-1] == "filter=lfs"))

    def is_large(self, path: str, size_bytes: int, sample: bytes) -> bool:
        """Whether a new file goes to large-file storage."""
        if size_bytes > REGULAR_MAX_BYTES:
            return True
        for spec, large in reversed(self._rules):
            if spec.match_file(path):
                return large
        return b"\0" in sample or not _is_text(sample)


def _is_text(sample: bytes) -> bool:
    try:
        sample.decode()
    except UnicodeDecodeError as error:
        # A multi-byte character cut off by the end of the sample is still text.
        return error.start >= len(sample) - 3 and len(sample) >= 512
    return True
