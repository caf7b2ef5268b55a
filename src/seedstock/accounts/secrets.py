"""Passwords, tokens, session ids and signatures: how secrets are made, kept and compared.

Passwords are argon2id. Tokens and session ids carry 200+ random bits, so a plain SHA-256 of them is
kept: there is nothing to guess. The server key signs what must be verifiable without the database.
"""

from __future__ import annotations

import contextlib
import functools
import hashlib
import hmac
import os
import secrets
import string
from pathlib import Path

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError

from seedstock.core.errors import Invalid

_ALPHABET = string.ascii_letters + string.digits
_HASHER = PasswordHasher(time_cost=2, memory_cost=19_456, parallelism=1)  # OWASP's argon2id floor
MIN_PASSWORD_LENGTH = 8


def new_token() -> str:
    """A token that every client accepts: `hf_` and 37 letters or digits (llama.cpp wants 37..256 in all)."""
    return "hf_" + "".join(secrets.choice(_ALPHABET) for _ in range(37))


def new_session_id() -> str:
    """An unguessable browser session id."""
    return secrets.token_urlsafe(32)


def hash_secret(secret: str) -> str:
    """What is stored in place of a token or session id."""
    return hashlib.sha256(secret.encode()).hexdigest()


def hash_password(password: str) -> str:
    """Argon2id hash of a password. Raises Invalid when it is too short or absurdly long."""
    if not MIN_PASSWORD_LENGTH <= len(password) <= 1024:
        raise Invalid(f"A password has {MIN_PASSWORD_LENGTH} to 1024 characters")
    return _HASHER.hash(password)


@functools.cache
def _nobody() -> str:
    """Checked against when there is no such account, so that the answer takes as long as for a real one."""
    return _HASHER.hash("nobody has this password")


def check_password(stored: str | None, password: str) -> bool:
    """Whether the password is right; takes the same time when there is no stored hash."""
    try:
        return _HASHER.verify(stored or _nobody(), password[:1024]) and stored is not None
    except (VerificationError, InvalidHashError):
        return False


class Signer:
    """Signs and checks short messages with the server key (HMAC-SHA256, 128 bits of tag)."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def sign(self, purpose: str, message: str) -> str:
        """Hex tag of a message; a tag for one purpose is worthless for another."""
        return hmac.new(self._key, f"{purpose}\0{message}".encode(), hashlib.sha256).hexdigest()[:32]

    def verify(self, purpose: str, message: str, tag: str) -> bool:
        """Whether `tag` is ours, compared in constant time."""
        return tag.isascii() and hmac.compare_digest(self.sign(purpose, message), tag)


def load_server_key(data_dir: Path) -> bytes:
    """The server key of a data folder, made on first use and readable by its owner alone."""
    path = data_dir / "secret.key"
    if not path.exists():
        data_dir.mkdir(parents=True, exist_ok=True)
        staged = path.with_name(f"secret.{os.getpid()}.{secrets.token_hex(4)}")
        descriptor = os.open(staged, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_bytes(32))
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):  # of two processes starting together, one wins
            os.link(staged, path)
        staged.unlink()
    return path.read_bytes()
