"""Percentiles that are not given when there are too few samples to know them."""

from collections.abc import Sequence

_SAMPLES_BEYOND = 100


def quantile(samples: Sequence[float], q: float) -> float:
    """The smallest sample that at least the share `q` of all samples does not exceed."""
    ordered = sorted(samples)
    return ordered[min(len(ordered) - 1, int(q * len(ordered)))]


def percentile(samples: Sequence[float], q: float) -> float | None:
    """The quantile, or None with fewer than 100 / (1 - q) samples: 200 for p50, 10,000 for p99."""
    if len(samples) < _SAMPLES_BEYOND / (1 - q) - 1e-6:
        return None
    return round(quantile(samples, q), 2)
