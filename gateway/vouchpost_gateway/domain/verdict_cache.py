"""What others know of an address: somebody checks it at this moment, or a record holds a verdict that still counts."""

from typing import NamedTuple


class BeingChecked(NamedTuple):
    """The mark of whoever checks it ends in `ends_in_ms` at the latest."""

    ends_in_ms: int


class AlreadyKnown(NamedTuple):
    """The record of this stem holds the verdict."""

    stem: str
