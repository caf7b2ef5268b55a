"""The Xet store as a service: what gets in, what comes out, and for whom."""

import os
import random
from concurrent.futures import ThreadPoolExecutor

import pytest
from tests.factories.xet_uploads import make_upload

from seedstock.content.xet_scope import TOKEN_GRACE_S, TOKEN_LIFETIME_S, Access
from seedstock.core.errors import (
    BadUpload,
    CorruptBlock,
    EntryNotFound,
    Forbidden,
    Invalid,
    InvalidToken,
    RangeNotSatisfiable,
)
from seedstock.core.viewer import ANONYMOUS, Credential, TokenRole, Viewer
from seedstock.hub.repos import RepoSettings, repo_id_of
from seedstock.xet.chunk_codec import Scheme
from seedstock.xet.hashing import hash_from_text, hash_to_text
from seedstock.xet.shard import parse_shard


def send_xorb(hub, scope, upload, *, piece=100_000, footer=b""):
    body = upload.xorb + footer
    with hub.xet.receive_xorb(scope, upload.xorb_text) as receiving:
        for at in range(0, len(body), piece):
            receiving.feed(body[at : at + piece])
        return receiving.finish()


def send(hub, scope, upload):
    send_xorb(hub, scope, upload)
    return hub.xet.register_shard(scope, upload.shard())


def read(hub, repo, upload, start=0, stop=1 << 60):
    file = hub.content.find_in_repo(repo.id, [upload.digest])[upload.digest]
    return b"".join(hub.content.open_range(file, start, stop))


def stored(hub, upload):
    text = upload.xorb_text
    return hub.settings.data_dir / "store" / "xorbs" / text[:2] / text[2:4] / text


def flip(path, at):
    data = bytearray(path.read_bytes())
    data[at] ^= 1
    path.write_bytes(data)


@pytest.fixture
def ada(make_repo):
    return make_repo("ada", "m", private=True)


@pytest.fixture
def scope(hub, ada):
    return hub.xet.mint_token(*ada, Access.WRITE).scope


@pytest.mark.parametrize("piece", [1, 7_001, 1 << 20])
@pytest.mark.parametrize("footer", [b"", b"XETBLOB" + bytes(300)])
def test_what_is_sent_is_read_back(hub, ada, scope, piece, footer):
    upload = make_upload(1, (600, 9_000, 700) if piece == 1 else (70_000, 9_000, 131_072, 20_000))
    assert send_xorb(hub, scope, upload, piece=piece, footer=footer) is True
    assert stored(hub, upload).read_bytes() == upload.xorb
    assert hub.xet.register_shard(scope, upload.shard()) is True
    assert read(hub, ada[1], upload) == upload.plain
    assert list((hub.settings.data_dir / "incoming").iterdir()) == []


def test_ranges_of_a_fragmented_file(hub, ada, scope):
    upload = make_upload(2, runs=((2, 4), (0, 1), (1, 3), (1, 2)))
    send(hub, scope, upload)
    size, source = len(upload.plain), random.Random(5)
    for _ in range(60):
        start = source.randrange(size)
        stop = source.randrange(start, size + 10)
        assert read(hub, ada[1], upload, start, stop) == upload.plain[start:stop]


def test_registering_again_changes_nothing(hub, ada, scope):
    upload = make_upload(3)
    assert send(hub, scope, upload) is True
    assert send_xorb(hub, scope, upload) is False
    assert hub.xet.register_shard(scope, upload.shard()) is False
    assert read(hub, ada[1], upload) == upload.plain


def test_a_shard_without_sha256_gets_the_computed_one(hub, ada, scope):
    upload = make_upload(4)
    send_xorb(hub, scope, upload)
    assert hub.xet.register_shard(scope, upload.shard(claim=None)) is True
    assert read(hub, ada[1], upload) == upload.plain


@pytest.mark.parametrize("known", [False, True])
def test_a_wrong_sha256_is_refused_and_nothing_recorded(hub, ada, scope, known):
    upload = make_upload(5)
    send_xorb(hub, scope, upload)
    if known:
        hub.xet.register_shard(scope, upload.shard())
    with pytest.raises(BadUpload, match="sha256"):
        hub.xet.register_shard(scope, upload.shard(claim="ab" * 32))
    assert hub.content.find_in_repo(ada[1].id, ["ab" * 32]) == {}


def test_a_xorb_that_is_not_what_it_claims_leaves_nothing(hub, scope):
    upload, other = make_upload(6), make_upload(7)
    with hub.xet.receive_xorb(scope, other.xorb_text) as receiving:
        receiving.feed(upload.xorb)
        with pytest.raises(BadUpload, match=upload.xorb_text):
            receiving.finish()
    assert not hub.xet.holds_xorb(scope, other.xorb_text)
    assert list((hub.settings.data_dir / "incoming").iterdir()) == []


