"""The demo's own oracle: every harm it exists to find makes it say no."""

from dataclasses import replace

import pytest

from vouchpost_gateway.cli.demonstration.caller import Acknowledged
from vouchpost_gateway.cli.demonstration.journals import Applied, Push
from vouchpost_gateway.cli.demonstration.tally import (
    Row,
    Totals,
    applied_twice,
    came_since,
    redelivered,
    rows_of,
)

GOOD = Totals(
    submitted=2,
    subscribers=3,
    acknowledged=2,
    delivered=6,
    redelivered=1,
    applied=6,
    twice=0,
    lost=0,
    held=10,
    held_came=10,
)


def applied(subscriber: str, number: int, *, at_ms: int = 1500) -> Applied:
    return Applied(subscriber, f"evt_{number}", f"vrf_{number}", "valid", "domain_accepts_mail", at_ms)


def test_all_of_it_together_holds() -> None:
    assert GOOD.holds


@pytest.mark.parametrize(
    "harm",
    [
        {"acknowledged": 1, "delivered": 3, "applied": 3},
        {"delivered": 5},
        {"redelivered": 0},
        {"applied": 5},
        {"twice": 1},
        {"lost": 1},
        {"held": 9, "held_came": 9},
        {"held_came": 9},
    ],
    ids=lambda harm: next(iter(harm)),
)
def test_any_harm_does_not_hold_and_is_named(harm: dict[str, int]) -> None:
    totals = replace(GOOD, **harm)

    assert not totals.holds
    (flaw,) = totals.flaws
    assert str(next(iter(harm.values())) or "nothing") in flaw


def test_a_row_takes_as_long_as_the_last_subscriber() -> None:
    asked = Acknowledged("pim@valid.example", "vrf_1", 1000)
    seen = [applied("crm", 1, at_ms=1200), applied("signup", 1, at_ms=1700)]

    (row,) = rows_of([asked], seen, subscribers=("signup", "crm"))

    assert row == Row("pim@valid.example", "valid", "domain_accepts_mail", ("signup", "crm"), 700)


def test_a_row_that_one_subscriber_never_applied_has_no_time() -> None:
    asked = Acknowledged("pim@valid.example", "vrf_1", 1000)

    (row,) = rows_of([asked], [applied("crm", 1)], subscribers=("signup", "crm"))

    assert (row.subscribers, row.took_ms) == (("crm",), None)


def test_applied_twice_is_by_subscriber_and_event() -> None:
    assert applied_twice([applied("crm", 1), applied("signup", 1), applied("crm", 2)]) == 0
    assert applied_twice([applied("crm", 1), applied("crm", 1), applied("crm", 1)]) == 1


def test_redelivered_is_what_came_more_than_once_and_again_after_the_kill() -> None:
    before = [Push("crm", "evt_1", 10), Push("crm", "evt_1", 20)]
    once = [Push("crm", "evt_2", 99), Push("signup", "evt_2", 99)]

    assert redelivered([*before, *once], since_ms=50) == 0
    assert redelivered([*before, *once, Push("crm", "evt_1", 60)], since_ms=50) == 1


def test_what_was_held_came_only_if_it_came_after_the_kill() -> None:
    pushes = [Push("crm", "evt_1", 10), Push("crm", "evt_2", 60)]

    assert came_since(pushes, {("crm", "evt_1"), ("crm", "evt_2")}, since_ms=50) == 1
