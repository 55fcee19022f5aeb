"""Kinds of field that several request bodies share, each with a reason in plain words when it does not fit."""

import re
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator
from pydantic_core import PydanticCustomError

from vouchpost_gateway.domain import label

_INSTANT = re.compile(r"(\d{4})-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|[+-]\d\d:\d\d)", re.ASCII)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_LAST = datetime.max.replace(tzinfo=UTC)


def refuse(reason: str) -> PydanticCustomError:
    """The error of a field; `reason` is shown to the caller as it is."""
    return PydanticCustomError("unacceptable", "{reason}", {"reason": reason})


is_printable = label.is_printable


def printable(*, low: int, high: int) -> Callable[[str], str]:
    """A check that a text is `low` to `high` characters long and has no control characters or line separators."""

    def check(text: str) -> str:
        reason = label.unfit(text, low=low, high=high)
        if reason is not None:
            raise refuse(reason)
        return text

    return check


def _milliseconds(text: str) -> str:
    instant_ms(text)
    return text


def instant_ms(text: str) -> int:
    """Milliseconds since 1970 of an RFC 3339 date-time."""
    match = _INSTANT.fullmatch(text)
    try:
        instant = datetime.fromisoformat(text) if match else None
    except ValueError:  # the shape is right, but there is no such day or hour
        instant = None
    if instant is None or not _EPOCH <= instant <= _LAST:
        raise refuse("must be an RFC 3339 date-time with a zone, such as 2026-11-22T10:00:00Z, of 1970 to 9999 in UTC")
    delta = instant - _EPOCH
    return delta.days * 86_400_000 + delta.seconds * 1000 + delta.microseconds // 1000


def _whole(value: object) -> object:
    """JSON has one kind of number: 4.0 is as whole as 4 (JSON Schema 2020-12, section 6.1.1)."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


WholeNumber = Annotated[int, BeforeValidator(_whole)]
Instant = Annotated[str, AfterValidator(_milliseconds)]
Label = Annotated[str, AfterValidator(printable(low=1, high=label.MAX_LABEL_CHARACTERS))]
