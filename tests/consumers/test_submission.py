"""A submission: its key can always be sent, so that nothing waits for ever, and its representation tells nothing."""

import pytest

from vouchpost import ConfigurationError, Verification
from vouchpost.replay import Expectation
from vouchpost.reverify import Person
from vouchpost.submission import Submission

ANN = "ann@example.com"


@pytest.mark.parametrize("key", ["", "Änderung-42", "two words", "one\nline", "\x7f", "k" * 256])
def test_a_key_that_no_gateway_takes_is_refused_before_it_can_wait(key: str) -> None:
    with pytest.raises(ConfigurationError, match="255 visible ASCII"):
        Submission(ANN, key=key)


@pytest.mark.parametrize("key", ["!", "~", "order:42/ann", "k" * 255])
def test_any_other_key_is_kept(key: str) -> None:
    assert Submission(ANN, key=key).options()["idempotency_key"] == key


@pytest.mark.parametrize(
    "record",
    [
        Submission(ANN, subject_id=ANN, metadata={"email": ANN}, key=ANN),
        Verification("vrf_1", "pending", 7, subject_id=ANN),
        Person(ANN, ANN, ANN),
        Expectation("crm", ANN, 7, 0),
    ],
    ids=lambda record: type(record).__name__,
)
def test_representations_hold_nothing_that_may_be_an_address(record: object) -> None:
    assert ANN not in repr(record)
