"""Keys of remotes at rest: AES-256-GCM under a key that follows from the hub's secret key.

Bound to the remote's name and address, so that whoever can write to the database cannot have a key sent elsewhere.
A sealed key is `01`, a nonce of 12 bytes, then the ciphertext with its tag.
"""

from __future__ import annotations

import os

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from seedstock.core.errors import Unavailable
from seedstock.run.remote.upstream import UpstreamKey

_VERSION = b"\x01"
_NONCE_BYTES = 12


class Sealer:
    """Encrypts and decrypts with a key of its own, made from the hub's."""

    def __init__(self, secret: bytes) -> None:
        self._cipher = AESGCM(HKDF(SHA256(), 32, salt=None, info=b"seedstock keys of remotes").derive(secret))

    def seal(self, key: UpstreamKey, name: str, base_url: str) -> bytes:
        """The key, encrypted for one remote."""
        nonce = os.urandom(_NONCE_BYTES)
        plain = key.reveal().encode()
        return _VERSION + nonce + self._cipher.encrypt(nonce, plain, _bound_to(name, base_url))

    def open(self, sealed: bytes, name: str, base_url: str) -> UpstreamKey:
        """The key of one remote. Raises Unavailable if it was sealed with another secret key, or for another address."""
        nonce, ciphertext = sealed[1 : 1 + _NONCE_BYTES], sealed[1 + _NONCE_BYTES :]
        try:
            if sealed[:1] != _VERSION or len(nonce) < _NONCE_BYTES:
                raise InvalidTag
            plain = self._cipher.decrypt(nonce, ciphertext, _bound_to(name, base_url))
        except InvalidTag:
            raise Unavailable(
                f"The key of the remote {name!r} cannot be decrypted: it was stored under another secret key of this hub",
                hint=f"bring back secret.key or SEEDSTOCK_SECRET_KEY, or give the key again with `seedstock remote change {name}`",
            ) from None
        return UpstreamKey(plain.decode())


def _bound_to(name: str, base_url: str) -> bytes:
    return f"{name}\n{base_url}".encode()
