"""The hub's own key, and what it signs: evidence records and bills of materials."""

from __future__ import annotations

import hmac
from functools import cached_property
from typing import TYPE_CHECKING, Any

from seedstock.core.errors import HubError

if TYPE_CHECKING:
    from seedstock.openness.facts import ModelFacts
    from seedstock.openness.signing_keys import HubKey


class HubRecords:
    """Signs records with a key that follows from the server's secret, so that all servers of a hub have it."""

    def __init__(self, secret: bytes) -> None:
        self._seed = hmac.digest(secret, b"seedstock record key 1", "sha256")

    @cached_property
    def key(self) -> HubKey:
        """The signing key; made when it is first needed, for the library takes a while to load."""
        from seedstock.openness.signing_keys import HubKey

        return HubKey.from_seed(self._seed)

    def sign(self, statement: dict[str, Any]) -> str:
        """An in-toto statement (`subject`, `predicateType`, `predicate`) in a signed DSSE envelope, as text."""
        from seedstock.openness.records import Statement, Subject, sign_record

        subjects = tuple(Subject(item["name"], item["digest"]) for item in statement["subject"])
        signed = Statement(subjects, statement["predicateType"], statement["predicate"])
        return sign_record(signed, self.key).decode()

    def holds(self, record: str) -> bool:
        """Whether a stored record is intact and signed by this hub."""
        from seedstock.openness.records import verify_record

        try:
            return verify_record(record, [self.key.public]).trusted
        except HubError:
            return False

    def sign_bom(self, bill: dict[str, Any], model: ModelFacts, kind: str) -> str:
        """A bill of materials as a signed record about the files of the model."""
        from seedstock.openness import records

        digests = {file.path: file.sha256 for file in model.files if file.sha256}
        subjects = [
            records.Subject(f"{model.repo}@{model.commit}:{path}", {"sha256": digest})
            for path, digest in digests.items()
        ] or [records.Subject(f"{model.repo}@{model.commit}", {"gitCommit": model.commit})]
        predicate = records.CYCLONEDX_PREDICATE if kind == "cyclonedx" else records.SPDX_PREDICATE
        return records.sign_bom(bill, subjects, self.key, predicate_type=predicate).decode()

    def public_key(self) -> bytes:
        """The public key as PEM."""
        return self.key.public.pem
