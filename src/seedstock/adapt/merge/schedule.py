"""Numbers that differ between tensors: filters by name and values interpolated over the layers, as mergekit defines them."""

from __future__ import annotations

import math

from seedstock.adapt.methods import Rule, Schedule
from seedstock.core.errors import Invalid

Setting = float | Schedule


def number_for(setting: Setting, tensor: str, depth: float) -> float:
    """The number for a tensor at `depth`, 0 for the first layer and what is in no layer, 1 for the last layer."""
    if not isinstance(setting, Schedule):
        return setting
    for rule in setting.rules:
        if rule.filter in tensor:
            return _interpolated(rule, depth)
    raise Invalid(
        f"No rule gives a number for tensor {tensor[:120]!r}", hint="Add a rule without filter at the end"
    )


def check_setting(setting: Setting, what: str) -> None:
    """Raises Invalid for numbers that are none."""
    values = [setting] if not isinstance(setting, Schedule) else [v for r in setting.rules for v in r.values]
    if not all(math.isfinite(value) for value in values):
        raise Invalid(f"{what} must be finite numbers")


def _interpolated(rule: Rule, depth: float) -> float:
    place = depth * (len(rule.values) - 1)
    before = int(place)
    after = min(len(rule.values) - 1, before + 1)
    part = place - before
    return (1 - part) * rule.values[before] + part * rule.values[after]