def test_damage_is_found_and_healed_by_sending_again(hub, ada, scope):
    upload = make_upload(8)
    send(hub, scope, upload)
    flip(stored(hub, upload), len(upload.xorb) // 2)
    with pytest.raises(CorruptBlock, match=upload.xorb_text):
        read(hub, ada[1], upload)
    assert not hub.xet.holds_xorb(scope, upload.xorb_text)
    with pytest.raises(EntryNotFound):
        hub.xet.dedup_answer(scope, hash_to_text(upload.index.chunk_hash(0)))
    assert send_xorb(hub, scope, upload) is False
    assert read(hub, ada[1], upload) == upload.plain
    assert hub.xet.holds_xorb(scope, upload.xorb_text)


def test_damage_without_a_trace_is_remembered_once_seen(hub, ada, scope):
    upload = make_upload(19)
    send(hub, scope, upload)
    path = stored(hub, upload)
    before = path.stat()
    with path.open("r+b") as file:
        file.seek(60)
        file.write(bytes([upload.xorb[60] ^ 1]))
    os.utime(path, ns=(before.st_atime_ns, before.st_mtime_ns))
    assert hub.xet.holds_xorb(scope, upload.xorb_text)
    with pytest.raises(CorruptBlock):
        read(hub, ada[1], upload)
    assert not hub.xet.holds_xorb(scope, upload.xorb_text)
    send_xorb(hub, scope, upload)
    assert read(hub, ada[1], upload) == upload.plain


def test_a_damaged_xorb_is_replaced_by_one_compressed_differently(hub, ada, scope):
    upload = make_upload(9)
    other = make_upload(9, scheme=Scheme.NONE)
    send(hub, scope, upload)
    send_xorb(hub, scope, other)
    assert stored(hub, upload).read_bytes() == upload.xorb  # sound bytes stay
    flip(stored(hub, upload), 50)
    send_xorb(hub, scope, other)
    assert stored(hub, upload).read_bytes() == other.xorb
    assert read(hub, ada[1], upload) == upload.plain


def test_a_file_with_damaged_xorbs_moves_to_the_ones_sent_last(hub, ada, scope):
    whole = make_upload(10, (9_000, 8_000, 7_000), runs=((0, 2),))
    other = make_upload(10, (9_000, 8_000))
    assert whole.file_text == other.file_text
    send(hub, scope, whole)
    flip(stored(hub, whole), 100)
    assert send(hub, scope, other) is True
    assert read(hub, ada[1], whole) == whole.plain


def test_another_representation_takes_over_where_one_is_damaged(hub, ada, scope):
    upload = make_upload(11, (131_072,) * 20)
    send(hub, scope, upload)
    with hub.content.staging.open() as staged:
        staged.write(upload.plain)
        hub.content.add_whole(ada[1].id, upload.digest, len(upload.plain), staged)
    file = hub.content.find_in_repo(ada[1].id, [upload.digest])[upload.digest]
    path = hub.content.local_file(file)
    flip(path, (1 << 20) + 5)
    assert hub.content.local_file(file) is None
    assert read(hub, ada[1], upload) == upload.plain
    path.unlink()
    assert read(hub, ada[1], upload, 5, 900_000) == upload.plain[5:900_000]


def test_a_stranger_cannot_use_what_is_private(hub, make_repo, ada, scope):
    upload = make_upload(12)
    send(hub, scope, upload)
    viewer, repo = make_repo("bob", "mine")
    bob = hub.xet.mint_token(viewer, repo, Access.WRITE).scope
    chunk = hash_to_text(upload.index.chunk_hash(0))
    with pytest.raises(BadUpload, match="is not stored"):
        hub.xet.register_shard(bob, upload.shard())
    with pytest.raises(EntryNotFound):
        hub.xet.dedup_answer(bob, chunk)
    with pytest.raises(EntryNotFound):
        hub.xet.reconstruct(bob, upload.file_text, None)
    assert not hub.xet.holds_xorb(bob, upload.xorb_text)
    # Who has the bytes may use them, and learns of nobody else.
    assert send_xorb(hub, bob, upload) is False
    hub.xet.register_shard(bob, upload.shard())
    assert read(hub, repo, upload) == upload.plain


def test_public_content_is_shared_until_it_is_gated(hub, make_repo):
    viewer, repo = make_repo("ada", "open")
    upload = make_upload(13)
    send(hub, hub.xet.mint_token(viewer, repo, Access.WRITE).scope, upload)
    bob = hub.xet.mint_token(*make_repo("bob", "mine"), Access.WRITE).scope
    chunk = hash_to_text(upload.index.chunk_hash(0))
    (xorb,) = parse_shard(hub.xet.dedup_answer(bob, chunk)).xorbs
    assert hash_to_text(xorb.hash) == upload.xorb_text
    hub.repos.change(viewer, repo_id_of(repo), RepoSettings(gated="manual"))
    with pytest.raises(EntryNotFound):
        hub.xet.dedup_answer(bob, chunk)
    assert (
        hub.xet.register_shard(
            hub.xet.mint_token(*make_repo("ada", "second", private=True), Access.WRITE).scope, upload.shard()
        )
        is False
    )


def test_a_fine_grained_token_sees_its_own_repo_only(hub, make_repo, ada, scope):
    upload = make_upload(14)
    send(hub, scope, upload)
    viewer, repo = make_repo("ada", "second")
    fine = Viewer(viewer.account_id, "ada", credential=Credential(TokenRole.FINE_GRAINED, "t", 0))
    assert hub.xet.mint_token(fine, repo, Access.WRITE).namespace_id is None
    assert hub.xet.mint_token(ANONYMOUS, repo, Access.READ).namespace_id is None
    assert hub.xet.mint_token(viewer, repo, Access.WRITE).namespace_id == repo.namespace_id


def test_a_dedup_answer_names_the_xorbs_that_follow(hub, scope):
    from seedstock.xet.hashing import file_hash
    from seedstock.xet.shard import Shard, ShardFile
    from seedstock.xet.shard_writer import encode_shard, shard_xorb

    parts = [make_upload(seed, (9_000, 8_000)) for seed in range(20, 26)]
    for part in parts:
        send_xorb(hub, scope, part)
    terms = tuple(term for part in parts for term in part.terms())
    proofs = tuple(part.index.verification_hash(0, 2) for part in parts)
    whole = file_hash(leaf for part in parts for leaf in part.index.leaves(0, 2))
    xorbs = tuple(shard_xorb(part.index.xorb_hash(), part.index) for part in parts)
    hub.xet.register_shard(scope, encode_shard(Shard((ShardFile(whole, terms, proofs, None),), xorbs)))
    answer = parse_shard(hub.xet.dedup_answer(scope, hash_to_text(parts[0].index.chunk_hash(0))))
    assert {xorb.hash for xorb in answer.xorbs} == {part.index.xorb_hash() for part in parts[:4]}
    assert all(
        chunk.hash not in {raw for p in parts for raw in p.index.chunk_hashes()}
        for xorb in answer.xorbs
        for chunk in xorb.chunks
    )


def test_tokens_are_accepted_a_little_longer_than_announced(hub, ada, clock):
    token = hub.xet.mint_token(*ada, Access.READ)
    assert hub.xet.read_token(token.text).scope == token.scope
    clock.now += (TOKEN_LIFETIME_S + TOKEN_GRACE_S) * 1000
    hub.xet.read_token(token.text)
    clock.now += 1000
    with pytest.raises(InvalidToken):
        hub.xet.read_token(token.text)


@pytest.mark.parametrize("text", ["", "xet", "xet.1.2.write.3.9999999999.ab", "hf_abc", "xet.é.ü", "é"])
def test_foreign_tokens_are_refused(hub, text):
    with pytest.raises(InvalidToken):
        hub.xet.read_token(text)


def test_no_part_of_a_token_can_be_changed(hub, ada):
    token = hub.xet.mint_token(*ada, Access.READ).text
    for old, new in [(".read.", ".write."), (f"xet.{ada[1].id}.", f"xet.{ada[1].id + 1}.")]:
        with pytest.raises(InvalidToken):
            hub.xet.read_token(token.replace(old, new))


def test_a_data_address_opens_one_range_for_a_while(hub, ada, scope, clock):
    upload = make_upload(15)
    send(hub, scope, upload)
    raw = hash_from_text(upload.xorb_text)
    query = dict(part.split("=") for part in hub.xet.data_query(raw, 10, 500).split("&"))
    arguments = (query["bytes"], query["expires"], query["sig"])
    row, start, stop = hub.xet.open_data(upload.xorb_text, *arguments)
    assert (start, stop, row.size_bytes) == (10, 500, len(upload.xorb))
    clock.now += 1000
    assert hub.xet.data_query(raw, 10, 500).endswith(query["sig"])  # cacheable
    for wrong in [("10-501", *arguments[1:]), (arguments[0], "9999999999", arguments[2]), ("", "", "é")]:
        with pytest.raises(Forbidden):
            hub.xet.open_data(upload.xorb_text, *wrong)
    clock.now += 2 * 3600 * 1000
    with pytest.raises(Forbidden, match="expired"):
        hub.xet.open_data(upload.xorb_text, *arguments)


def test_reconstruction_beyond_the_end(hub, scope):
    upload = make_upload(16)
    send(hub, scope, upload)
    size = len(upload.plain)
    with pytest.raises(RangeNotSatisfiable):
        hub.xet.reconstruct(scope, upload.file_text, (size, size + 1))
    assert hub.xet.reconstruct(scope, upload.file_text, (size - 1, size + 9)).terms[0].end_chunk == 4


def test_an_upload_to_a_repo_that_was_deleted(hub, ada, scope):
    upload = make_upload(17)
    hub.repos.delete(ada[0], repo_id_of(ada[1]))
    with pytest.raises(Invalid, match="gone"):
        send_xorb(hub, scope, upload)


def test_many_clients_send_the_same_at_once(hub, make_repo):
    upload = make_upload(18)
    repos = [make_repo("ada", f"r{number}") for number in range(3)]
    scopes = [hub.xet.mint_token(viewer, repo, Access.WRITE).scope for viewer, repo in repos] * 2
    with ThreadPoolExecutor(len(scopes)) as pool:
        list(pool.map(lambda scope: send(hub, scope, upload), scopes))
    for _, repo in repos:
        assert read(hub, repo, upload) == upload.plain
