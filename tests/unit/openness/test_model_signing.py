"""Against signatures that the `model-signing` library itself makes."""

import base64
import datetime
import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.x509.oid import NameOID
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from seedstock.openness.model_signing import SignatureState, check_signature

signing = pytest.importorskip("model_signing.signing")
PRIVATE = serialization.PrivateFormat.PKCS8
PUBLIC = serialization.PublicFormat.SubjectPublicKeyInfo
PEM = serialization.Encoding.PEM


class Signed:
    """A folder of model files with keys beside it."""

    def __init__(self, root: Path) -> None:
        self.folder = root / "model"
        self.folder.mkdir()
        (self.folder / "model.safetensors").write_bytes(bytes(range(256)) * 40)
        (self.folder / "config.json").write_text("{}")
        self.key, self.stranger = self._key(root, "publisher"), self._key(root, "stranger")
        self.signature = self.folder / "model.sig"

    def _key(self, root: Path, name: str) -> Path:
        key = ec.generate_private_key(ec.SECP256R1())
        (root / f"{name}.key").write_bytes(key.private_bytes(PEM, PRIVATE, serialization.NoEncryption()))
        public = root / f"{name}.pub"
        public.write_bytes(key.public_key().public_bytes(PEM, PUBLIC))
        return public

    def sign(self) -> None:
        config = signing.Config().use_elliptic_key_signer(private_key=self.key.with_suffix(".key"))
        config.sign(self.folder, self.signature)

    def change(self, edit: Callable[[dict[str, Any]], None]) -> None:
        """Edit the signed statement in place, so that the signature no longer fits."""
        bundle = json.loads(self.signature.read_text())
        statement = json.loads(base64.b64decode(bundle["dsseEnvelope"]["payload"]))
        edit(statement)
        bundle["dsseEnvelope"]["payload"] = base64.b64encode(json.dumps(statement).encode()).decode()
        self.signature.write_text(json.dumps(bundle))


@pytest.fixture
def signed(tmp_path: Path) -> Signed:
    found = Signed(tmp_path)
    found.sign()
    return found


def test_a_publishers_key(signed: Signed) -> None:
    result = check_signature(signed.folder, keys=[signed.stranger, signed.key])
    assert (result.state, result.signer) == (SignatureState.VERIFIED, "publisher.pub")
    assert result.text == "verified with publisher.pub, given by the publisher"


@pytest.mark.parametrize("given", [True, False])
def test_a_key_that_nobody_gave(signed: Signed, given: bool) -> None:
    result = check_signature(signed.folder, keys=[signed.stranger] if given else [])
    assert result.state is SignatureState.INTACT


@pytest.mark.parametrize("with_key", [True, False])
@pytest.mark.parametrize("damage", ["changed", "added", "removed"])
def test_changed_files(signed: Signed, damage: str, with_key: bool) -> None:
    if damage == "changed":
        (signed.folder / "model.safetensors").write_bytes(bytes(range(256)) * 39 + bytes(256))
    elif damage == "added":
        (signed.folder / "extra.py").write_text("print('hello')")
    else:
        (signed.folder / "config.json").unlink()
    result = check_signature(signed.folder, keys=[signed.key] if with_key else [])
    assert result.state is SignatureState.BROKEN
    assert result.text.startswith("broken: ")


def test_keys_that_are_none_are_stepped_over(signed: Signed, tmp_path: Path) -> None:
    nonsense, ed25519 = tmp_path / "nonsense.pub", tmp_path / "ed25519.pub"
    nonsense.write_text("hello")
    ed25519.write_bytes(Ed25519PrivateKey.generate().public_key().public_bytes(PEM, PUBLIC))
    result = check_signature(signed.folder, keys=[nonsense, ed25519, signed.key])
    assert (result.state, result.signer) == (SignatureState.VERIFIED, "publisher.pub")


def test_without_the_extra_nothing_is_claimed(signed: Signed, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "model_signing.verifying", None)
    result = check_signature(signed.folder, keys=[signed.key])
    assert (result.state, "extra" in result.text) == (SignatureState.NOT_CHECKED, True)


def test_no_signature(tmp_path: Path) -> None:
    assert check_signature(tmp_path).state is SignatureState.ABSENT


def test_a_changed_statement(signed: Signed) -> None:
    signed.change(lambda statement: statement["subject"][0].update(name="other"))
    assert check_signature(signed.folder, keys=[signed.key]).state is SignatureState.BROKEN


def test_files_that_a_signer_left_out_are_named(signed: Signed) -> None:
    hashing = pytest.importorskip("model_signing.hashing")
    config = signing.Config().use_elliptic_key_signer(private_key=signed.key.with_suffix(".key"))
    config.set_hashing_config(hashing.Config().set_ignored_paths(paths=["config.json", "model.sig"]))
    config.sign(signed.folder, signed.signature)
    result = check_signature(signed.folder, keys=[signed.key])
    assert result.state is SignatureState.VERIFIED
    assert "config.json" in result.ignored
    assert "not covered: config.json" in result.text


