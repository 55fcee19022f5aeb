"""What people call things by: the names of tenants and partners, the labels of keys. One rule, whoever gives them."""

import re

from vouchpost_gateway.domain.errors import InvalidField

MAX_LABEL_CHARACTERS = 100
# Control characters (C0, DEL, C1) and the line and paragraph separators: nothing that could break a line.
# Lone surrogates, which stand for bytes of a command line that are no text, could not be stored.
_UNPRINTABLE = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029\ud800-\udfff]")


def is_printable(text: str) -> bool:
    return _UNPRINTABLE.search(text) is None


def unfit(text: str, *, low: int, high: int) -> str | None:
    """Why a text is not `low` to `high` characters of one printable line; None when it is."""
    if low <= len(text) <= high and is_printable(text):
        return None
    return f"must be {low} to {high} characters, without control characters or line separators"


def check_label(field: str, text: str, *, low: int = 1) -> None:
    """InvalidField unless the text is fit to be shown in a list."""
    reason = unfit(text, low=low, high=MAX_LABEL_CHARACTERS)
    if reason is not None:
        raise InvalidField(field, reason)
