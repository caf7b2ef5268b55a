"""Checks an OpenSSF `model.sig` against a folder of files, offline, with the `model-signing` library.

Everything in the bundle is hostile until the signature holds: its size, hashing settings and file names are looked
at before the library sees it. Sigstore bundles need an online trust root, so they are reported as not checked.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import importlib
import json
import os
import stat
import tempfile
from collections.abc import Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

import msgspec

MAX_SIGNATURE_BYTES = 16 << 20
MAX_RESOURCES = 200_000
MIN_SHARD_BYTES = 1 << 20
MAX_KEY_BYTES = 16 << 10
SIGNATURE_FILE = "model.sig"
_HASHES = ("sha256", "blake2", "blake3")
_ALWAYS_IGNORED = frozenset({SIGNATURE_FILE, ".git", ".gitattributes", ".github", ".gitignore"})
_PREDICATE = "https://model_signing/signature/v1.0"


class SignatureState(StrEnum):
    """What can be said of a signature."""

    VERIFIED = "verified"
    INTACT = "intact-key-not-trusted"
    BROKEN = "broken"
    NOT_CHECKED = "not-checked"
    ABSENT = "absent"


class SignatureResult(msgspec.Struct, frozen=True):
    """The state, in words too. `signer` is the given key's file name, or a certificate's subject."""

    state: SignatureState
    text: str
    signer: str | None = None
    ignored: tuple[str, ...] = ()


class _Stop(Exception):
    """Ends the check with a result."""

    def __init__(self, state: SignatureState, text: str) -> None:
        super().__init__(text)
        self.result = SignatureResult(state, text)


class _Bundle(msgspec.Struct, frozen=True):
    """The parts of a bundle that decide how it is checked."""

    certificates: tuple[bytes, ...]
    has_key: bool
    ignored: tuple[str, ...]


def check_signature(
    folder: Path,
    *,
    keys: Sequence[Path] = (),
    certificates: Sequence[Path] = (),
    signature: Path | None = None,
) -> SignatureResult:
    """Check `folder/model.sig`. `keys` are EC public keys and `certificates` roots (PEM) that the publisher gave.

    Reads every file of the folder once per key tried at most. Never raises over what the files hold.
    """
    path = signature or folder / SIGNATURE_FILE
    try:
        bundle = _read_bundle(path)
        _check_folder(folder)
        return _check(folder, path, bundle, keys, certificates)
    except _Stop as stop:
        return stop.result
    except Exception as error:  # noqa: BLE001 - the library raises whatever its own dependencies do
        return SignatureResult(SignatureState.BROKEN, f"the signature cannot be checked: {_line(error)}")


def _check(
    folder: Path, path: Path, bundle: _Bundle, keys: Sequence[Path], certificates: Sequence[Path]
) -> SignatureResult:
    try:
        verifying: Any = importlib.import_module("model_signing.verifying")
    except ImportError:
        text = "not checked: the extra 'signing' is not installed"
        return SignatureResult(SignatureState.NOT_CHECKED, text)
    if bundle.has_key:
        return _check_key(folder, path, bundle, keys, verifying)
    if certificates:
        verifier = verifying.Config().use_certificate_verifier(certificate_chain=list(certificates))
        trouble = _run(verifier, folder, path)
        if trouble is None:
            return _verified(bundle, _subject(bundle.certificates[0]))
        if "mismatch" in trouble:
            return SignatureResult(SignatureState.BROKEN, f"broken: {trouble}", None, bundle.ignored)
    with tempfile.TemporaryDirectory(prefix="seedstock-cert-") as temporary:
        return _check_leaf(folder, path, bundle, Path(temporary), verifying)


def _check_key(
    folder: Path, path: Path, bundle: _Bundle, keys: Sequence[Path], verifying: Any
) -> SignatureResult:
    """A bundle of a bare key: it names the key by a hash only, so nothing can be said without the key itself."""
    hint = _hint(path)
    for key in keys:
        named = _key_hash(key)
        if named is None or hint not in {None, named}:
            continue
        trouble = _run(verifying.Config().use_elliptic_key_verifier(public_key=key), folder, path)
        if trouble is None:
            return _verified(bundle, key.name)
        if hint is not None or "mismatch" in trouble:
            return SignatureResult(SignatureState.BROKEN, f"broken: {trouble}", key.name, bundle.ignored)
    trouble = _compare(folder, path)
    if trouble is not None:
        return SignatureResult(SignatureState.BROKEN, f"broken: {trouble}", None, bundle.ignored)
    text = "the files are those that the signature lists, but no key that the publisher gave made it"
    return SignatureResult(SignatureState.INTACT, text, None, bundle.ignored)


def _check_leaf(
    folder: Path, path: Path, bundle: _Bundle, temporary: Path, verifying: Any
) -> SignatureResult:
    """Whether a certificate's own key made the signature; who stands behind the certificate stays open."""
    from cryptography import x509
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    leaf = x509.load_der_x509_certificate(bundle.certificates[0]).public_key()
    if not isinstance(leaf, ec.EllipticCurvePublicKey):
        raise _Stop(
            SignatureState.NOT_CHECKED, "not checked: the certificate's key is not an elliptic curve key"
        )
    key = temporary / "leaf.pem"
    pem = leaf.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    key.write_bytes(pem)
    raw = json.loads(path.read_bytes())
    raw["verificationMaterial"] = {"publicKey": {"hint": hashlib.sha256(pem).hexdigest()}, "tlogEntries": []}
    bare = temporary / SIGNATURE_FILE
    bare.write_text(json.dumps(raw))
    trouble = _run(verifying.Config().use_elliptic_key_verifier(public_key=key), folder, bare)
    signer = _subject(bundle.certificates[0])
    if trouble is not None:
        return SignatureResult(SignatureState.BROKEN, f"broken: {trouble}", signer, bundle.ignored)
    text = f"intact, but the certificate of {signer} does not lead to a root that the publisher gave"
    return SignatureResult(SignatureState.INTACT, text, signer, bundle.ignored)


