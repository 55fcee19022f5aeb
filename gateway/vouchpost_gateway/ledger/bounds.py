"""A page cursor and a time span as the two bounds of ZREVRANGEBYLEX.

Ids start with their time, so a span of time is a range of ids.
"""

from typing import NamedTuple

from vouchpost_gateway.domain.ids import TIME_LENGTH, encode
from vouchpost_gateway.domain.page import Span


class Bounds(NamedTuple):
    """As ZREVRANGEBYLEX takes them."""

    high: str
    low: str


def bounds(after: str | None, span: Span) -> Bounds:
    """Older than `after`, the last item of the page before, and within the span."""
    until = None if span.until_ms is None else encode(span.until_ms, TIME_LENGTH)
    highs = [high for high in (after, until) if high is not None]
    low = f"[{encode(span.since_ms, TIME_LENGTH)}" if span.since_ms else "-"
    return Bounds(f"({min(highs)}" if highs else "+", low)
