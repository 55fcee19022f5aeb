"""The shell around every path: whatever happens inside ends in one complete answer, or none when the client left."""

import itertools
import secrets
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TypeVar

import structlog
from starlette.types import Receive, Scope, Send

from vouchpost_gateway.api.answer import Answer, Header, send_answer
from vouchpost_gateway.api.problems import internal_problem, problem
from vouchpost_gateway.api.refusals import ClientLeft, MethodNotAllowed, NoSuchPath
from vouchpost_gateway.domain.errors import VouchpostError

# Route template (never a caller's path), method, status, seconds.
Observe = Callable[[str, str, int, float], None]
Operation = TypeVar("Operation")

_log = structlog.get_logger("vouchpost.api")
_PROCESS = secrets.token_hex(6)
_NUMBERS = itertools.count(1)


class Endpoint(ABC):
    """One path as an ASGI application. `path` is the template: nothing a caller writes gets into logs or metrics."""

    def __init__(self, path: str, *, observe: Observe) -> None:
        self._path = path
        self._observe = observe

    @abstractmethod
    async def answer(self, scope: Scope, receive: Receive, headers: list[Header], /) -> Answer:
        """The answer, or an error that stands for one; `headers` go out in either case."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        started = time.perf_counter()
        request_id = f"req_{_PROCESS}{next(_NUMBERS):08x}"
        headers: list[Header] = []
        try:
            answer = await self.answer(scope, receive, headers)
        except ClientLeft:
            return
        except VouchpostError as error:
            answer = problem(error)
        except Exception as error:  # noqa: BLE001 -- nothing unforeseen may reach the caller, or end without a line
            answer = internal_problem()
            _log_failure(error, request_id=request_id, route=self._path)
        await send_answer(send, answer, request_id=request_id.encode("ascii"), headers=headers)
        self._observe(self._path, _label(scope["method"]), answer.status, time.perf_counter() - started)


class OpenPath(Endpoint):
    """A path that anybody may GET without a key."""

    def __init__(self, path: str, look: Callable[[], Answer], *, observe: Observe) -> None:
        super().__init__(path, observe=observe)
        self.operations = {"GET": look}

    async def answer(self, scope: Scope, _receive: Receive, _headers: list[Header], /) -> Answer:
        return chosen(self.operations, scope["method"])()


class Nowhere(Endpoint):
    """What answers for every path that is not there."""

    def __init__(self, *, observe: Observe) -> None:
        super().__init__("unknown", observe=observe)

    async def answer(self, _scope: Scope, _receive: Receive, _headers: list[Header], /) -> Answer:
        raise NoSuchPath


def chosen(operations: Mapping[str, Operation], method: str) -> Operation:
    """The operation for a method; MethodNotAllowed, with those that are, for any other.

    HEAD is GET of which the server keeps the body to itself (RFC 9110 section 9.3.2).
    """
    operation = operations.get("GET" if method == "HEAD" else method)
    if operation is None:
        raise MethodNotAllowed(sorted({*operations, "HEAD"} if "GET" in operations else operations))
    return operation


_METHODS = frozenset({"GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"})


def _label(method: str) -> str:
    return method if method in _METHODS else "other"


def _log_failure(error: Exception, *, request_id: str, route: str) -> None:
    """Where it went wrong, never the message: it may hold an address or a secret."""
    traceback = error.__traceback__
    while traceback is not None and traceback.tb_next is not None:
        traceback = traceback.tb_next
    where = "" if traceback is None else f"{traceback.tb_frame.f_code.co_filename}:{traceback.tb_lineno}"
    _log.error("api.failed", request_id=request_id, route=route, error=type(error).__name__, where=where)
