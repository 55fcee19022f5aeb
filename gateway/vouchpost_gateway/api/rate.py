"""How fast one API key may ask, per process: a token bucket, told in RateLimit headers.

The headers follow draft-ietf-httpapi-ratelimit-headers-10: `RateLimit-Policy` has the quota and its window,
`RateLimit` what remains and the seconds until the bucket is full again.
"""

import math
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from typing import Self

from vouchpost_gateway.api.refusals import RateLimited

Header = tuple[bytes, bytes]

_MAX_BUCKETS = 10_000


@dataclass(frozen=True, slots=True)
class Rate:
    """So many requests a second for ever, and so many at once."""

    per_second: float
    burst: int

    @classmethod
    def of_key(cls, per_second: float) -> Self:
        """What an operator gives a key: what it may ask in two seconds it may ask at once, and one request always."""
        return cls(per_second, math.ceil(2 * per_second))


# Above what one process can serve: a limit bites only where an operator sets one.
GENEROUS = Rate.of_key(5_000)
# A test event is one request to somewhere else, so it is no tool to scan ports with.
PROBES = Rate(per_second=10 / 60, burst=10)


class Buckets:
    """One bucket per key; the longest unused are forgotten, which can only be in the caller's favour."""

    def __init__(self, rate: Rate, *, name: str, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._clock = clock
        self._levels: OrderedDict[str, tuple[float, float]] = OrderedDict()
        window_s = math.ceil(rate.burst / rate.per_second)
        self._policy: Header = (b"ratelimit-policy", b'"%b";q=%d;w=%d' % (name.encode(), rate.burst, window_s))
        self._prefix = b'"%b";r=' % name.encode()

    def take(self, key: str) -> tuple[Header, Header]:
        """Takes one token; the headers say how many are left. RateLimited when there is none."""
        now, burst = self._clock(), float(self._rate.burst)
        level, since = self._levels.pop(key, (burst, now))
        level = min(burst, level + (now - since) * self._rate.per_second)
        if level < 1:
            self._remember(key, level, now)
            raise RateLimited(math.ceil((1 - level) / self._rate.per_second), self._headers(level))
        self._remember(key, level - 1, now)
        return self._headers(level - 1)

    def _headers(self, level: float) -> tuple[Header, Header]:
        full_in_s = math.ceil((self._rate.burst - level) / self._rate.per_second)
        return self._policy, (b"ratelimit", b"%b%d;t=%d" % (self._prefix, int(level), full_in_s))

    def _remember(self, key: str, level: float, now: float) -> None:
        self._levels[key] = (level, now)
        if len(self._levels) > _MAX_BUCKETS:
            self._levels.popitem(last=False)
