"""A submission: its key can always be sent, so that nothing in an outbox waits for ever."""

import pytest

from vouchpost import ConfigurationError
from vouchpost.submission import Submission


@pytest.mark.parametrize("key", ["", "Änderung-42", "two words", "one\nline", "\x7f", "k" * 256])
def test_a_key_that_no_gateway_takes_is_refused_before_it_can_wait(key: str) -> None:
    with pytest.raises(ConfigurationError, match="255 visible ASCII"):
        Submission("ann@example.com", key=key)


@pytest.mark.parametrize("key", ["!", "~", "order:42/ann", "k" * 255])
def test_any_other_key_is_kept(key: str) -> None:
    assert Submission("ann@example.com", key=key).options()["idempotency_key"] == key
