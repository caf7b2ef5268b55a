"""Raw rows of one file, whatever its format."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedstock.adapt.rows.delimited import iter_delimited
from seedstock.adapt.rows.files import READ, format_of
from seedstock.adapt.rows.json_rows import iter_json, iter_jsonl
from seedstock.adapt.rows.limits import Place, brief
from seedstock.adapt.rows.parquet import iter_parquet
from seedstock.adapt.rows.plain_text import iter_text
from seedstock.core.errors import Invalid


def iter_rows(folder: Path, name: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield (place, row) of the file `name` in the folder."""
    known = format_of(name)
    if known is None:
        raise Invalid(f"{brief(name)} is in no format that is read", hint=f"Read are {READ}")
    kind, gzipped = known
    path = folder / name
    if not path.is_file():
        raise Invalid(f"{brief(name)} is no file")
    if kind == "parquet":
        return iter_parquet(path, name)
    if kind in {"csv", "tsv"}:
        return iter_delimited(path, name, gzipped, "," if kind == "csv" else "\t")
    return {"jsonl": iter_jsonl, "json": iter_json, "txt": iter_text}[kind](path, name, gzipped)
