"""Rows of Parquet files through pyarrow, some at a time. The files may lie about themselves."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedstock.adapt.rows.limits import MAX_ROW_BYTES, Place, bad
from seedstock.adapt.rows.lines import too_long
from seedstock.core.errors import HubError, Unavailable

_BATCH_ROWS = 32
MAX_COLUMN_CHUNK_BYTES = 1 << 30
"""Decoded, of one column in one row group; writers make groups of 128 MB to 512 MB."""
_MAX_FOOTER_BYTES = 64 << 20


def iter_parquet(path: Path, name: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    """Yield the rows as Python values; memory is that of one page of each column and 64 rows."""
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise Unavailable("Parquet files need pyarrow", hint="pip install 'seedstock[adapt]'") from None
    limits: dict[str, Any] = {
        "memory_map": False,
        "pre_buffer": False,
        "buffer_size": 1 << 20,
        "thrift_string_size_limit": _MAX_FOOTER_BYTES,
        "thrift_container_size_limit": 1_000_000,
    }
    try:
        with pq.ParquetFile(path, **limits) as file:
            _check_sizes(file.metadata, name)
            texts = [field.name for field in file.schema_arrow if pa.types.is_string(field.type)]
        # Dictionaries stay such: a value of 1 MB that a million rows share is then held once, not per row.
        with pq.ParquetFile(path, read_dictionary=texts, **limits) as file:
            yield from _rows(file, name)
    except HubError:
        raise
    except (pa.ArrowException, OSError, ValueError, TypeError, KeyError, OverflowError, MemoryError) as error:
        raise bad(name, f"not a whole Parquet file: {_first_line(error)}", "Write the file again") from None


def _check_sizes(metadata: Any, name: str) -> None:
    """Refuse what says of itself that it would fill the memory."""
    for group in range(metadata.num_row_groups):
        row_group = metadata.row_group(group)
        for column in range(row_group.num_columns):
            chunk = row_group.column(column)
            if chunk.total_uncompressed_size > MAX_COLUMN_CHUNK_BYTES:
                raise bad(
                    name,
                    f"column {chunk.path_in_schema[:60]!r} has {chunk.total_uncompressed_size} bytes in row group "
                    f"{group}, more than {MAX_COLUMN_CHUNK_BYTES}",
                    "Write smaller row groups",
                )


def _rows(file: Any, name: str) -> Iterator[tuple[Place, dict[str, Any]]]:
    number = 0
    for batch in file.iter_batches(batch_size=_BATCH_ROWS, use_threads=False):
        for column in batch.columns:
            _check_texts(column, name, number)
        try:
            rows = batch.to_pylist()
        except UnicodeDecodeError:
            places = f"{name}, rows {number + 1} to {number + batch.num_rows}"
            raise bad(places, "a text that is not UTF-8", "Write the file again") from None
        for row in rows:
            number += 1
            yield Place(name, number, "row"), row


def _check_texts(column: Any, name: str, before: int) -> None:
    """Refuse values beyond MAX_ROW_BYTES before Python objects are made of them, one per row."""
    import pyarrow as pa
    import pyarrow.compute as pc

    if pa.types.is_dictionary(column.type):
        column = column.dictionary
    elif column.nbytes <= MAX_ROW_BYTES:
        return
    if pa.types.is_string(column.type) or pa.types.is_binary(column.type):
        longest = pc.max(pc.binary_length(column)).as_py() or 0
    else:
        longest = column.nbytes // _BATCH_ROWS
    if longest > MAX_ROW_BYTES:
        raise too_long(Place(name, before + 1, "one of the rows from"))


def _first_line(error: BaseException) -> str:
    text = str(error).strip().split("\n")[0]
    return text[:200] or type(error).__name__
