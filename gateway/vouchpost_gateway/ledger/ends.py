"""Where a list begins and ends that is kept by id: ids begin with their time, so a stretch of time is one of ids."""

from typing import NamedTuple

from vouchpost_gateway.domain.ids import TIME_LENGTH, encode
from vouchpost_gateway.domain.page import Span


class Ends(NamedTuple):
    """The two ends as ZREVRANGEBYLEX takes them."""

    high: str
    low: str


def ends(after: str | None, span: Span) -> Ends:
    """Older than `after`, the last item of the page before, and within the span."""
    until = None if span.until_ms is None else encode(span.until_ms, TIME_LENGTH)
    highs = [end for end in (after, until) if end is not None]
    low = f"[{encode(span.since_ms, TIME_LENGTH)}" if span.since_ms else "-"
    return Ends(f"({min(highs)}" if highs else "+", low)
