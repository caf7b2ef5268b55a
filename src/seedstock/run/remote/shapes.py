"""What a request must look like where it is translated: a part of the wrong kind is named."""

from __future__ import annotations

from seedstock.core.errors import Invalid
from seedstock.run.request_checks import Body


def object_of(value: object, where: str) -> Body:
    """An object. Raises Invalid."""
    if not isinstance(value, dict):
        raise Invalid(f"'{where}' must be an object")
    return value


def listed(value: object, where: str) -> list[object]:
    """A list. Raises Invalid."""
    if not isinstance(value, list):
        raise Invalid(f"'{where}' must be a list")
    return value


def text_of(value: object, where: str) -> str:
    """A text. Raises Invalid."""
    if not isinstance(value, str):
        raise Invalid(f"'{where}' must be a string")
    return value
