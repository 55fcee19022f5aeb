"""HTTP dates (RFC 9110, 5.6.7): the one that must be written, and the two obsolete ones that must still be read."""

import re
from datetime import UTC, datetime

_DAY = r"(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)"
_LONG_DAY = r"(?:Monday|Tuesday|Wednesday|Thursday|Friday|Saturday|Sunday)"
_MONTHS = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
_MONTH = rf"(?P<month>{'|'.join(_MONTHS)})"
_TIME = r"(?P<hour>[0-9]{2}):(?P<minute>[0-9]{2}):(?P<second>[0-9]{2})"
_FORMS = (
    re.compile(rf"{_DAY}, (?P<day>[0-9]{{2}}) {_MONTH} (?P<year>[0-9]{{4}}) {_TIME} GMT"),
    re.compile(rf"{_LONG_DAY}, (?P<day>[0-9]{{2}})-{_MONTH}-(?P<year>[0-9]{{2}}) {_TIME} GMT"),
    re.compile(rf"{_DAY} {_MONTH} (?P<day>[0-9]{{2}}| [0-9]) {_TIME} (?P<year>[0-9]{{4}})"),
)


def parse_http_date(text: str, *, now_s: float) -> float | None:
    """Seconds since 1970; None for anything that is not an HTTP date. Never raises."""
    for form in _FORMS:
        match = form.fullmatch(text)
        if match is not None:
            return _seconds(match, now_s)
    return None


def _seconds(match: re.Match[str], now_s: float) -> float | None:
    second = 59 if match["second"] == "60" else int(match["second"])  # a leap second is the one before it
    try:
        moment = datetime(
            _year(match["year"], now_s),
            _MONTHS.index(match["month"]) + 1,
            int(match["day"]),
            int(match["hour"]),
            int(match["minute"]),
            second,
            tzinfo=UTC,
        )
    except ValueError:
        return None
    return moment.timestamp()


def _year(digits: str, now_s: float) -> int:
    """Two digits name the year of this century, unless that is more than 50 years ahead (RFC 9110, 5.6.7)."""
    if len(digits) == 4:
        return int(digits)
    this_year = datetime.fromtimestamp(now_s, UTC).year
    year = this_year - this_year % 100 + int(digits)
    return year - 100 if year > this_year + 50 else year
