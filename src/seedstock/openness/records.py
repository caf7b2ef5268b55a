"""Signed records: an in-toto Statement v1 in a DSSE envelope, signed with Ed25519.

Both the payload and the envelope have exactly one spelling (sorted keys, no spaces), and a file in any other is
refused: so a change of any byte is seen, also of one that the signature itself does not cover.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Iterable, Mapping
from typing import Any

import msgspec

from seedstock.core.errors import DigestMismatch, Integrity, Invalid, Unauthenticated, UnsupportedFormat
from seedstock.openness.canonical import canonical_json
from seedstock.openness.signing_keys import HubKey, PublicKey

PAYLOAD_TYPE = "application/vnd.in-toto+json"
STATEMENT_TYPE = "https://in-toto.io/Statement/v1"
CYCLONEDX_PREDICATE = "https://cyclonedx.org/bom"
SPDX_PREDICATE = "https://spdx.dev/Document"
MAX_RECORD_BYTES = 64 << 20


class Subject(msgspec.Struct, frozen=True):
    """What is attested: a name, and digests by algorithm (`sha256`, `gitCommit`)."""

    name: str
    digest: dict[str, str]


class Statement(msgspec.Struct, frozen=True):
    """An in-toto statement. `predicate` is JSON: text, finite numbers, lists, mappings with text keys."""

    subject: tuple[Subject, ...]
    predicate_type: str
    predicate: dict[str, Any]

    def encode(self) -> bytes:
        """The canonical JSON. Raises Invalid for what JSON cannot carry."""
        subjects = [{"name": item.name, "digest": item.digest} for item in self.subject]
        return canonical_json(
            {
                "_type": STATEMENT_TYPE,
                "subject": subjects,
                "predicateType": self.predicate_type,
                "predicate": self.predicate,
            }
        )


class VerifiedRecord(msgspec.Struct, frozen=True):
    """A record whose signature holds, and the key that made it; `trusted` if the key is one that was given."""

    statement: Statement
    key_id: str
    trusted: bool


class _Signature(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    keyid: str
    sig: str
    publicKey: str  # noqa: N815 - beyond DSSE, which lets readers ignore it: lets a record be checked by itself


class _Envelope(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    payload: str
    payloadType: str  # noqa: N815 - DSSE's name
    signatures: tuple[_Signature, ...]


class _RawStatement(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    type: str = msgspec.field(name="_type")
    subject: tuple[Subject, ...]
    predicateType: str  # noqa: N815 - in-toto's name
    predicate: dict[str, Any]


def sign_record(statement: Statement, key: HubKey) -> bytes:
    """The envelope's bytes, as they are stored and downloaded. The same statement and key give the same bytes."""
    payload = statement.encode()
    envelope = {
        "payload": _b64(payload),
        "payloadType": PAYLOAD_TYPE,
        "signatures": [
            {"keyid": key.public.id, "sig": _b64(key.sign(_pae(payload))), "publicKey": _b64(key.public.der)}
        ],
    }
    return canonical_json(envelope)


def sign_bom(
    bom: Mapping[str, Any], subjects: Iterable[Subject], key: HubKey, *, predicate_type: str
) -> bytes:
    """A bill of materials as the predicate of a record about the model that it describes."""
    return sign_record(Statement(tuple(subjects), predicate_type, dict(bom)), key)


def verify_record(envelope: bytes | str, trusted_keys: Iterable[PublicKey]) -> VerifiedRecord:
    """The record, if one of the given keys signed it.

    Raises UnsupportedFormat for what is no record, Integrity for one that was changed, Unauthenticated for one
    that is intact and signed by another key.
    """
    record = inspect_record(envelope, trusted_keys)
    if not record.trusted:
        raise Unauthenticated(
            f"The signature is intact, but key {record.key_id[:16]} is not one that was given"
        )
    return record


def inspect_record(envelope: bytes | str, trusted_keys: Iterable[PublicKey] = ()) -> VerifiedRecord:
    """The record, whoever signed it: `trusted` says whether a given key did. An intact record of an unknown key
    proves only that nobody changed it since that key signed. Raises as `verify_record` does.
    """
    raw = envelope.encode("utf-8", "surrogatepass") if isinstance(envelope, str) else envelope
    raw = raw.removesuffix(b"\n")
    if len(raw) > MAX_RECORD_BYTES:
        raise UnsupportedFormat(f"A record has at most {MAX_RECORD_BYTES} bytes")
    parsed = _decode(raw, _Envelope, "a DSSE envelope")
    if canonical_json(msgspec.to_builtins(parsed)) != raw:
        raise Integrity("The envelope is not spelled as it was signed: it was changed or reformatted")
    if parsed.payloadType != PAYLOAD_TYPE or len(parsed.signatures) != 1:
        raise UnsupportedFormat("Not an in-toto statement with one signature")
    payload, key = _checked(parsed)
    found = _decode(payload, _RawStatement, "an in-toto statement")
    if found.type != STATEMENT_TYPE:
        raise UnsupportedFormat(f"Not an in-toto Statement v1: {found.type[:80]}")
    statement = Statement(found.subject, found.predicateType, found.predicate)
    if statement.encode() != payload:
        raise Integrity("The statement is not in its canonical form")
    return VerifiedRecord(statement, key.id, key.id in {trusted.id for trusted in trusted_keys})


def _checked(envelope: _Envelope) -> tuple[bytes, PublicKey]:
    """Payload and key of an envelope whose one signature holds."""
    signature = envelope.signatures[0]
    payload = _from_b64(envelope.payload)
    try:
        key = PublicKey.from_der(_from_b64(signature.publicKey))
    except Invalid as error:
        raise Integrity("The record's public key cannot be read") from error
    if key.id != signature.keyid:
        raise DigestMismatch("The key id is not that of the record's public key")
    if not key.verifies(_from_b64(signature.sig), _pae(payload)):
        raise Integrity("The signature does not fit the content: one of them was changed")
    return payload, key


def _decode(raw: bytes, shape: Any, what: str) -> Any:
    try:
        return msgspec.json.decode(raw, type=shape)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise UnsupportedFormat(f"Not {what}: {str(error)[:200]}") from error


def _pae(payload: bytes) -> bytes:
    """DSSE's pre-authentication encoding: what is signed."""
    return b"DSSEv1 %d %s %d %s" % (len(PAYLOAD_TYPE), PAYLOAD_TYPE.encode(), len(payload), payload)


def _b64(raw: bytes) -> str:
    return base64.b64encode(raw).decode()


def _from_b64(text: str) -> bytes:
    """Strictly: `b64decode` lets several spellings stand for the same bytes."""
    try:
        raw = base64.b64decode(text, validate=True)
    except (binascii.Error, ValueError) as error:
        raise Integrity("Not base64 where base64 belongs") from error
    if _b64(raw) != text:
        raise Integrity("Base64 that is not spelled canonically")
    return raw
