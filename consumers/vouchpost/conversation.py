"""What is said to the gateway, in which order, and when again. No I/O: the shells in `client` send and sleep.

A conversation is a generator. It yields `Send` and is sent back a `Reply` or a `NoReply`; it yields `Pause` and is
resumed after it; it returns the result or raises `ApiError`. Clock, random numbers and keys come in as arguments.
"""

import json
import re
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Final, TypeVar
from urllib.parse import quote, urlencode

from vouchpost.breaker import Breaker
from vouchpost.errors import FieldError, NotAGatewayError, OverloadedError, RequestRefusedError, UnreachableError
from vouchpost.resources import Delivery, Page, Subscription, Verification
from vouchpost.submission import checked_key

MAX_WAIT_S: Final = 30  # what may be asked for with one ?wait=; an operator may have it end sooner
_BASE_S: Final = 0.2
_CAP_S: Final = 5.0
_PAGE: Final = 100
_RETRYABLE: Final = frozenset({408, 429, 500, 502, 503, 504})
_PROBLEM: Final = "urn:problem-type:vouchpost:"


@dataclass(frozen=True, slots=True)
class Send:
    """One HTTP request, to be answered within `limit_s`, up to the last byte of the answer."""

    method: str
    path: str
    limit_s: float
    headers: Mapping[str, str]
    body: bytes | None = None