def _verified(bundle: _Bundle, signer: str) -> SignatureResult:
    text = f"verified with {signer}, given by the publisher"
    if bundle.ignored:
        text += f"; not covered: {', '.join(bundle.ignored[:5])}"
    return SignatureResult(SignatureState.VERIFIED, text, signer, bundle.ignored)


def _run(verifier: Any, folder: Path, path: Path) -> str | None:
    """None when the library is content, else its reason in one line."""
    try:
        settings = _statement(json.loads(path.read_bytes()))["predicate"]["serialization"]
        verifier.set_hashing_config(_hashing(settings)).verify(folder, path)
    except Exception as error:  # noqa: BLE001 - see check_signature
        return _line(error) or "the signature does not fit"
    return None


def _line(error: Exception) -> str:
    words = " ".join(str(error).split())[:300] or type(error).__name__
    return "".join(c if c.isprintable() else "?" for c in words)


def _read_bundle(path: Path) -> _Bundle:
    """The bundle's outline. Raises _Stop for what is absent, oversized, malformed or asks for costly hashing."""
    try:
        size = path.lstat()
    except OSError:
        raise _Stop(SignatureState.ABSENT, "there is no signature") from None
    if not stat.S_ISREG(size.st_mode) or size.st_size > MAX_SIGNATURE_BYTES:
        raise _Stop(SignatureState.BROKEN, "broken: not a signature file, or a far too large one")
    try:
        raw = msgspec.json.decode(path.read_bytes(), type=dict[str, Any])
        material = raw["verificationMaterial"]
        statement = _statement(raw)
        predicate = statement["predicate"]
        serialization, resources = predicate["serialization"], predicate["resources"]
        ignored = tuple(str(item) for item in serialization.get("ignore_paths", ()))
        chain = (material.get("x509CertificateChain") or {}).get("certificates") or []
        leaf = material.get("certificate")
        names = [str(item["name"]) for item in resources]
    except (msgspec.DecodeError, KeyError, TypeError, ValueError, AttributeError, RecursionError) as error:
        raise _Stop(SignatureState.BROKEN, f"broken: not a signature bundle ({_line(error)})") from error
    if leaf is not None or material.get("tlogEntries"):
        text = "not checked: a Sigstore signature, which needs an online trust root"
        raise _Stop(SignatureState.NOT_CHECKED, text)
    _check_settings(statement, serialization, names)
    if not chain and "publicKey" not in material:
        raise _Stop(SignatureState.BROKEN, "broken: the bundle names neither a key nor a certificate")
    decoded = tuple(base64.b64decode(item["rawBytes"]) for item in chain[:16])
    extra = tuple(sorted(set(ignored) - _ALWAYS_IGNORED))
    return _Bundle(decoded, not chain, extra)


