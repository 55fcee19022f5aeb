"""Percentiles that are not given when there are too few samples to know them."""

from collections.abc import Sequence

_SAMPLES_BEYOND = 100


def quantile(samples: Sequence[float], q: float) -> float:
    """The smallest sample that at least the share `q` of all samples does not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def tail(samples: Sequence[float]) -> tuple[str, float] | None:
    """The highest of p99, p90, p80 and p50 that so many samples tell, by name; None when they tell nothing."""
    for q in (0.99, 0.9, 0.8, 0.5):
        found = percentile(samples, q)
        if found is not None:
            return f"p{q * 100:.0f}", found
    return None


def percentile(samples: Sequence[float], q: float) -> float | None:
    """The quantile, or None with fewer than 100 / (1 - q) samples: 200 for p50, 10,000 for p99."""
    if len(samples) < _SAMPLES_BEYOND / (1 - q) - 1e-6:
        return None
    return round(quantile(samples, q), 2)
