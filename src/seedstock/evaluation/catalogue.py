"""The suites by name."""

from __future__ import annotations

from collections.abc import Callable

import msgspec

from seedstock.core.errors import NotFound
from seedstock.evaluation.items import Item, items_digest
from seedstock.evaluation.suites import arithmetic, instructions


class Suite(msgspec.Struct, frozen=True):
    """A suite that comes with the hub."""

    name: str
    title: str
    about: str
    version: int
    default_items: int
    max_tokens: int
    generate: Callable[[int, int], list[Item]]

    @property
    def digest(self) -> str:
        """SHA-256 of the items it has by default: another digest is another suite, whatever the version says."""
        return items_digest(self.generate(0, self.default_items))


SUITES: dict[str, Suite] = {
    suite.name: suite
    for suite in (
        Suite(
            "arithmetic",
            "Arithmetic reasoning",
            "Sums and word problems in five levels; the number at the end of the answer must be right.",
            arithmetic.VERSION,
            arithmetic.DEFAULT_ITEMS,
            arithmetic.MAX_TOKENS,
            arithmetic.generate,
        ),
        Suite(
            "instructions",
            "Instruction following",
            "Short texts under one to three demands on length, format, words or case; all must be met.",
            instructions.VERSION,
            instructions.DEFAULT_ITEMS,
            instructions.MAX_TOKENS,
            instructions.generate,
        ),
    )
}


def get_suite(name: str) -> Suite:
    """The suite of that name. Raises NotFound naming those there are."""
    found = SUITES.get(name)
    if found is None:
        raise NotFound(
            f"There is no suite {name[:80]!r}",
            hint=f"one of {', '.join(SUITES)}, or a dataset with a task file, as datasets/ada/questions",
        )
    return found
