"""The server side of fetch: advertise refs, negotiate, answer with a pack (gitprotocol-pack, stateless)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import chain

from dulwich.protocol import format_ref_line, pkt_line

from seedstock import __version__
from seedstock.core.digests import ZERO_OID
from seedstock.db import git_pack, refs
from seedstock.db.engine import Database
from seedstock.db.refs import RefRow
from seedstock.db.repos import RepoRow
from seedstock.hub.git.contents import list_contents
from seedstock.hub.git.graph import Gap, Graph, find_gap
from seedstock.hub.git.pack import in_side_band, pack_stream
from seedstock.hub.git.request import UploadRequest, parse_request
from seedstock.hub.revisions import MAIN

_CAPABILITIES = [
    b"multi_ack_detailed",
    b"side-band-64k",
    b"ofs-delta",
    b"shallow",
    b"no-progress",
    b"allow-tip-sha1-in-want",
    b"allow-reachable-sha1-in-want",
    b"object-format=sha1",
    b"agent=seedstock/" + __version__.encode(),
]


def advertisement(refs: Sequence[RefRow]) -> bytes:
    """The answer to `info/refs`: HEAD first, then every ref by name."""
    heads = {ref.name: ref.oid for ref in refs}
    named = [("HEAD", heads[MAIN])] if MAIN in heads else []
    named += sorted(heads.items())
    capabilities = [f"symref=HEAD:{MAIN}".encode(), *_CAPABILITIES]
    if not named:
        named = [("capabilities^{}", ZERO_OID)]
    lines = [
        format_ref_line(name.encode(), oid.encode(), None if position else capabilities)
        for position, (name, oid) in enumerate(named)
    ]
    packets = [pkt_line(b"# service=git-upload-pack\n"), pkt_line(None), *map(pkt_line, lines)]
    return b"".join([*packets, pkt_line(None)])


def upload_pack(database: Database, repo: RepoRow, body: bytes) -> Iterable[bytes]:
    """The answer to a POST. All that can be refused is known before the first byte. Raises Invalid, Integrity."""
    request = parse_request(body)
    if not request.wants:
        return []
    with database.read() as connection:
        graph = Graph(git_pack.load_trees(connection, repo.id), git_pack.load_parents(connection, repo.id))
        tips = [ref.oid for ref in refs.list_refs(connection, repo.id)]
        offered = graph.reach(tips)
        for want in request.wants:
            if want not in offered:
                return [pkt_line(f"ERR upload-pack: not our ref {want}\n".encode())]
        haves = [oid for part in (*request.rounds, request.last) for oid in part if oid in graph.trees]
        gap = find_gap(graph, request.wants, haves, request.shallow, request.depth)
        opening = [*_shallow_lines(request, gap), *_acknowledge(request, graph)]
        if not request.done:
            return opening
        contents = list_contents(connection, repo.id, graph, gap)
    pack = pack_stream(database, repo.id, contents)
    return chain(opening, in_side_band(pack) if "side-band-64k" in request.capabilities else pack)


def _shallow_lines(request: UploadRequest, gap: Gap) -> Iterator[bytes]:
    if request.depth is None:
        return
    for oid in gap.shallow:
        yield pkt_line(f"shallow {oid}".encode())
    for oid in gap.unshallow:
        yield pkt_line(f"unshallow {oid}".encode())
    yield pkt_line(None)


def _acknowledge(request: UploadRequest, graph: Graph) -> Iterator[bytes]:
    """ACK and NAK lines, as git's own upload-pack sends them to a stateless client.

    "ready" tells that every want descends from something in common: more haves would not shrink the pack.
    """
    detailed = "multi_ack_detailed" in request.capabilities
    common: list[str] = []
    for haves in request.rounds:
        yield from _ack_haves(haves, graph, common, detailed=detailed)
        if detailed and common and graph.descend_from(request.wants, common):
            yield pkt_line(f"ACK {common[-1]} ready\n".encode())
        if detailed or not common:
            yield pkt_line(b"NAK\n")
    yield from _ack_haves(request.last, graph, common, detailed=detailed)
    if request.done and not common:
        yield pkt_line(b"NAK\n")
    elif request.done and detailed:
        yield pkt_line(f"ACK {common[-1]}\n".encode())


def _ack_haves(haves: Sequence[str], graph: Graph, common: list[str], *, detailed: bool) -> Iterator[bytes]:
    for oid in haves:
        if oid not in graph.trees:
            continue
        common.append(oid)
        if detailed:
            yield pkt_line(f"ACK {oid} common\n".encode())
        elif len(common) == 1:
            yield pkt_line(f"ACK {oid}\n".encode())
