"""What recipes write of operations beyond `adapt.methods`: an absent argument, and the name of a script's file."""

from __future__ import annotations

NONE = "none"
"""How TOML, which has no null, says that an argument is given and is nothing."""


def script_of(stage: str) -> str:
    """The name by which the file of a `script` stage is placed; no input and no stage can have it."""
    return f"script of {stage}"
