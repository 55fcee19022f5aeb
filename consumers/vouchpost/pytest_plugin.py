"""Fixtures for the tests of those who use the kit. pytest finds them by itself where `vouchpost` is installed."""

import pytest

from vouchpost.testing import SECRET, EventFactory, FrozenClock


@pytest.fixture
def vouchpost_secret() -> str:
    """The secret that `vouchpost_event` signs with. Override it to use your own."""
    return SECRET


@pytest.fixture
def vouchpost_clock() -> FrozenClock:
    """A clock that stands still. Events are signed at its time; give it to the receiver too."""
    return FrozenClock()


@pytest.fixture
def vouchpost_event(vouchpost_secret: str, vouchpost_clock: FrozenClock) -> EventFactory:
    """A maker of signed events: call it with what the verdict should say."""
    return EventFactory(secret=vouchpost_secret, clock=vouchpost_clock)
