"""A signed model in a repo: checked from the store, shown with whose key it is."""

from __future__ import annotations

from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from seedstock.core.names import RepoId, RepoType
from tests.factories.toy_models import safetensors_bytes, toy_llama
from tests.unit.lineage.conftest import Family

_NUMBERS = iter(range(100))
signing = pytest.importorskip("model_signing.signing")


def sign(folder: Path) -> tuple[bytes, str]:
    """The signature of a folder, and the public key for it."""
    key = ec.generate_private_key(ec.SECP256R1())
    private = folder.with_suffix(".key")
    private.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
    )
    signing.Config().use_elliptic_key_signer(private_key=private).sign(folder, folder / "model.sig")
    public = key.public_key().public_bytes(
        serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo
    )
    return (folder / "model.sig").read_bytes(), public.decode()


def state(family: Family, tmp_path: Path, commit: str) -> str:
    number = family.hub.reading.repo_at(family.people["ada"], RepoId(RepoType.MODEL, "ada", "signed")).repo.id
    folder = tmp_path / f"check-{next(_NUMBERS)}"
    folder.mkdir()
    found = family.hub.signatures.check(number, commit, folder)
    assert found is not None
    assert family.hub.signatures.find(number, commit) == found
    return found.state


def test_a_publishers_signature_and_a_change_after_it(family: Family, tmp_path: Path) -> None:
    weights, folder = safetensors_bytes(toy_llama(1)), tmp_path / "model"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(weights)
    (folder / "README.md").write_bytes(b"# Signed")
    signature, key = sign(folder)
    first = family.publish("ada/signed", weights, "# Signed", files={"model.sig": signature})
    assert state(family, tmp_path, first) == "intact-key-not-trusted"
    family.hub.publishers.state(
        "ada", organisation="A", country=None, source="https://example.org", stated_by="t", signing_key=key
    )
    assert state(family, tmp_path, first) == "verified"
    second = family.publish("ada/signed", weights, "# Signed, and changed", files={"model.sig": signature})
    assert state(family, tmp_path, second) == "broken"


def test_a_commit_without_a_signature_is_not_checked(family: Family, tmp_path: Path) -> None:
    commit = family.publish("ada/signed", toy_llama(1), "# Plain")
    number = family.hub.reading.repo_at(family.people["ada"], RepoId(RepoType.MODEL, "ada", "signed")).repo.id
    assert family.hub.signatures.check(number, commit, tmp_path) is None
