"""Answers to strangers, kept in memory while nothing in the database has changed.

What an anonymous caller is told by a steady route follows from the address and the database alone. So
the encoded answer may be given again, from the event loop, for as long as the database's stamp stays the
same: any commit, by any process, changes it. A database that cannot say cheaply whether it has changed
(PostgreSQL) has no stamp, and nothing is kept.
"""

from __future__ import annotations

from collections import OrderedDict

from starlette.requests import Request
from starlette.responses import Response

from seedstock.http.file_response import FileAnswer

_MAX_BYTES = 32 << 20
_MAX_ANSWER_BYTES = 1 << 20
# A request with one of these may be somebody's, or may do more than read. Ranges are taken from a kept file.
_PERSONAL = frozenset({b"authorization", b"cookie", b"x-hf-download-counter"})
# The absolute addresses in an answer follow from these.
_ADDRESS = frozenset({b"host", b"x-forwarded-proto", b"x-forwarded-host"})

Key = tuple[str, str, bytes, tuple[tuple[bytes, bytes], ...]]


class SteadyAnswers:
    """Answers by request, least recently used first out. Used on the event loop only."""

    def __init__(self) -> None:
        self._answers: OrderedDict[Key, tuple[int, Response]] = OrderedDict()
        self._bytes = 0

    def get(self, key: Key, stamp: int) -> Response | None:
        """The answer given before, if it still holds."""
        kept = self._answers.get(key)
        if kept is None or kept[0] != stamp:
            return None
        self._answers.move_to_end(key)
        return kept[1]

    def put(self, key: Key, stamp: int, answer: Response) -> None:
        """Keep an answer that was computed after the database had that stamp."""
        size = _size(answer)
        if answer.status_code != 200 or not 0 < size <= _MAX_ANSWER_BYTES:
            return
        old = self._answers.pop(key, None)
        self._bytes += size - (_size(old[1]) if old else 0)
        self._answers[key] = (stamp, answer)
        while self._bytes > _MAX_BYTES:
            self._bytes -= _size(self._answers.popitem(last=False)[1][1])


def _size(answer: Response) -> int:
    """What keeping an answer takes, in bytes; 0 for one that can be given only once."""
    if isinstance(answer, FileAnswer):
        return answer.kept_bytes
    body: bytes = getattr(answer, "body", b"")
    return len(body)


def key_of(request: Request) -> Key | None:
    """What the answer to a stranger depends on besides the database; None for a request that may be personal."""
    address = []
    for header in request.scope["headers"]:
        if header[0] in _PERSONAL:
            return None
        if header[0] in _ADDRESS:
            address.append(header)
    scope = request.scope
    return scope["method"], scope["path"], scope["query_string"], tuple(address)
