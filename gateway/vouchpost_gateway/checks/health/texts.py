"""TXT records as the text they hold: the strings of a record joined without a space (RFC 7208 3.3)."""

import re

_STRING = re.compile(r'"((?:[^"\\]|\\.)*)"')
_ESCAPE = re.compile(r"\\(\d{3}|.)")


def text_of(record: str) -> str:
    """From its form in a zone file, quotes and escapes undone; an octet beyond ASCII is the character of its number."""
    strings = _STRING.findall(record)
    return "".join(_ESCAPE.sub(_character, string) for string in strings) if strings else record


def _character(escape: re.Match[str]) -> str:
    code = escape[1]
    return chr(int(code)) if len(code) == 3 else code
