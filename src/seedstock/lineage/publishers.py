"""Publisher profiles: who stands behind a namespace, and from which country, as they state it themselves."""

from __future__ import annotations

import re
from collections.abc import Iterable
from urllib.parse import urlsplit

from seedstock.core.clock import Clock
from seedstock.core.errors import Invalid, NotFound
from seedstock.core.names import check_account_name
from seedstock.db import publishers as rows
from seedstock.db.engine import Database
from seedstock.db.publishers import PublisherRow

_KEY = re.compile(r"-----BEGIN PUBLIC KEY-----\n[A-Za-z0-9+/=\n]{1,4000}-----END PUBLIC KEY-----\s*\Z")
_COUNTRY = re.compile(r"[A-Z]{2}\Z")


class Publishers:
    """Profiles by namespace; a namespace of another hub may have one too, for it is named as a base here."""

    def __init__(self, database: Database, clock: Clock) -> None:
        self._database = database
        self._clock = clock

    def state(
        self,
        namespace: str,
        *,
        organisation: str,
        country: str | None,
        source: str,
        stated_by: str,
        signing_key: str | None = None,
    ) -> PublisherRow:
        """Set a profile. Raises BadName, Invalid."""
        check_account_name(namespace)
        if not organisation.strip() or len(organisation) > 200 or "\0" in organisation:
            raise Invalid("An organisation has a name of at most 200 characters")
        code = country.strip().upper() if country else None
        if code is not None and not _COUNTRY.match(code):
            raise Invalid(f"A country is an ISO 3166 code of two letters such as FR, not {country!r}")
        if urlsplit(source).scheme not in {"http", "https"} or len(source) > 500 or "\0" in source:
            raise Invalid(
                "The source is a web address where the publisher states this",
                hint="give --source https://...",
            )
        if signing_key is not None and not _KEY.match(signing_key):
            raise Invalid("A signing key is a public key in PEM", hint="openssl ec -in private.pem -pubout")
        row = PublisherRow(
            namespace, organisation.strip(), code, source, signing_key, stated_by, self._clock()
        )
        with self._database.write() as connection:
            rows.put_publisher(connection, row)
        return row

    def remove(self, namespace: str) -> None:
        """Forget a profile. Raises NotFound."""
        with self._database.write() as connection:
            if not rows.remove_publisher(connection, namespace):
                raise NotFound(f"No publisher profile of {namespace[:96]!r} is stated")

    def of(self, namespaces: Iterable[str]) -> dict[str, PublisherRow]:
        """Profiles of those that have one, by lower-case namespace."""
        with self._database.read() as connection:
            return rows.find_publishers(connection, list(namespaces))
