"""Segments as CSV, which people open in spreadsheets: no cell of it is ever a formula."""

import csv
from collections.abc import Iterable, Iterator
from typing import Any, Final

_STARTS_A_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r", "\n", "\uff1d", "\uff0b", "\uff0d", "\uff20")


class _Line:
    """What `csv` writes to: gives the line back instead of keeping it."""

    def write(self, line: str) -> str:
        return line


def rows(recipients: Iterable[Any]) -> Iterator[str]:
    """Line by line, so that a segment of millions is never in memory at once."""
    writer = csv.writer(_Line())
    yield writer.writerow(["email", "status", "reason_code"])
    for recipient in recipients:
        yield writer.writerow([safe(recipient.email), safe(recipient.status), safe(recipient.reason_code)])


def safe(cell: str) -> str:
    """A leading apostrophe makes text of what a spreadsheet would run (OWASP, "CSV Injection")."""
    return f"'{cell}" if cell.startswith(_STARTS_A_FORMULA) else cell
