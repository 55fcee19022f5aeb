"""Counters and histograms for the hot path: to count is to add to a number in a dict, read when Prometheus asks.

What `prometheus_client` offers itself checks its arguments and takes a lock each time, which costs ten times as much.
Counts are made on one thread and read on another, from a copy that is made in one step.
"""

from bisect import bisect_left
from collections.abc import Iterator, Sequence
from itertools import accumulate

from prometheus_client.core import CounterMetricFamily, HistogramMetricFamily
from prometheus_client.registry import Collector, CollectorRegistry


class Tally(Collector):
    """A counter per combination of labels. Those that must be seen at zero are counted by 0 first."""

    def __init__(self, name: str, help_text: str, labels: Sequence[str], *, registry: CollectorRegistry) -> None:
        self._described = (name, help_text, list(labels))
        self._counts: dict[tuple[str, ...], float] = {}
        registry.register(self)

    def count(self, *labels: str, by: float = 1) -> None:
        self._counts[labels] = self._counts.get(labels, 0) + by

    def collect(self) -> Iterator[CounterMetricFamily]:
        name, help_text, labels = self._described
        family = CounterMetricFamily(name, help_text, labels=labels)
        for values, number in sorted(self._counts.copy().items()):
            family.add_metric(values, number)
        yield family


class Spread(Collector):
    """A histogram: how often what was observed lay below each of the bounds."""

    def __init__(self, name: str, help_text: str, bounds: Sequence[float], *, registry: CollectorRegistry) -> None:
        self._described = (name, help_text)
        self._bounds = tuple(bounds)
        self._counts = [0] * (len(self._bounds) + 1)
        self._sum = 0.0
        registry.register(self)

    def observe(self, value: float) -> None:
        self._counts[bisect_left(self._bounds, value)] += 1
        self._sum += value

    def collect(self) -> Iterator[HistogramMetricFamily]:
        below = accumulate(self._counts.copy())
        texts = [*map(str, map(float, self._bounds)), "+Inf"]
        family = HistogramMetricFamily(*self._described)
        family.add_metric([], buckets=list(zip(texts, below, strict=True)), sum_value=self._sum)
        yield family
