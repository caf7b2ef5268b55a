"""How sure a rate is."""

from __future__ import annotations

import math
from statistics import NormalDist

_NORMAL = NormalDist()


def wilson(successes: float, trials: float, confidence: float = 0.95) -> tuple[float, float]:
    """Wilson's score interval of a rate (E. B. Wilson, 1927). No trials: everything is possible."""
    if trials <= 0:
        return 0.0, 1.0
    rate, z = successes / trials, _NORMAL.inv_cdf(0.5 + confidence / 2)
    scale = 1 + z * z / trials
    middle = (rate + z * z / (2 * trials)) / scale
    half = z * math.sqrt(rate * (1 - rate) / trials + z * z / (4 * trials * trials)) / scale
    # Rounding must not push the rate itself out.
    return max(0.0, min(rate, middle - half)), min(1.0, max(rate, middle + half))
