"""What only the memory store must see to itself: no database keeps a guard from moving while a claim is held."""

from tests.consumers.deliveries import NOW
from vouchpost import Outcome
from vouchpost.replay import Claim, Expectation, Position, subject_guard
from vouchpost.stores.memory import MemoryStore

GUARD = subject_guard("user_42")


def test_an_address_that_changes_while_a_handler_runs_keeps_later_verdicts_of_the_old_one_out() -> None:
    store = MemoryStore()

    with store.transaction() as running:
        running.claim(Claim("crm", "evt_1", NOW, GUARD, Position(10, 1)))
        store.expect(None, Expectation("crm", "user_42", 20, NOW))

    with store.transaction() as late:
        assert late.claim(Claim("crm", "evt_2", NOW, GUARD, Position(10, 2))) is Outcome.STALE
