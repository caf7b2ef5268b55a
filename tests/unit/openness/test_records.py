import base64
import json
import os
import stat
import threading
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given
from hypothesis import strategies as st

from seedstock.core.errors import Forbidden, HubError, Integrity, Invalid, Unauthenticated, UnsupportedFormat
from seedstock.openness.canonical import canonical_json
from seedstock.openness.records import (
    CYCLONEDX_PREDICATE,
    Statement,
    Subject,
    inspect_record,
    sign_bom,
    sign_record,
    verify_record,
)
from seedstock.openness.signing_keys import HubKey, PublicKey

KEY = HubKey(Ed25519PrivateKey.from_private_bytes(bytes(range(32))))
OTHER = HubKey(Ed25519PrivateKey.from_private_bytes(bytes(range(1, 33))))
STATEMENT = Statement(
    (Subject("lab/child", {"gitCommit": "a" * 40}),),
    "https://seedstock.dev/evidence/v1",
    {"verdict": "derived", "statistics": {"cosine": 0.9987, "tensors": 12}, "note": "née «x»\n"},
)
RECORD = sign_record(STATEMENT, KEY)


def test_signed_and_verified() -> None:
    record = verify_record(RECORD, [OTHER.public, KEY.public])
    assert record.statement == STATEMENT
    assert (record.key_id, record.trusted) == (KEY.public.id, True)
    assert sign_record(STATEMENT, KEY) == RECORD
    assert verify_record(RECORD.decode() + "\n", [KEY.public]).trusted


def test_the_shape_is_dsse_and_in_toto() -> None:
    envelope = json.loads(RECORD)
    payload = base64.b64decode(envelope["payload"])
    assert envelope["payloadType"] == "application/vnd.in-toto+json"
    assert json.loads(payload)["_type"] == "https://in-toto.io/Statement/v1"
    signature = envelope["signatures"][0]
    public = serialization.load_der_public_key(base64.b64decode(signature["publicKey"]))
    message = b"DSSEv1 28 application/vnd.in-toto+json %d " % len(payload) + payload
    public.verify(base64.b64decode(signature["sig"]), message)  # type: ignore[union-attr, call-arg]


def test_another_key_is_intact_and_not_trusted() -> None:
    assert not inspect_record(RECORD).trusted
    assert not inspect_record(RECORD, [OTHER.public]).trusted
    with pytest.raises(Unauthenticated):
        verify_record(RECORD, [OTHER.public])
    with pytest.raises(Unauthenticated):
        verify_record(RECORD, [])


@given(st.integers(0, len(RECORD) - 1), st.integers(1, 255))
def test_a_change_of_any_byte_is_seen(place: int, change: int) -> None:
    damaged = bytearray(RECORD)
    damaged[place] ^= change
    with pytest.raises((Integrity, Invalid)) as caught:
        inspect_record(bytes(damaged))
    assert len(str(caught.value).splitlines()) == 1


def test_every_byte_once() -> None:
    for place in range(len(RECORD)):
        with pytest.raises((Integrity, Invalid)):
            inspect_record(RECORD[:place] + bytes([RECORD[place] ^ 1]) + RECORD[place + 1 :])


def test_spare_bits_of_base64_are_no_hiding_place() -> None:
    alphabet = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/"
    tails = [place - 1 for place in range(1, len(RECORD)) if RECORD[place : place + 1] == b"="]
    assert tails
    for place in tails:
        for letter in alphabet:
            changed = RECORD[:place] + bytes([letter]) + RECORD[place + 1 :]
            if changed != RECORD:
                with pytest.raises((Integrity, Invalid)):
                    inspect_record(changed)


@given(st.integers(0, len(RECORD)), st.binary(min_size=1, max_size=3))
def test_added_and_cut_bytes_are_seen(place: int, extra: bytes) -> None:
    for changed in (RECORD[:place] + extra + RECORD[place:], RECORD[:place]):
        if changed.removesuffix(b"\n") == RECORD:
            continue
        with pytest.raises((Integrity, Invalid)):
            inspect_record(changed)


