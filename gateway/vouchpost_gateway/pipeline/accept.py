"""The first arrow: a request becomes a promise. One atomic write, then the answer, then the bell."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from vouchpost_gateway.domain.errors import Overloaded
from vouchpost_gateway.domain.ids import new_stem
from vouchpost_gateway.domain.lane import Ring
from vouchpost_gateway.domain.verification import Accepted, NewVerification
from vouchpost_gateway.domain.world import World
from vouchpost_gateway.pipeline.report import Report

_FULL_RETRY_S = 10


class AcceptRecords(Protocol):
    async def accept(
        self, world: World, stem: str, new: NewVerification, *, idempotency_key: str | None, body: bytes
    ) -> tuple[Accepted, list[Ring]]: ...


@dataclass(frozen=True, slots=True)
class Accept:
    """Accepts verifications. `ring` never waits and never fails: a lost ring is swept up."""

    records: AcceptRecords
    ring: Callable[[Sequence[Ring]], None]
    report: Report
    now_ms: Callable[[], int]
    random_bits: Callable[[], int]
    has_room: Callable[[], bool]

    async def __call__(
        self, world: World, new: NewVerification, *, idempotency_key: str | None, body: bytes
    ) -> Accepted:
        """Returns once the verification is stored, with its idempotency entry and its place in line."""
        if not self.has_room():
            raise Overloaded("the ledger's memory is nearly full", retry_after_s=_FULL_RETRY_S)
        stem = new_stem(now_ms=self.now_ms(), random_bits=self.random_bits())
        accepted, rings = await self.records.accept(world, stem, new, idempotency_key=idempotency_key, body=body)
        self.ring(rings)
        self.report.accepted(world, accepted.stem, repeated=accepted.repeated)
        return accepted
