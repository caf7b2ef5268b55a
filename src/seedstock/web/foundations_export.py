"""The foundations report as files: CSV for spreadsheets, JSON for programs. The same numbers as on the page."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator

import msgspec

from seedstock.web.foundations import RootCount, Totals
from seedstock.web.views.foundations import Measure

COLUMNS = (
    "root", "publisher", "stated_country", "country_source", "licence", "models", "downloads", "use", "verified",
    "declared", "contradicted",
)  # fmt: skip
# A spreadsheet runs a cell that begins with one of these; an apostrophe in front makes it text.
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def as_csv(roots: Iterable[RootCount], measure: Measure = Measure.MODELS) -> str:
    """One line for each root, by falling share, under a line of names; CRLF as RFC 4180 has it."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(COLUMNS)
    for row in _rows(roots, measure):
        writer.writerow([_cell(row[name]) for name in COLUMNS])
    return out.getvalue()


def as_json(roots: Iterable[RootCount], totals: Totals, measure: Measure = Measure.MODELS) -> bytes:
    """`{"measure", "totals", "roots"}`; what nobody states is null."""
    answer = {"measure": measure, "totals": totals, "roots": list(_rows(roots, measure))}
    return msgspec.json.encode(answer)


def _rows(roots: Iterable[RootCount], measure: Measure) -> Iterator[dict[str, str | int | None]]:
    for root in sorted(roots, key=lambda root: (-root.value(measure), -root.models, root.name)):
        source = root.origin.source.href if root.origin.source else None
        words = (root.name, root.publisher, root.origin.country, source, root.licence)
        numbers = (root.models, root.downloads, root.use, root.verified, root.declared, root.contradicted)
        yield dict(zip(COLUMNS, words + numbers, strict=True))


def _cell(value: str | int | None) -> str | int:
    if isinstance(value, str):
        return f"'{value}" if value.startswith(_FORMULA) else value
    return "" if value is None else value