def test_a_reformatted_record_is_refused() -> None:
    with pytest.raises(Integrity, match="reformatted"):
        inspect_record(json.dumps(json.loads(RECORD), indent=1))


def test_swapped_parts_are_refused() -> None:
    mine, theirs = json.loads(RECORD), json.loads(sign_record(STATEMENT, OTHER))
    for field in ("keyid", "sig", "publicKey"):
        mixed = json.loads(RECORD)
        mixed["signatures"][0][field] = theirs["signatures"][0][field]
        with pytest.raises(Integrity):
            inspect_record(canonical_json(mixed))
    mine["signatures"] *= 2
    with pytest.raises(UnsupportedFormat):
        inspect_record(canonical_json(mine))


JSON = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(codec="utf-8"), max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), inner, max_size=4),
    max_leaves=12,
)  # fmt: skip


@given(st.dictionaries(st.text(st.characters(codec="utf-8"), max_size=8), JSON, max_size=5))
def test_any_json_is_kept(predicate: dict[str, Any]) -> None:
    statement = Statement((), "https://x/y", predicate)
    found = verify_record(sign_record(statement, KEY), [KEY.public]).statement
    assert canonical_json(found.predicate) == canonical_json(predicate)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), b"x", {1, 2}, "\ud800", object()])
def test_what_json_cannot_carry_is_refused(value: object) -> None:
    with pytest.raises(Invalid):
        sign_record(Statement((), "https://x/y", {"value": value}), KEY)


@given(st.binary(max_size=200))
def test_any_bytes_are_an_error_of_ours(raw: bytes) -> None:
    with pytest.raises(HubError):
        inspect_record(raw)


@pytest.mark.parametrize("raw", [b"[" * 100_000, b'{"payload":' * 50_000, b"", b"null", b"{}"])
def test_hostile_records(raw: bytes) -> None:
    with pytest.raises(HubError):
        inspect_record(raw)


def test_a_bill_is_signed_as_a_predicate() -> None:
    raw = sign_bom({"bomFormat": "CycloneDX"}, STATEMENT.subject, KEY, predicate_type=CYCLONEDX_PREDICATE)
    assert verify_record(raw, [KEY.public]).statement.predicate == {"bomFormat": "CycloneDX"}


def test_the_key_is_made_once_and_only_its_owner_reads_it(tmp_path: Path) -> None:
    path = tmp_path / "hub.pem"
    made = HubKey.load_or_create(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert HubKey.load_or_create(path).public.id == made.public.id
    assert PublicKey.from_pem(made.public.pem).id == made.public.id
    assert list(tmp_path.iterdir()) == [path]
    path.chmod(0o644)
    with pytest.raises(Forbidden, match="others"):
        HubKey.load_or_create(path)


def test_two_that_make_a_key_at_once_agree(tmp_path: Path) -> None:
    path = tmp_path / "hub.pem"
    found: list[str] = []
    threads = [
        threading.Thread(target=lambda: found.append(HubKey.load_or_create(path).public.id)) for _ in range(8)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(found) == 8
    assert len(set(found)) == 1


@pytest.mark.parametrize(
    "content", [b"", b"-----BEGIN PRIVATE KEY-----\nnonsense\n-----END PRIVATE KEY-----\n"]
)
def test_a_broken_key_file(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "hub.pem"
    path.touch(0o600)
    path.write_bytes(content)
    with pytest.raises(Invalid):
        HubKey.load_or_create(path)
    with pytest.raises(Invalid):
        PublicKey.from_pem(content)


def test_keys_of_other_kinds_are_refused(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    path = tmp_path / "hub.pem"
    handle = os.open(path, os.O_CREAT | os.O_WRONLY, 0o600)
    os.write(handle, key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8,
                                       serialization.NoEncryption()))  # fmt: skip
    os.close(handle)
    with pytest.raises(Invalid, match="Ed25519"):
        HubKey.load_or_create(path)
    pem = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    with pytest.raises(Invalid, match="Ed25519"):
        PublicKey.from_pem(pem)
