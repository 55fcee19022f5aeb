"""A request under an idempotency key: what tells it from others, and that it is under way."""

from dataclasses import dataclass

from vouchpost_gateway.domain.draw import Draw


@dataclass(frozen=True, slots=True)
class Keyed:
    """Two with the same caller, path and key are one request; with another body, the second is a mistake.

    `caller` is a partner, or empty for the tenant itself: no partner is answered what another one was.
    """

    caller: str
    path: str
    key: str
    body: bytes


@dataclass(frozen=True, slots=True)
class Begun:
    """A request that is to be carried out now, by whoever holds the token and nobody else."""

    keyed: Keyed
    token: bytes
    draw: Draw
