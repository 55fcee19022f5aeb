"""Reads the fields of an event's data. What has another type than we know is refused, by its name."""

from collections.abc import Mapping
from datetime import datetime
from types import MappingProxyType
from typing import Any, Final

from vouchpost.errors import NotAnEventError

_MAX_SEQUENCE: Final = 2**63 - 1
_MAX_SCORE: Final = 1e6


def text(data: Mapping[str, Any], name: str) -> str:
    value = data.get(name)
    if not isinstance(value, str) or not value:
        raise NotAnEventError(f"data.{name} is not text")
    return value


def optional_text(data: Mapping[str, Any], name: str) -> str | None:
    value = data.get(name)
    if value is not None and not isinstance(value, str):
        raise NotAnEventError(f"data.{name} is not text")
    return value


def number(data: Mapping[str, Any], name: str) -> int:
    value = data.get(name)
    if type(value) is not int or not 0 <= value <= _MAX_SEQUENCE:  # True is an int too, and a sequence fits a BIGINT
        raise NotAnEventError(f"data.{name} is not a whole number that counts up")
    return value


def score(data: Mapping[str, Any]) -> float | None:
    """JSON has no infinity, but `1e999` is read as one."""
    value = data.get("score")
    if value is None:
        return None
    if type(value) not in (int, float) or not abs(value) <= _MAX_SCORE:
        raise NotAnEventError("data.score is not a number")
    return float(value)


def texts(data: Mapping[str, Any], name: str) -> tuple[str, ...]:
    value = data.get(name, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise NotAnEventError(f"data.{name} is not a list of texts")
    return tuple(value)


def mapping(data: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    value = data.get(name, {})
    if not isinstance(value, dict):
        raise NotAnEventError(f"data.{name} is not an object")
    return MappingProxyType(value)


def others(data: Mapping[str, Any], known: frozenset[str]) -> Mapping[str, Any]:
    """The fields that this version of the kit does not know."""
    return MappingProxyType({name: data[name] for name in data.keys() - known})


def instant(value: object) -> datetime | None:
    """A time that cannot be read is no reason to lose an event: it is kept as None, the text stays in `body`."""
    try:
        at = datetime.fromisoformat(value) if isinstance(value, str) else None
    except ValueError:
        return None
    return at if at is not None and at.tzinfo is not None else None
