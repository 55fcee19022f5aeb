import asyncio
import contextlib
from collections.abc import Sequence

from tests.gateway.ledger.bench import PARTITIONS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.lane import LaneKind, Ring
from vouchpost_gateway.pipeline.sweep import Sweep

ALL = tuple(LaneKind)


def test_every_partition_is_looked_at_and_what_is_due_and_silent_is_rung(bench: Bench) -> None:
    """Were every bell lost, the sweeper alone would be enough."""
    lanes = []
    for name in ("one", "two"):
        bench.world = bench.new_world(name)
        bench.accept()
        bench.lose_bell(bench.lane())
        lanes.append(bench.lane().id)
    rung, told = list[Ring](), Told()
    sweep = Sweep(bench.lanes, ALL, rung.extend, told, PARTITIONS, 0.5)

    assert bench.run(sweep.once()) == 2

    assert sorted(ring.lane_id for ring in rung) == sorted(lanes)
    assert told.calls == [("rung", (2,), {"swept": True})]
    assert bench.run(sweep.once()) == 0


def test_any_number_of_sweepers_ring_a_lane_once(bench: Bench) -> None:
    bench.accept()
    bench.lose_bell(bench.lane())
    rung: list[Ring] = []
    sweepers = [Sweep(bench.lanes, ALL, rung.extend, Told(), PARTITIONS, 0.5) for _ in range(8)]

    async def all_at_once() -> None:
        await asyncio.gather(*(sweeper.once() for sweeper in sweepers))

    bench.run(all_at_once())

    assert [ring.generation for ring in rung] == [2]


class Away:
    """Lanes of a ledger that is away at first."""

    def __init__(self) -> None:
        self.looks = 0

    async def sweep(self, partition: int, _kinds: object) -> list[Ring]:
        self.looks += 1
        if self.looks < 3:
            raise LedgerUnavailable("away")
        return [Ring(f"{partition:02d}.0001l.v", 1, slow=False)]


def test_a_ledger_that_is_away_is_looked_at_again() -> None:
    told, rung = Told(), list[Ring]()

    def ring(rings: Sequence[Ring]) -> None:
        rung.extend(rings)

    async def main() -> None:
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.1):
                await Sweep(Away(), ALL, ring, told, 1, 0.01).forever()

    asyncio.run(main())

    assert rung
    assert [name for name, _, _ in told.calls].count("failed") == 2
