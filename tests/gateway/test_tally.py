"""Tallies and spreads are read by Prometheus's own parser, and agree with its own client."""

from prometheus_client import CollectorRegistry, Counter, Histogram, generate_latest

from vouchpost_gateway.tally import Spread, Tally

BOUNDS = (0.1, 0.5, 1)
OBSERVED = (0.05, 0.1, 0.3, 1.0, 7.0)


def test_counts_read_as_those_of_the_client_library() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    tally = Tally("x_seen", "Seen", ("kind", "class"), registry=ours)
    counter = Counter("x_seen", "Seen", ("kind", "class"), registry=theirs)
    tally.count("a", "never", by=0)
    counter.labels("a", "never")
    for kind, times in (("a", 1), ('quoted "b"\n', 2.5)):
        tally.count(kind, "2xx", by=times)
        counter.labels(kind, "2xx").inc(times)

    assert text(ours) == text(theirs)


def test_a_spread_reads_as_a_histogram_of_the_client_library() -> None:
    ours, theirs = CollectorRegistry(), CollectorRegistry()
    spread = Spread("x_seconds", "Took", BOUNDS, registry=ours)
    histogram = Histogram("x_seconds", "Took", buckets=BOUNDS, registry=theirs)
    for seconds in OBSERVED:
        spread.observe(seconds)
        histogram.observe(seconds)

    assert text(ours) == text(theirs)


def text(registry: CollectorRegistry) -> list[str]:
    """What a scrape shows, without the times at which the client library's series were made."""
    lines = generate_latest(registry).decode().splitlines()
    return sorted(line for line in lines if "_created" not in line)