def _statement(raw: dict[str, Any]) -> Any:
    try:
        payload = base64.b64decode(raw["dsseEnvelope"]["payload"], validate=True)
    except binascii.Error as error:
        raise ValueError("the payload is not base64") from error
    return msgspec.json.decode(payload, type=dict[str, Any])


def _check_settings(statement: Any, serialization: Any, names: list[str]) -> None:
    if statement.get("predicateType") != _PREDICATE:
        raise _Stop(SignatureState.NOT_CHECKED, "not checked: an older or unknown kind of statement")
    if len(names) > MAX_RESOURCES or any(".." in name.split("/") or name.startswith("/") for name in names):
        raise _Stop(SignatureState.BROKEN, "broken: file names that no repository can hold")
    method, shard = serialization.get("method"), serialization.get("shard_size")
    costly = method == "shards" and not (isinstance(shard, int) and shard >= MIN_SHARD_BYTES)
    if costly or method not in ("files", "shards") or serialization.get("hash_type") not in _HASHES:
        raise _Stop(SignatureState.NOT_CHECKED, "not checked: hashing settings that are not supported here")


def _check_folder(folder: Path) -> None:
    """A link could lead the library out of the folder."""
    for place, folders, files in os.walk(folder):
        for name in (*folders, *files):
            if Path(place, name).is_symlink():
                raise _Stop(SignatureState.NOT_CHECKED, "not checked: the folder holds symbolic links")


def _hint(path: Path) -> str | None:
    hint = json.loads(path.read_bytes())["verificationMaterial"]["publicKey"].get("hint")
    return hint if isinstance(hint, str) and hint else None


def _key_hash(path: Path) -> str | None:
    """What the library calls a key by: its PEM in the normal form. None for what is no elliptic curve key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    try:
        key = serialization.load_pem_public_key(path.read_bytes()[:MAX_KEY_BYTES])
    except (ValueError, UnsupportedAlgorithm):
        return None
    if not isinstance(key, ec.EllipticCurvePublicKey):
        return None
    pem = key.public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    return hashlib.sha256(pem).hexdigest()


def _subject(raw: bytes) -> str:
    from cryptography import x509

    name = x509.load_der_x509_certificate(raw).subject.rfc4514_string()
    return "".join(c if c.isprintable() else "?" for c in name)[:200] or "an unnamed certificate"


def _compare(folder: Path, path: Path) -> str | None:
    """Whether the files are those the statement lists; by the library's own hashing, without a signature."""
    signing: Any = importlib.import_module("model_signing._signing.signing")
    statement = _statement(json.loads(path.read_bytes()))
    expected = signing.dsse_payload_to_manifest(statement)
    config = _hashing(statement["predicate"]["serialization"])
    config.add_ignored_paths(model_path=folder, paths=expected.serialization_type.get("ignore_paths", ()))
    if config.hash(folder) != expected:
        return "files were changed, added or removed since they were signed"
    return None


def _hashing(settings: dict[str, Any]) -> Any:
    """The library's hashing as a statement asks for it, but for links; the signature itself is no part of a model."""
    hashing: Any = importlib.import_module("model_signing.hashing")
    config = hashing.Config()
    if settings["method"] == "files":
        config.use_file_serialization(hashing_algorithm=settings["hash_type"], allow_symlinks=False)
    else:
        config.use_shard_serialization(
            hashing_algorithm=settings["hash_type"], shard_size=settings["shard_size"], allow_symlinks=False
        )
    return config.set_ignored_paths(paths=[SIGNATURE_FILE])
