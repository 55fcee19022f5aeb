"""One handler per event type, plain or async, found by name."""

import asyncio
from collections.abc import AsyncGenerator, Generator
from functools import partial
from typing import Any, cast

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import ConfigurationError, HandlerError, Message, Router, Verifier
from vouchpost.router import run, run_async

BODY = event()
MESSAGE = Verifier(SECRET, clock=lambda: NOW).verify(headers=headers(BODY), body=BODY)


def plain(message: Message, handle: list[str]) -> None:
    handle.append(message.id)


async def waiting(message: Message, handle: list[str]) -> None:
    await asyncio.sleep(0)
    handle.append(message.id)


def test_a_handler_is_found_by_the_types_it_named() -> None:
    router = Router()

    router.on("batch.completed", "subscription.test")(plain)
    router.on_verdict(waiting)

    assert router.handler_for("subscription.test") is plain
    assert router.handler_for("verification.updated") is waiting
    assert router.handler_for("verification.invented") is None


def test_two_handlers_of_one_type_are_a_mistake() -> None:
    router = Router()
    router.on_verdict(plain)

    with pytest.raises(ConfigurationError, match=r"verification\.completed"):
        router.on("verification.completed")(waiting)


def test_a_decorator_without_types_is_a_mistake() -> None:
    for types in ((), (plain,)):
        with pytest.raises(ConfigurationError):
            Router().on(*cast("tuple[str, ...]", types))


def test_awaiting_runs_handlers_of_both_kinds() -> None:
    async def main() -> list[str]:
        seen: list[str] = []
        await run_async(plain, MESSAGE, seen)
        await run_async(waiting, MESSAGE, seen)
        return seen

    assert asyncio.run(main()) == ["evt_1", "evt_1"]


def yielding(message: Message, handle: list[str]) -> Generator[None]:
    handle.append(message.id)
    yield


async def yielding_async(message: Message, handle: list[str]) -> AsyncGenerator[None]:
    handle.append(message.id)
    yield


class YieldingObject:
    def __call__(self, *_: object) -> Generator[None]:
        yield


@pytest.mark.parametrize("handler", [yielding, yielding_async, partial(yielding), YieldingObject()])
def test_a_handler_that_yields_is_a_mistake(handler: Any) -> None:
    with pytest.raises(ConfigurationError, match="yield"):
        Router().on_verdict(handler)


@pytest.mark.parametrize("hidden", [yielding, yielding_async])
def test_a_handler_that_turns_out_to_yield_has_failed_and_was_not_applied(hidden: Any) -> None:
    def handler(message: Message, handle: Any) -> Any:
        return hidden(message, handle)

    with pytest.raises(HandlerError, match="yield"):
        run(handler, MESSAGE, [])
    with pytest.raises(HandlerError, match="yield"):
        asyncio.run(run_async(handler, MESSAGE, []))


class Later:
    """An awaitable that is no coroutine."""

    def __init__(self, message: Message, handle: list[str]) -> None:
        self._message, self._handle = message, handle

    def __await__(self) -> Generator[Any, None, None]:
        return waiting(self._message, self._handle).__await__()


async def forgetful(message: Message, handle: list[str]) -> Any:
    return waiting(message, handle)


@pytest.mark.parametrize("handler", [Later, forgetful])
def test_awaiting_runs_a_handler_to_its_end_whatever_it_returns(handler: Any) -> None:
    seen: list[str] = []

    asyncio.run(run_async(handler, MESSAGE, seen))

    assert seen == ["evt_1"]


def test_a_plain_store_refuses_an_async_handler_rather_than_forgetting_to_run_it() -> None:
    def hidden(message: Message, handle: Any) -> Any:
        return waiting(message, handle)

    for handler in (waiting, hidden, Later):
        with pytest.raises(HandlerError, match="async store"):
            run(handler, MESSAGE, [])
