"""A request under an idempotency key: what tells it from others, and that it is under way."""

from dataclasses import dataclass

from vouchpost_gateway.domain.draw import Draw


@dataclass(frozen=True, slots=True)
class Keyed:
    """Requests with the same caller, path and key are one request, made again; one with another body is refused.

    `caller` is the id of a partner, or empty for the tenant itself, so that no partner gets the answer to another's.
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
