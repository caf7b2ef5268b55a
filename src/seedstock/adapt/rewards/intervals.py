"""How sure a rate is."""

from __future__ import annotations

import math


def wilson(successes: float, trials: int, z: float = 1.96) -> tuple[float, float]:
    """The Wilson score interval of a rate; 95% unless `z` says otherwise. No trials: everything is possible."""
    if trials == 0:
        return 0.0, 1.0
    rate = successes / trials
    scale = 1 + z * z / trials
    middle = (rate + z * z / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / scale
    # Rounding must not push the rate itself out.
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))
