"""One handler per event type, plain or async, found by name."""

import asyncio
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


def test_a_plain_store_refuses_an_async_handler_rather_than_forgetting_to_run_it() -> None:
    def hidden(message: Message, handle: Any) -> Any:
        return waiting(message, handle)

    for handler in (waiting, hidden):
        with pytest.raises(HandlerError, match="async store"):
            run(handler, MESSAGE, [])
