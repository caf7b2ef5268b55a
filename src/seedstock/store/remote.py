"""Objects in S3, Google Cloud Storage, Azure or memory, through obstore."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from seedstock.core.errors import CorruptBlock, Invalid, MissingBlob, StoreUnreachable


class RemoteObjects:
    """An ObjectStore over any URL that obstore knows: `s3://bucket/prefix`, `gs://`, `az://`, `memory://`.

    Credentials and endpoints come from the environment variables of each provider (`AWS_ENDPOINT_URL`, ...).
    """

    def __init__(self, url: str, **options: Any) -> None:
        import obstore
        import obstore.exceptions
        from obstore.store import from_url

        self._api = obstore
        try:
            self._store = from_url(url, **options)
        except (ValueError, obstore.exceptions.BaseError) as error:
            raise Invalid(
                f"The store URL cannot be used: {_reason(error)}", hint="it is like s3://bucket/prefix"
            ) from None

    def put(self, key: str, staged: Path) -> None:
        """See ObjectStore.put; large files go up in parts, and appear only when the last one is in."""
        try:
            self._api.put(self._store, key, staged)
        except Exception as error:
            raise StoreUnreachable(f"Cannot store {key}: {_reason(error)}") from error
        staged.unlink()

    def read(self, key: str, start: int, stop: int) -> bytes:
        """See ObjectStore.read."""
        if start == stop:
            return b""
        try:
            data = bytes(self._api.get_range(self._store, key, start=start, end=stop))
        except FileNotFoundError:
            raise MissingBlob(f"Stored object {key} is missing", hint="restore it from a backup") from None
        except Exception as error:
            raise StoreUnreachable(f"Cannot read {key}: {_reason(error)}") from error
        if len(data) != stop - start:
            raise CorruptBlock(f"Stored object {key} is shorter than it was", hint="restore it from a backup")
        return data

    def local_path(self, key: str) -> Path | None:  # noqa: ARG002 - part of the port
        """Never: the bytes are elsewhere."""
        return None

    def signature(self, key: str) -> str | None:
        """See ObjectStore.signature: the store's own entity tag."""
        try:
            meta = self._api.head(self._store, key)
        except FileNotFoundError:
            return None
        return f"{meta['size']}-{meta['e_tag']}"

    def delete(self, key: str) -> None:
        """See ObjectStore.delete."""
        self._api.delete(self._store, key)

    def iter_keys(self, prefix: str) -> Iterator[tuple[str, int]]:
        """See ObjectStore.iter_keys."""
        for page in self._api.list(self._store, prefix):
            for meta in page:
                yield meta["path"], meta["size"]


def _reason(error: Exception) -> str:
    return str(error).splitlines()[0][:200] if str(error) else type(error).__name__
