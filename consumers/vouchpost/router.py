"""Which handler an event goes to. A handler is called with the message and the store's transaction handle."""

import inspect
from collections.abc import Awaitable, Callable
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
    return not (inspect.iscoroutinefunction(handler) or inspect.iscoroutinefunction(type(handler).__call__))


def run(handler: Handler, message: Message, handle: Any) -> None:
    """Calls a plain handler."""
    if not is_plain(handler):
        raise HandlerError("an async handler needs an async store")
    result = handler(message, handle)
    if inspect.iscoroutine(result):
        result.close()
        raise HandlerError("an async handler needs an async store, and an `async def` by which it is known")


async def run_async(handler: Handler, message: Message, handle: Any) -> None:
    """Calls a handler of either kind."""
    result = handler(message, handle)
    if inspect.isawaitable(result):
        await result
