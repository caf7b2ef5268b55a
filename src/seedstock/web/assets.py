"""Static files and their addresses.

One version covers the whole folder, because scripts import each other by relative path: a change to any
file changes every address, so each address may be cached for ever.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache
from pathlib import Path

STATIC_DIR = Path(__file__).parent / "static"
CACHE_CONTROL = "public, max-age=31536000, immutable"


@lru_cache(maxsize=1)
def static_version() -> str:
    """12 hex digits that name the present content of the static folder."""
    digest = hashlib.sha256()
    for path in sorted(STATIC_DIR.rglob("*")):
        if path.is_file():
            data = path.read_bytes()
            digest.update(f"{path.relative_to(STATIC_DIR).as_posix()}\0{len(data)}\0".encode())
            digest.update(data)
    return digest.hexdigest()[:12]


def static_url(name: str) -> str:
    """Address of a static file. Raises FileNotFoundError for a name that no file has."""
    if not (STATIC_DIR / name).is_file():
        raise FileNotFoundError(name)
    return f"/static/{static_version()}/{name}"
