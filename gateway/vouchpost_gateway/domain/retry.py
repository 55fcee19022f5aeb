"""When to try again. Every rule takes values; a time to wait, or a moment, that it returns is None for "no more".

`random` is always one number drawn uniformly from [0, 1).
"""

import re
from collections.abc import Sequence
from itertools import accumulate

from vouchpost_gateway.domain.http_date import parse_http_date

HOUR_S = 3600.0
DAY_S = 24 * HOUR_S

# The example of Standard Webhooks 1.0 ("Retry schedule"): 75 h 35 m 5 s in all.
DEFAULT_SCHEDULE_S: tuple[float, ...] = (0, 5, 300, 1800, 7200, 18000, 36000, 50400, 72000, 86400)
JITTER = 0.2
MAX_AGE_S = 76 * HOUR_S
MAX_RETRY_AFTER_S = DAY_S

SLOW_DOWN_BASE_S = 1.0
SLOW_DOWN_CAP_S = 300.0

DISABLE_AFTER_S = 5 * DAY_S
DISABLE_AFTER_FAILURES = 10

MAX_CHECKS = 4
CHECKS_WINDOW_S = 900.0
CHECK_BASE_S = 20.0
CHECK_CAP_S = 300.0

_DELTA_SECONDS = re.compile(r"[0-9]{1,64}")


def parse_retry_after(text: str | None, *, now_s: float) -> float | None:
    """Seconds to wait, from 0 to 24 h; None for anything that is not a Retry-After (RFC 9110, 10.2.3). Never raises.

    A date that has passed is 0. `-1`, `1.5` and words are no Retry-After, so they change nothing.
    """
    if text is None:
        return None
    text = text.strip(" \t")
    if _DELTA_SECONDS.fullmatch(text):
        return min(float(text), MAX_RETRY_AFTER_S)
    moment = parse_http_date(text, now_s=now_s)
    return None if moment is None else _clamp(moment - now_s)


def next_delay_s(
    *, schedule: tuple[float, ...], attempts_made: int, retry_after_s: float | None, random: float
) -> float | None:
    """Seconds until the next attempt; None when the schedule has none left.

    The schedule holds the delay before each attempt, jittered by ±20 % so that what failed together does not come
    back together. Retry-After is a floor: it never brings an attempt forward.
    """
    if attempts_made >= len(schedule):
        return None
    return max(_jittered(schedule[attempts_made], random), _floor(retry_after_s))


def next_attempt_ms(
    *,
    schedule: tuple[float, ...],
    attempts_made: int,
    retry_after_s: float | None,
    random: float,
    created_ms: int,
    now_ms: int,
    max_age_s: float = MAX_AGE_S,
) -> int | None:
    """When the next attempt is due; None when the delivery ends, by its attempts or by its age.

    Jitter alone never costs an attempt: one that would land past the age limit is brought forward to it. One that
    the subscriber itself asked to have later than that is not made.
    """
    delay_s = next_delay_s(schedule=schedule, attempts_made=attempts_made, retry_after_s=retry_after_s, random=random)
    latest_ms = created_ms + round(max_age_s * 1000)
    earliest_ms = now_ms + round(_floor(retry_after_s) * 1000)
    if delay_s is None or now_ms >= latest_ms or earliest_ms > latest_ms:
        return None
    return min(now_ms + round(delay_s * 1000), latest_ms)


def slow_down_s(*, consecutive: int, retry_after_s: float | None, random: float) -> float:
    """Seconds a subscription rests after its `consecutive`-th answer in a row that asked for it (counted from 1)."""
    steps = min(max(consecutive, 1) - 1, 32)
    backoff_s = min(SLOW_DOWN_BASE_S * 2**steps, SLOW_DOWN_CAP_S)
    return max(_jittered(backoff_s, random), _floor(retry_after_s))


def should_disable(*, failing_since_ms: int | None, failures: int, now_ms: int) -> bool:
    """Only failures, for five days, over at least ten attempts. Any success makes `failing_since_ms` None again."""
    if failing_since_ms is None or failures < DISABLE_AFTER_FAILURES:
        return False
    return now_ms - failing_since_ms >= DISABLE_AFTER_S * 1000


def next_check_delay_s(
    *,
    checks_made: int,
    first_check_ms: int,
    now_ms: int,
    retry_after_s: float | None,
    random: float,
    max_checks: int = MAX_CHECKS,
    window_s: float = CHECKS_WINDOW_S,
) -> float | None:
    """Seconds until the next check of a verification whose checks so far could not tell; None for no more.

    Full jitter, uniform over [0, min(cap, base * 2^n)], with Retry-After as a floor. No check starts later than the
    window after the first one.
    """
    if checks_made >= max_checks:
        return None
    spread_s = min(CHECK_CAP_S, CHECK_BASE_S * 2 ** max(checks_made - 1, 0))
    delay_s = max(random * spread_s, _floor(retry_after_s))
    return delay_s if now_ms + delay_s * 1000 <= first_check_ms + window_s * 1000 else None


def next_planned_delay_ms(delays_ms: Sequence[int], *, since_ms: int, now_ms: int) -> int | None:
    """How long until the first planned time still ahead; None when all have passed.

    Planned times are `since_ms` plus the running sum of the delays.
    """
    times = (since_ms + total for total in accumulate(delays_ms))
    return next((time - now_ms for time in times if time > now_ms), None)


def _jittered(delay_s: float, random: float) -> float:
    return delay_s * (1 - JITTER + 2 * JITTER * random)


def _floor(retry_after_s: float | None) -> float:
    return 0.0 if retry_after_s is None else _clamp(retry_after_s)


def _clamp(seconds: float) -> float:
    return min(max(seconds, 0.0), MAX_RETRY_AFTER_S)
