"""An application on services kept in memory, and callers with keys of every kind."""

from collections.abc import Callable

import pytest
from starlette.types import ASGIApp

from tests.gateway.api.caller import Caller
from tests.gateway.api.memory_services import NOW_MS, MemoryStore, memory_services
from vouchpost_gateway.api.app import create_app
from vouchpost_gateway.domain.world import Mode, Scope, World

CURSOR_KEY = b"a key for cursors, in tests only"


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore()


@pytest.fixture
def app(store: MemoryStore) -> ASGIApp:
    return create_app(memory_services(store), cursor_key=CURSOR_KEY, now_ms=lambda: NOW_MS)


@pytest.fixture
def world() -> World:
    """The world of the default tenant, where the keys of `caller` live."""
    return World("ten_a", Mode.TEST, 0)


@pytest.fixture
def caller_with(app: ASGIApp, store: MemoryStore) -> Callable[..., Caller]:
    """Makes a caller whose fresh key has these scopes."""

    def make(*scopes: Scope, **options: str | Mode | int | None) -> Caller:
        _, text = store.issue_key(*scopes, **options)  # type: ignore[arg-type] # passed through
        return Caller(app, text)

    return make


@pytest.fixture
def caller(caller_with: Callable[..., Caller]) -> Caller:
    return caller_with(Scope.ADMIN)