@dataclass(frozen=True, slots=True)
class Pause:
    """Nothing to send for this long."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Reply:
    """An HTTP answer, read whole."""

    status: int
    body: bytes
    retry_after: str | None = None


@dataclass(frozen=True, slots=True)
class NoReply:
    """No complete answer came; the gateway may have seen the request, or not: certainly not if it was not reached."""

    why: str
    is_reached: bool = True


Result = TypeVar("Result")
Steps = Generator[Send | Pause, Reply | NoReply | None, Result]


@dataclass(frozen=True, slots=True)
class Chances:
    """Where time and chance come from: `monotonic` in seconds, `uniform` from 0 to 1, a fresh key, the wall clock."""

    monotonic: Callable[[], float]
    uniform: Callable[[], float]
    new_key: Callable[[], str]
    now: Callable[[], datetime] = lambda: datetime.now(UTC)


class Conversations:
    """Everything that can be said, for one API key. `total_s` bounds a call with all its retries and pauses.

    With a breaker, calls fail at once while the gateway is known to be away, but for one at a time that tries again.
    """

    def __init__(self, *, key: str, total_s: float, chances: Chances, breaker: Breaker | None = None) -> None:
        self._authorization = f"Bearer {key}"
        self._total_s = total_s
        self._chances = chances
        self._breaker = breaker

    def submit(self, content: Mapping[str, Any], *, idempotency_key: str | None) -> Steps[Verification]:
        """One idempotency key for all attempts: however often this is sent, there is one verification."""
        given = {name: value for name, value in content.items() if value is not None}
        answer = yield from self._post("/v1/verifications", given, key=idempotency_key)
        return Verification.from_answer(answer)

    def get(self, verification_id: str) -> Steps[Verification]:
        answer = yield from self._ask("GET", _path("verifications", verification_id))
        return Verification.from_answer(answer)

    def wait(self, verification_id: str, *, seconds: float) -> Steps[Verification]:
        """The verification once it has a verdict, or as it is, still pending, when the time is over."""
        path = _path("verifications", verification_id)
        until = self._chances.monotonic() + seconds
        while True:
            left_s = max(until - self._chances.monotonic(), 0)
            wait_s = min(int(left_s), MAX_WAIT_S)
            answer = yield from self._ask("GET", f"{path}?wait={wait_s}", total_s=self._total_s + wait_s)
            verification = Verification.from_answer(answer)
            if not verification.is_pending or left_s < 1:
                return verification

    def subscribe(self, content: Mapping[str, Any]) -> Steps[Subscription]:
        """However often this is sent, there is one subscription."""
        answer = yield from self._post("/v1/subscriptions", content)
        return Subscription.from_answer(answer, with_secret=True)

    def subscription(self, subscription_id: str) -> Steps[Subscription]:
        return Subscription.from_answer((yield from self._ask("GET", _path("subscriptions", subscription_id))))

    def rotate_secret(self, subscription_id: str) -> Steps[Subscription]:
        """However often this is sent, there is one new secret."""
        answer = yield from self._post(_path("subscriptions", subscription_id, "rotate-secret"), {})
        return Subscription.from_answer(answer, with_secret=True)

    def delivery(self, delivery_id: str) -> Steps[Delivery]:
        return Delivery.from_answer((yield from self._ask("GET", _path("deliveries", delivery_id))))

    def resend(self, delivery_id: str) -> Steps[Delivery]:
        """However often this is sent, the event is sent once more."""
        return Delivery.from_answer((yield from self._post(_path("deliveries", delivery_id, "resend"), {})))

    def page(self, path: str, *, cursor: str | None, **filters: str | None) -> Steps[Page]:
        """One page of a list. `cursor` is the `next_cursor` of the page before."""
        given = {"limit": str(_PAGE), "cursor": cursor} | filters
        query = urlencode({name: value for name, value in given.items() if value is not None})
        return Page.from_answer((yield from self._ask("GET", f"{path}?{query}")))

    def unsubscribe(self, subscription_id: str) -> Steps[None]:
        """Gone already is as good."""
        try:
            yield from self._ask("DELETE", _path("subscriptions", subscription_id))
        except RequestRefusedError as error:
            if error.status != 404:
                raise

    def _post(self, path: str, content: Mapping[str, Any], *, key: str | None = None) -> Steps[dict[str, Any]]:
        """One idempotency key for all attempts, so that it is carried out once."""
        headers = {"idempotency-key": self._chances.new_key() if key is None else checked_key(key)}
        return (yield from self._ask("POST", path, content=content, headers=headers))

    def _ask(
        self,
        method: str,
        path: str,
        *,
        content: Mapping[str, Any] | None = None,
        headers: Mapping[str, str] | None = None,
        total_s: float | None = None,
    ) -> Steps[dict[str, Any]]:
        """Sends until there is an answer, with pauses of full jitter, or until the next pause would be too long."""
        if self._breaker is not None and not self._breaker.allows():
            raise UnreachableError("The gateway did not answer the last calls, so it was not asked again yet.")
        deadline = self._chances.monotonic() + (total_s or self._total_s)
        body = None if content is None else json.dumps(content, allow_nan=False).encode()
        sent = self._headers(has_body=body is not None) | dict(headers or {})
        attempt = 0
        while True:
            limit_s = deadline - self._chances.monotonic()
            reply = yield Send(method, path, limit_s, sent, body)
            assert reply is not None
            if isinstance(reply, Reply) and not _comes_later(reply):
                self._tell_breaker(reply)
                return _read(reply)
            pause_s = self._pause_s(reply, attempt)
            attempt += 1
            if self._chances.monotonic() + pause_s >= deadline:
                self._tell_breaker(reply)
                raise _given_up(reply, self._asked_s(reply))
            yield Pause(pause_s)

    def _tell_breaker(self, reply: Reply | NoReply) -> None:
        """Being told to slow down, or that a request is wrong, is an answer of a gateway that works."""
        if self._breaker is None:
            return
        if isinstance(reply, Reply) and reply.status < 500:
            self._breaker.succeeded()
        else:
            self._breaker.failed()

    def _headers(self, *, has_body: bool) -> dict[str, str]:
        shown = {"authorization": self._authorization, "accept": "application/json", "accept-encoding": "identity"}
        return shown | {"content-type": "application/json"} if has_body else shown

    def _pause_s(self, reply: Reply | NoReply, attempt: int) -> float:
        """Full jitter, with Retry-After as a floor."""
        jitter_s = self._chances.uniform() * min(_CAP_S, _BASE_S * 2.0 ** min(attempt, 10))
        return (self._asked_s(reply) or 0) + jitter_s

    def _asked_s(self, reply: Reply | NoReply) -> float | None:
        return retry_after_s(reply.retry_after, now=self._chances.now()) if isinstance(reply, Reply) else None


SUBSCRIPTIONS: Final = "/v1/subscriptions"


def deliveries_of(subscription_id: str) -> str:
    """The path of the list of what was sent to a subscription."""
    return _path("subscriptions", subscription_id, "deliveries")


def _path(*parts: str) -> str:
    return "/v1/" + "/".join(quote(part, safe="") for part in parts)


def retry_after_s(text: str | None, *, now: datetime) -> float | None:
    """Seconds from a `Retry-After` of either form (RFC 9110, section 10.2.3); None for anything else."""
    if text is None or len(text) > 64:
        return None
    if re.fullmatch(r"[0-9]{1,9}", text):
        return float(text)
    try:
        time = parsedate_to_datetime(text)
        return max(0.0, (time.replace(tzinfo=time.tzinfo or UTC) - now).total_seconds())
    except (ValueError, OverflowError):
        return None


def _comes_later(reply: Reply) -> bool:
    """Whether the answer is still to come. A 409 that says when to come back is about our own attempt before."""
    return reply.status in _RETRYABLE or (reply.status == 409 and reply.retry_after is not None)


def _given_up(reply: Reply | NoReply, asked_s: float | None) -> UnreachableError | OverloadedError:
    if isinstance(reply, NoReply):
        return UnreachableError(f"{UnreachableError.__doc__} {reply.why}" if reply.is_reached else reply.why)
    return OverloadedError(status=reply.status, retry_after_s=asked_s)


def _read(reply: Reply) -> dict[str, Any]:
    """The answer's object; RequestRefusedError for a gateway's 4xx; NotAGatewayError for what is none.

    A proxy, or a server that VOUCHPOST_URL names by mistake, has its own 400, 413 and 422: they refuse no submission.
    """
    content = _object(reply.body)
    if 200 <= reply.status < 300 and (content is not None or reply.status == 204):
        return content or {}
    problem = content or {}
    if not (400 <= reply.status < 500 and str(problem.get("type")).startswith(_PROBLEM)):
        raise NotAGatewayError(f"status {reply.status}")
    raise RequestRefusedError(
        status=reply.status,
        title=_short(problem.get("title")),
        detail=_short(problem.get("detail")),
        fields=_fields(problem.get("errors")),
    )


def _object(body: bytes) -> dict[str, Any] | None:
    try:
        content = json.loads(body.decode())
    except (ValueError, RecursionError):
        return None
    return content if isinstance(content, dict) else None


def _fields(errors: object) -> Sequence[FieldError]:
    rows = [row for row in errors if isinstance(row, dict)][:20] if isinstance(errors, list) else []
    return [FieldError(_short(row.get("field")), _short(row.get("reason"))) for row in rows]


def _short(value: object) -> str:
    return value[:300] if isinstance(value, str) else ""
