"""Reads what a git client posts to `git-upload-pack` (gitprotocol-pack, version 0 and 1)."""

from __future__ import annotations

from collections.abc import Iterator
from io import BytesIO

import msgspec
from dulwich.errors import GitProtocolError, HangupException
from dulwich.protocol import Protocol

from seedstock.core.errors import Invalid

_OID_LENGTH = 40


class UploadRequest(msgspec.Struct, frozen=True):
    """One stateless request: all that the client wants and, round by round, what it has."""

    wants: tuple[str, ...]
    capabilities: frozenset[str]
    shallow: frozenset[str]
    depth: int | None
    rounds: tuple[tuple[str, ...], ...]
    """Commits the client has; every round ended in a flush, which is answered."""
    last: tuple[str, ...]
    """What it has beyond the last flush."""
    done: bool


def parse_request(body: bytes) -> UploadRequest:
    """The request in a body. Raises Invalid."""
    lines = _lines(body)
    wants: list[str] = []
    shallow: set[str] = set()
    depth: int | None = None
    capabilities = frozenset[str]()
    for line in lines:
        if line is None:
            break
        verb, _, rest = line.partition(" ")
        if verb == "want":
            oid, _, tail = rest.partition(" ")
            if not wants:
                capabilities = frozenset(tail.split())
            wants.append(_oid(oid))
        elif verb == "shallow":
            shallow.add(_oid(rest))
        elif verb == "deepen" and rest.isascii() and rest.isdigit() and int(rest[:12]) > 0:
            depth = int(rest[:12])
        else:
            raise Invalid(f"git sent {line[:60]!r}, which this hub does not offer")
    rounds, last, done = _haves(lines)
    return UploadRequest(
        tuple(dict.fromkeys(wants)), capabilities, frozenset(shallow), depth, rounds, last, done
    )


def _haves(lines: Iterator[str | None]) -> tuple[tuple[tuple[str, ...], ...], tuple[str, ...], bool]:
    rounds: list[tuple[str, ...]] = []
    last: list[str] = []
    for line in lines:
        if line is None:
            rounds.append(tuple(last))
            last = []
        elif line == "done":
            return tuple(rounds), tuple(last), True
        elif line.startswith("have "):
            last.append(_oid(line.removeprefix("have ")))
        else:
            raise Invalid(f"git sent {line[:60]!r} where it says what it has")
    return tuple(rounds), tuple(last), False


def _lines(body: bytes) -> Iterator[str | None]:
    """Lines of pkt-line framing; None for a flush."""
    file = BytesIO(body)
    protocol = Protocol(file.read, file.write)
    while file.tell() < len(body):
        try:
            line = protocol.read_pkt_line()
            yield None if line is None else line.decode("ascii").rstrip("\n")
        except (GitProtocolError, HangupException, AssertionError, ValueError) as error:
            raise Invalid(f"Malformed git request: {str(error)[:100]}") from None


def _oid(text: str) -> str:
    if len(text) != _OID_LENGTH or not set(text) <= set("0123456789abcdef"):
        raise Invalid(f"Malformed object name {text[:60]!r}")
    return text
