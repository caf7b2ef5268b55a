"""Clopper-Pearson intervals: exact, so that "none of 120" has an upper end that means something."""

from __future__ import annotations


def interval(hits: int, count: int, confidence: float = 0.95) -> tuple[float, float]:
    """Ends of the two-sided interval of a share."""
    from scipy.stats import beta

    tail = (1 - confidence) / 2
    low = float(beta.ppf(tail, hits, count - hits + 1)) if hits else 0.0
    high = float(beta.ppf(1 - tail, hits + 1, count - hits)) if hits < count else 1.0
    return low, high


def upper_bound(hits: int, count: int, confidence: float = 0.95) -> float:
    """One-sided upper end."""
    from scipy.stats import beta

    return float(beta.ppf(confidence, hits + 1, count - hits)) if hits < count else 1.0


def share_text(hits: int, count: int) -> str:
    """A share with its interval: `118/120 (94.1-99.8 %)`."""
    if not count:
        return "none"
    low, high = interval(hits, count)
    return f"{hits}/{count} ({100 * low:.1f}-{100 * high:.1f} %)"
