"""The first arrow on a real ledger: stored, then rung for, then answered."""

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.errors import Overloaded
from vouchpost_gateway.domain.lane import Ring
from vouchpost_gateway.domain.verification import Accepted
from vouchpost_gateway.pipeline.accept import Accept


class Door:
    """The step, and what it rang and told."""

    def __init__(self, bench: Bench, *, has_room: bool = True) -> None:
        self.bench = bench
        self.rung: list[Ring] = []
        self.told = Told()
        bits = iter(range(1, 100))
        self.step = Accept(
            bench.verifications, self._ring, self.told, lambda: START_MS, lambda: next(bits), lambda: has_room
        )

    def __call__(self, *, key: str | None = None) -> Accepted:
        return self.bench.run(self.step(self.bench.world, self.bench.new(), idempotency_key=key, body=b"{}"))

    def _ring(self, rings: object) -> None:
        assert self.bench.waiting(self.bench.lane()), "nobody is told of what is not stored"
        assert isinstance(rings, list)
        self.rung += rings


def test_what_is_accepted_is_stored_and_then_rung_for(bench: Bench) -> None:
    door = Door(bench)

    accepted = door()

    assert list(bench.waiting(bench.lane())) == [accepted.stem]
    assert [(ring.lane_id, ring.generation) for ring in door.rung] == [(bench.lane().id, 1)]
    assert door.told.named("accepted") == [{"repeated": False}]


def test_a_repeat_is_told_as_one_and_rings_for_nobody(bench: Bench) -> None:
    door = Door(bench)
    first = door(key="k")

    again = door(key="k")

    assert (again.stem, again.repeated) == (first.stem, True)
    assert len(door.rung) == 1
    assert door.told.named("accepted") == [{"repeated": False}, {"repeated": True}]


def test_with_memory_nearly_full_nothing_is_taken_and_a_time_to_come_back_is_told(bench: Bench) -> None:
    door = Door(bench, has_room=False)

    with pytest.raises(Overloaded) as refused:
        door()

    assert refused.value.retry_after_s > 0
    assert bench.waiting(bench.lane()) == {}
