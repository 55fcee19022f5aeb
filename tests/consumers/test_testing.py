"""The tools for the tests of others: real signatures, events that are newer each time, a clock that stands still."""

from typing import Any

import pytest
import standardwebhooks.webhooks
import svix.webhooks

from tests.vectors.signatures import SignVector, sign_vectors
from vouchpost import Outcome, Receiver, Router
from vouchpost.stores.memory import MemoryStore
from vouchpost.testing import SECRET, EventFactory, FrozenClock, sign


@pytest.mark.parametrize("vector", sign_vectors(), ids=lambda vector: vector.name)
def test_signs_as_the_written_out_vectors_say(vector: SignVector) -> None:
    entries = [
        sign(secret=secret, event_id=vector.id, at_s=vector.timestamp, body=vector.body) for secret in vector.secrets
    ]

    assert " ".join(entries) == vector.header


@pytest.mark.parametrize("library", [standardwebhooks, svix], ids=["standardwebhooks", "svix"])
def test_other_libraries_accept_what_the_factory_makes_and_nothing_else(library: Any) -> None:
    event = EventFactory()(status="risky")
    theirs = library.webhooks.Webhook(SECRET)

    theirs.verify(event.body, event.headers)
    with pytest.raises(library.webhooks.WebhookVerificationError):
        theirs.verify(event.body + b" ", event.headers)


def test_every_event_is_newer_than_the_one_before_and_a_retry_is_the_same(vouchpost_clock: FrozenClock) -> None:
    make = EventFactory(clock=vouchpost_clock)
    router = Router()
    router.on_verdict(lambda *_: None)
    receiver = Receiver(secrets=SECRET, store=MemoryStore(), router=router, clock=vouchpost_clock)

    first, second = make(), make()
    outcomes = [receiver.receive(headers=each.headers, body=each.body) for each in (first, second)]
    vouchpost_clock.advance(5)
    retried = second.again(after_s=5)

    assert outcomes == [Outcome.APPLIED, Outcome.APPLIED]
    assert retried.headers["webhook-signature"] != second.headers["webhook-signature"]
    assert receiver.receive(headers=retried.headers, body=retried.body) is Outcome.DUPLICATE
