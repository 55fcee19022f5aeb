"""Which handler an event goes to. A handler is called with the message and the store's transaction handle."""

import inspect
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from typing import Any, TypeVar

from vouchpost.errors import ConfigurationError, HandlerError
from vouchpost.message import Message
from vouchpost.verdict import VERDICT_TYPES

Handler = Callable[[Message, Any], Awaitable[None] | None]
"""`def handler(message, db)`, plain or async. What it writes through `db` is committed together with the mark."""

AnyHandler = TypeVar("AnyHandler", bound=Handler)


class Router:
    """Handlers by event type: one each, for an event's effects are one transaction."""

    def __init__(self) -> None:
        self._handlers: dict[str, Handler] = {}

    def on(self, *types: str) -> Callable[[AnyHandler], AnyHandler]:
        """Registers the decorated handler for these event types."""
        if not types or not all(isinstance(kind, str) for kind in types):
            raise ConfigurationError('name the event types: @router.on("verification.completed")')

        def register(handler: AnyHandler) -> AnyHandler:
            if any(_is_kind(handler, kind) for kind in (inspect.isgeneratorfunction, inspect.isasyncgenfunction)):
                raise ConfigurationError("a handler must not yield: nothing of it would run")
            for kind in types:
                if self._handlers.setdefault(kind, handler) is not handler:
                    raise ConfigurationError(f"{kind} has a handler already")
            return handler

        return register

    def on_verdict(self, handler: AnyHandler) -> AnyHandler:
        """Registers the decorated handler for first verdicts and for those of later rechecks."""
        return self.on(*sorted(VERDICT_TYPES))(handler)

    def handler_for(self, kind: str) -> Handler | None:
        return self._handlers.get(kind)


def is_plain(handler: Handler) -> bool:
    """Whether it is called and not awaited, as far as that can be told before it is."""
    return not _is_kind(handler, inspect.iscoroutinefunction)


def run(handler: Handler, message: Message, handle: Any) -> None:
    """Calls a plain handler."""
    if not is_plain(handler):
        raise HandlerError("an async handler needs an async store")
    result = handler(message, handle)
    _check_that_it_ran(result)
    if inspect.iscoroutine(result):
        result.close()
    if inspect.isawaitable(result):
        raise HandlerError("an async handler needs an async store, and an `async def` by which it is known")


async def run_async(handler: Handler, message: Message, handle: Any) -> None:
    """Calls a handler of either kind."""
    result: object = handler(message, handle)
    while inspect.isawaitable(result):  # again where an `async def` forgot to await what it returns
        result = await result
    _check_that_it_ran(result)


def _is_kind(handler: Handler, is_kind: Callable[[Any], bool]) -> bool:
    """Whether the handler, or what is called when it is an object, is that kind of function."""
    return is_kind(handler) or is_kind(type(handler).__call__)


def _check_that_it_ran(result: object) -> None:
    """What yields has done nothing yet when it was called; a router cannot always tell before that it does."""
    if isinstance(result, Generator | AsyncGenerator):
        raise HandlerError("a handler must not yield: nothing of it would run")
