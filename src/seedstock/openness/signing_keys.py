"""The hub's Ed25519 key, and public keys of hubs. A key is known by the SHA-256 of its public part (DER)."""

from __future__ import annotations

import hashlib
import os
import stat
import tempfile
from pathlib import Path

from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey

from seedstock.core.errors import Forbidden, Invalid

MAX_KEY_BYTES = 16 << 10


class PublicKey:
    """The public half: verifies, and names itself."""

    __slots__ = ("_key", "der", "id")

    def __init__(self, key: Ed25519PublicKey) -> None:
        self._key = key
        self.der = key.public_bytes(
            serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo
        )
        self.id = hashlib.sha256(self.der).hexdigest()

    @classmethod
    def from_der(cls, raw: bytes) -> PublicKey:
        """Read DER. Raises Invalid."""
        return cls(_ed25519(raw, serialization.load_der_public_key))

    @classmethod
    def from_pem(cls, raw: bytes) -> PublicKey:
        """Read PEM. Raises Invalid."""
        return cls(_ed25519(raw[:MAX_KEY_BYTES], serialization.load_pem_public_key))

    @property
    def pem(self) -> bytes:
        """As people keep it."""
        return self._key.public_bytes(
            serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
        )

    def verifies(self, signature: bytes, message: bytes) -> bool:
        """Whether a signature over a message is this key's."""
        try:
            self._key.verify(signature, message)
        except InvalidSignature:
            return False
        return True


def _ed25519(raw: bytes, load: object) -> Ed25519PublicKey:
    try:
        key = load(raw)  # type: ignore[operator]
    except (ValueError, UnsupportedAlgorithm) as error:
        raise Invalid("Not a public key that can be read", hint="an Ed25519 public key in PEM") from error
    if not isinstance(key, Ed25519PublicKey):
        raise Invalid("Not an Ed25519 public key")
    return key


class HubKey:
    """The hub's private key. It is never printed; `public` is what others get."""

    __slots__ = ("_key", "public")

    def __init__(self, key: Ed25519PrivateKey) -> None:
        self._key = key
        self.public = PublicKey(key.public_key())

    @classmethod
    def generate(cls) -> HubKey:
        """A new key."""
        return cls(Ed25519PrivateKey.generate())

    @classmethod
    def from_seed(cls, seed: bytes) -> HubKey:
        """The key that follows from 32 secret bytes."""
        return cls(Ed25519PrivateKey.from_private_bytes(seed))

    @classmethod
    def load_or_create(cls, path: Path) -> HubKey:
        """The key kept at `path`, made on first use; of two processes that make one, the first wins.

        Raises Forbidden when others than its owner may read the file, Invalid when it holds no Ed25519 key.
        """
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            _write_new(path, _private_pem(Ed25519PrivateKey.generate()))
        mode = path.stat().st_mode
        if stat.S_IMODE(mode) & 0o077:
            raise Forbidden(f"{path} may be read by others than its owner", hint=f"chmod 600 {path}")
        try:
            key = serialization.load_pem_private_key(path.read_bytes()[:MAX_KEY_BYTES], password=None)
        except (ValueError, TypeError, UnsupportedAlgorithm) as error:
            raise Invalid(f"{path} holds no private key that can be read") from error
        if not isinstance(key, Ed25519PrivateKey):
            raise Invalid(f"{path} holds a key that is not Ed25519")
        return cls(key)

    def sign(self, message: bytes) -> bytes:
        """64 bytes of signature."""
        return self._key.sign(message)


def _private_pem(key: Ed25519PrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _write_new(path: Path, content: bytes) -> None:
    """Put a whole file at `path`, readable by its owner only, unless one is there already."""
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)  # mode 0600
    partial = Path(name)
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        try:
            path.hardlink_to(partial)
        except FileExistsError:
            return
    finally:
        partial.unlink()