@pytest.mark.parametrize(
    ("edit", "state"),
    [
        (
            lambda s: s["predicate"]["serialization"].update(method="shards", shard_size=1),
            SignatureState.NOT_CHECKED,
        ),
        (lambda s: s["predicate"]["serialization"].update(method="magic"), SignatureState.NOT_CHECKED),
        (lambda s: s["predicate"]["serialization"].update(hash_type=["x"]), SignatureState.NOT_CHECKED),
        (lambda s: s["predicate"]["resources"][0].update(name="../../etc/passwd"), SignatureState.BROKEN),
        (lambda s: s.update(predicateType="https://x/y"), SignatureState.NOT_CHECKED),
        (lambda s: s.update(predicate=7), SignatureState.BROKEN),
    ],
)
def test_hostile_statements(
    signed: Signed, edit: Callable[[dict[str, Any]], None], state: SignatureState
) -> None:
    signed.change(edit)
    assert check_signature(signed.folder, keys=[signed.key]).state is state


def test_a_link_out_of_the_folder_is_not_followed(signed: Signed) -> None:
    (signed.folder / "out").symlink_to("/etc/hostname")
    assert check_signature(signed.folder, keys=[signed.key]).state is SignatureState.NOT_CHECKED


def test_sigstore_needs_the_network(signed: Signed) -> None:
    bundle = json.loads(signed.signature.read_text())
    bundle["verificationMaterial"] = {"certificate": {"rawBytes": "AAAA"}, "tlogEntries": [{}]}
    signed.signature.write_text(json.dumps(bundle))
    result = check_signature(signed.folder, keys=[signed.key])
    assert (result.state, "online" in result.text) == (SignatureState.NOT_CHECKED, True)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_damaged_bundles_never_crash_and_never_verify(signed: Signed, data: st.DataObject) -> None:
    raw = bytearray(signed.signature.read_bytes())
    damaged = signed.folder.parent / "damaged.sig"
    place = data.draw(st.integers(0, len(raw) - 1))
    raw[place] ^= data.draw(st.integers(1, 255))
    damaged.write_bytes(bytes(raw) if data.draw(st.booleans()) else bytes(raw[:place]))
    bundle_before = json.loads(signed.signature.read_text())
    result = check_signature(signed.folder, keys=[signed.key], signature=damaged)
    if result.state is SignatureState.VERIFIED:  # only what the signature does not cover may differ
        after = json.loads(damaged.read_text())
        assert after["dsseEnvelope"]["payload"] == bundle_before["dsseEnvelope"]["payload"]


@pytest.mark.parametrize("raw", [b"", b"[" * 100_000, b"null", b'{"verificationMaterial":{}}', b"\xff" * 100])
def test_what_is_no_bundle(signed: Signed, raw: bytes) -> None:
    signed.signature.write_bytes(raw)
    assert check_signature(signed.folder, keys=[signed.key]).state is SignatureState.BROKEN


def _certificate(name: str, key: ec.EllipticCurvePrivateKey, issuer: x509.Certificate | None,
                 issuer_key: ec.EllipticCurvePrivateKey) -> x509.Certificate:  # fmt: skip
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    start = datetime.datetime(2025, 1, 1, tzinfo=datetime.UTC)
    usage = x509.KeyUsage(True, False, False, False, False, issuer is None, issuer is None, False, False)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer.subject if issuer else subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=3650))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=None), critical=True)
        .add_extension(usage, critical=True)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def test_certificates(tmp_path: Path) -> None:
    made = Signed(tmp_path)
    root_key, leaf_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    root = _certificate("lab root", root_key, None, root_key)
    leaf = _certificate("lab signer", leaf_key, root, root_key)
    other = _certificate("other root", made_key := ec.generate_private_key(ec.SECP256R1()), None, made_key)
    for name, certificate in (("root", root), ("leaf", leaf), ("other", other)):
        (tmp_path / f"{name}.pem").write_bytes(certificate.public_bytes(PEM))
    private = tmp_path / "leaf.key"
    private.write_bytes(leaf_key.private_bytes(PEM, PRIVATE, serialization.NoEncryption()))
    config = signing.Config().use_certificate_signer(
        private_key=private,
        signing_certificate=tmp_path / "leaf.pem",
        certificate_chain=[tmp_path / "root.pem"],
    )
    config.sign(made.folder, made.signature)
    trusted = check_signature(made.folder, certificates=[tmp_path / "root.pem"])
    assert (trusted.state, trusted.signer) == (SignatureState.VERIFIED, "CN=lab signer")
    for roots in ([], [tmp_path / "other.pem"]):
        untrusted = check_signature(made.folder, certificates=roots)
        assert (untrusted.state, untrusted.signer) == (SignatureState.INTACT, "CN=lab signer")
    (made.folder / "config.json").write_text("[]")
    for roots in ([], [tmp_path / "root.pem"]):
        assert check_signature(made.folder, certificates=roots).state is SignatureState.BROKEN
