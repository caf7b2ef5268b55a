"""Server-sent events of an upstream, cut out of its bytes however they come."""

from __future__ import annotations

from seedstock.core.errors import RemoteFailed

MAX_EVENT_BYTES = 8 << 20


class EventReader:
    """Reads the `data` of each event; names and ids of events are repeated inside it by both APIs."""

    def __init__(self) -> None:
        self._rest = b""
        self._data: list[bytes] = []
        self._size_bytes = 0

    def feed(self, chunk: bytes) -> list[bytes]:
        """The data of the events that end in this chunk; an empty one for each comment. Raises RemoteFailed."""
        *lines, self._rest = (self._rest + chunk).split(b"\n")
        found = [data for line in lines if (data := self._line(line.removesuffix(b"\r"))) is not None]
        if self._size_bytes + len(self._rest) > MAX_EVENT_BYTES:
            raise RemoteFailed(f"An event of the upstream has more than {MAX_EVENT_BYTES} bytes")
        return found

    def end(self) -> list[bytes]:
        """What an upstream that forgets the last blank line has said."""
        return self.feed(b"\n\n")

    def _line(self, line: bytes) -> bytes | None:
        if not line:
            data, self._data, self._size_bytes = self._data, [], 0
            return b"\n".join(data) if data else None
        if line.startswith(b":"):
            return b""
        field, _, value = line.partition(b":")
        if field == b"data":
            self._data.append(value.removeprefix(b" "))
            self._size_bytes += len(value)
        return None
