"""One spelling for JSON: what is signed, and what identifiers are made from."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from seedstock.core.errors import Invalid


def canonical_json(value: Any) -> bytes:
    """JSON with sorted keys and no spaces. Raises Invalid for NaN, infinities and foreign types."""
    try:
        text = json.dumps(value, ensure_ascii=False, allow_nan=False, sort_keys=True, separators=(",", ":"))
        return text.encode()
    except (TypeError, ValueError, RecursionError) as error:
        raise Invalid(f"Not expressible as JSON: {str(error)[:200]}") from error


def sha256_of(content: bytes) -> str:
    """`sha256:` and 64 hex digits."""
    return f"sha256:{hashlib.sha256(content).hexdigest()}"
