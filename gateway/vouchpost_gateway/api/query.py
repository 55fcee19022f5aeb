"""The query string: each parameter once, only those that the operation knows."""

from collections.abc import Set as AbstractSet
from urllib.parse import parse_qsl

from pydantic_core import PydanticCustomError

from vouchpost_gateway.api.fields import instant_ms
from vouchpost_gateway.api.refusals import FieldError, InvalidFields, MalformedRequest
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.page import Span

_MAX_PARAMETERS = 20
DEFAULT_LIMIT = 20
MAX_LIMIT = 100


def parse_query(raw: bytes, *, known: AbstractSet[str]) -> dict[str, str]:
    """The parameters by name; those unknown or repeated are refused by name."""
    if not raw:
        return {}
    pairs = _pairs(raw)
    names = [name for name, _ in pairs]
    errors = [FieldError(name, "is not a parameter here") for name in names if name not in known]
    errors += [FieldError(name, "stands twice") for name in sorted(known) if names.count(name) > 1]
    if errors:
        raise InvalidFields(errors)
    return dict(pairs)


def _pairs(raw: bytes) -> list[tuple[str, str]]:
    try:
        return parse_qsl(raw.decode("ascii"), keep_blank_values=True, errors="strict", max_num_fields=_MAX_PARAMETERS)
    except ValueError as error:  # not ASCII, not UTF-8 once unquoted, or too many
        raise MalformedRequest("the query string cannot be read") from error


def span(query: dict[str, str]) -> Span:
    """The stretch of time between the parameters `since` and `until`, either of which may be left out."""
    since_ms, until_ms = _instant_ms(query, "since"), _instant_ms(query, "until")
    if since_ms is not None and until_ms is not None and until_ms <= since_ms:
        raise InvalidField("until", "must be later than since")
    return Span(since_ms or 0, until_ms)


def _instant_ms(query: dict[str, str], name: str) -> int | None:
    text = query.get(name)
    if text is None:
        return None
    try:
        return instant_ms(text)
    except PydanticCustomError as error:
        raise InvalidField(name, error.message()) from None


def whole_number(query: dict[str, str], name: str, *, default: int, low: int, high: int) -> int:
    """A parameter that is a number in plain digits between two bounds."""
    text = query.get(name)
    if text is None:
        return default
    plain = text.isascii() and text.isdigit() and len(text) <= 6
    if not plain or not low <= int(text) <= high:
        raise InvalidField(name, f"must be a whole number from {low} to {high}")
    return int(text)
