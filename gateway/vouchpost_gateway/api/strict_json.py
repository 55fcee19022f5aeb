"""JSON as this API accepts it: RFC 8259 in UTF-8, one object, nothing two parsers could read differently (RFC 7493).

Hostile bytes end in MalformedJson, with a reason that never quotes them.
"""

import json
import math
import re
from typing import Any

from vouchpost_gateway.domain.errors import RequestRefused

MAX_DEPTH = 32
MAX_INTEGER_DIGITS = 19
# A string that never ends reaches to the end of the text: without that, each quote in it would be tried anew.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")


class MalformedJson(RequestRefused):
    """The body is not the JSON object that this API accepts."""

    def __init__(self, reason: str) -> None:
        super().__init__(f"the body is not acceptable JSON: {reason}")


def parse_object(body: bytes) -> dict[str, Any]:
    """The object in the body; MalformedJson for anything else."""
    text = _decoded(body)
    _refuse_deep_nesting(text)
    try:
        value = _DECODER.decode(text)
    except json.JSONDecodeError as error:
        raise MalformedJson(_unreadable(text, error.pos)) from error
    if not isinstance(value, dict):
        raise MalformedJson("it must be an object")
    if "\\u" in text:
        _refuse_lone_surrogates(value)
    return value


def _unreadable(text: str, position: int) -> str:
    if not text:
        return "it is empty"
    if text.startswith("\ufeff"):
        return "it begins with a byte order mark"
    return f"syntax error at character {position}"


def _decoded(body: bytes) -> str:
    try:
        return body.decode("utf-8")
    except UnicodeDecodeError as error:
        raise MalformedJson("it is not UTF-8") from error


def _refuse_deep_nesting(text: str) -> None:
    """The parser recurses, so the depth is counted before it starts; few brackets cannot nest deeply."""
    if text.count("{") + text.count("[") <= MAX_DEPTH:
        return
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > MAX_DEPTH:
            raise MalformedJson(f"it is nested more than {MAX_DEPTH} deep")


def _refuse_lone_surrogates(value: dict[str, Any]) -> None:
    try:
        json.dumps(value, ensure_ascii=False).encode("utf-8")
    except UnicodeEncodeError as error:
        raise MalformedJson("a string holds half of a surrogate pair") from error


def _unique_names(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) != len(pairs):
        raise MalformedJson("a name stands twice in one object")
    return members


def _integer(digits: str) -> int:
    if len(digits.lstrip("-")) > MAX_INTEGER_DIGITS:
        raise MalformedJson(f"an integer has more than {MAX_INTEGER_DIGITS} digits")
    return int(digits)


def _number(digits: str) -> float:
    number = float(digits)
    if not math.isfinite(number):
        raise MalformedJson("a number is too large")
    return number


def _no_constant(name: str) -> float:
    raise MalformedJson(f"{name} is not JSON")


_DECODER = json.JSONDecoder(
    object_pairs_hook=_unique_names, parse_int=_integer, parse_float=_number, parse_constant=_no_constant
)
