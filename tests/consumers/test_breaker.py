"""Open after several failures in a row; then one try at a time; closed again by a success."""

from vouchpost.breaker import Breaker
from vouchpost.testing import FrozenClock


def failing(clock: FrozenClock) -> Breaker:
    breaker = Breaker(failures=3, open_s=10, clock=clock)
    for _ in range(3):
        breaker.failed()
    return breaker


def test_it_opens_only_after_several_failures_in_a_row() -> None:
    breaker = Breaker(failures=3, clock=FrozenClock())
    breaker.failed()
    breaker.failed()
    breaker.succeeded()
    breaker.failed()
    breaker.failed()

    assert breaker.allows()
    breaker.failed()
    assert not breaker.allows()


def test_after_a_while_one_caller_tries_and_the_others_are_held_off(vouchpost_clock: FrozenClock) -> None:
    breaker = failing(vouchpost_clock)

    vouchpost_clock.advance(10)

    assert [breaker.allows(), breaker.allows()] == [True, False]


def test_a_try_that_fails_keeps_it_open_and_one_that_succeeds_closes_it(vouchpost_clock: FrozenClock) -> None:
    breaker = failing(vouchpost_clock)
    vouchpost_clock.advance(10)
    breaker.allows()
    breaker.failed()
    still_open = not breaker.allows()

    vouchpost_clock.advance(10)
    breaker.allows()
    breaker.succeeded()

    assert still_open
    assert [breaker.allows(), breaker.allows()] == [True, True]
