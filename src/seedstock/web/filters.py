"""How numbers, sizes, times and paths read on a page."""

from __future__ import annotations

import zlib
from datetime import UTC, datetime
from urllib.parse import quote

from markupsafe import Markup

_SIZE_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")
_COUNT_UNITS = ("", "k", "M", "B", "T")
_AGES = (
    (60, "minute"),
    (3600, "hour"),
    (86400, "day"),
    (7 * 86400, "week"),
    (30 * 86400, "month"),
    (365 * 86400, "year"),
)
AVATAR_TONES = 6


def size(size_bytes: int | None) -> str:
    """Bytes in binary units with three significant digits: `723 B`, `12.4 KiB`, `258 MiB`."""
    if size_bytes is None:
        return "–"
    value, unit = float(size_bytes), 0
    while value >= 999.5 and unit < len(_SIZE_UNITS) - 1:
        value, unit = value / 1024, unit + 1
    return f"{size_bytes} B" if unit == 0 else f"{_three_digits(value)} {_SIZE_UNITS[unit]}"


def count(number: int) -> str:
    """A count in few characters: `999`, `1.2k`, `3.4M`."""
    return _scaled(number, thousands=2)


def parameters(number: int | None) -> str:
    """A number of parameters as model names spell it: `135M`, `1.71B`."""
    return "–" if number is None else _scaled(number, thousands=3).replace("k", "K")


def _scaled(number: int, *, thousands: int) -> str:
    value, unit = float(number), 0
    while value >= 999.5 and unit < len(_COUNT_UNITS) - 1:
        value, unit = value / 1000, unit + 1
    if unit == 0:
        return str(number)
    text = f"{value:.{thousands}g}" if value < 100 else f"{value:.0f}"
    return f"{text}{_COUNT_UNITS[unit]}"


def _three_digits(value: float) -> str:
    if value >= 99.95:
        return f"{value:.0f}"
    return f"{value:.1f}" if value >= 9.995 else f"{value:.2f}"


def percent(value: float) -> str:
    """A share of a whole; a sliver is not rounded to nothing, nor a remainder to everything."""
    if 0 < value < 0.1:
        return "<0.1%"
    return ">99.9%" if 99.95 <= value < 100 else f"{value:.3g}%"


def share(value: float) -> str:
    """A percentage for sentences and tables: whole numbers, but a sliver is not rounded to nothing."""
    if 0 < value < 1:
        return "<1%"
    return ">99%" if 99 < value < 100 else f"{value:.0f}%"


def thousands(number: int) -> str:
    """A whole number with thin separators that a screen reader still reads as one number."""
    return f"{number:,}"


def age(moment: datetime, now: datetime) -> str:
    """Roughly how long ago, in words; a moment ahead of the clock counts as now."""
    elapsed_s = (now - moment).total_seconds()
    if elapsed_s < _AGES[0][0]:
        return "just now"
    span_s, unit = max(entry for entry in _AGES if entry[0] <= elapsed_s)
    number = int(elapsed_s // span_s)
    return f"{number} {unit}{'' if number == 1 else 's'} ago"


def time_tag(moment: datetime, now: datetime) -> Markup:
    """A `<time>` element: age as text, the exact moment on hover and for machines."""
    utc = moment.astimezone(UTC)
    return Markup('<time datetime="{}" title="{}">{}</time>').format(
        utc.strftime("%Y-%m-%dT%H:%M:%SZ"), utc.strftime("%-d %B %Y, %H:%M UTC"), age(moment, now)
    )


def day(moment: datetime) -> str:
    """The calendar day in UTC: `24 November 2026`."""
    return moment.astimezone(UTC).strftime("%-d %B %Y")


def duration(seconds: float | None) -> str:
    """Elapsed time in at most two units."""
    if seconds is None:
        return "–"
    if seconds < 60:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    if minutes < 60:
        return f"{minutes} min {rest} s"
    return f"{minutes // 60} h {minutes % 60} min"


def path_segment(text: str) -> str:
    """Quote a revision or file name as ONE path segment: `refs/pr/1` becomes `refs%2Fpr%2F1`."""
    return quote(text, safe="")


def path_quote(text: str) -> str:
    """Quote a path and keep its slashes."""
    return quote(text, safe="/")


def tone(name: str) -> int:
    """A colour number for an account's initial, the same on every page."""
    return zlib.crc32(name.lower().encode()) // 7 % AVATAR_TONES
