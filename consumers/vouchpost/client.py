"""Submits addresses to the gateway and reads what became of them; it blocks. It only sends, sleeps and stops in time.

What is said, and when again, is in `conversation`. Every call has one limit over everything it does, retries included.
"""

import threading
import time
from collections import deque
from collections.abc import Generator, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from types import TracebackType
from typing import Any, Self

import httpx

from vouchpost.breaker import Breaker
from vouchpost.conversation import SUBSCRIPTIONS, NoReply, Reply, Result, Send, Steps, deliveries_of
from vouchpost.errors import ApiError
from vouchpost.resources import Delivery, Subscription, Verification
from vouchpost.shell import (
    ANSWER_LIMIT,
    DEFAULT_TOTAL_S,
    conversations,
    limits,
    no_reply,
    request_of,
    submission_of,
    subscription_of,
    url_of,
)
from vouchpost.submission import Submission, Submitted


class Client:
    """Blocking. Threads may share one; it keeps its connections open until `close`."""

    def __init__(
        self,
        *,
        key: str | None = None,
        url: str | None = None,
        total_s: float = DEFAULT_TOTAL_S,
        breaker: Breaker | None = None,
        transport: httpx.BaseTransport | None = None,
    ) -> None:
        self._conversations = conversations(key, total_s, breaker)
        self._http = httpx.Client(base_url=url_of(url), transport=transport, limits=limits())

    def submit(
        self,
        email: str,
        *,
        subject_id: str | None = None,
        depth: str | None = None,
        priority: str | None = None,
        metadata: Mapping[str, str] | None = None,
        idempotency_key: str | None = None,
    ) -> Verification:
        """Accepted: the gateway promises a verdict. Keep `sequence` beside the address it belongs to."""
        content = submission_of(email, subject_id, depth, priority, metadata)
        return self._run(self._conversations.submit(content, idempotency_key=idempotency_key))

    def submit_many(self, submissions: Iterable[Submission], *, at_once: int = 8) -> Generator[Submitted, None, None]:
        """Each with what became of it, in their order, never more than `at_once` on the way: any number will do."""
        with ThreadPoolExecutor(max_workers=at_once, thread_name_prefix="vouchpost-submit") as pool:
            going: deque[Future[Submitted]] = deque()
            try:
                for submission in submissions:
                    going.append(pool.submit(self._submitted, submission))
                    if len(going) >= at_once:
                        yield going.popleft().result()
                while going:
                    yield going.popleft().result()
            finally:
                for left in going:
                    left.cancel()

    def _submitted(self, submission: Submission) -> Submitted:
        try:
            return Submitted(submission, self.submit(submission.email, **submission.options()))
        except ApiError as error:
            return Submitted(submission, error)

    def get(self, verification_id: str) -> Verification:
        return self._run(self._conversations.get(verification_id))

    def wait(self, verification_id: str, *, seconds: float = 30) -> Verification:
        """As soon as there is a verdict, or still pending after `seconds`."""
        return self._run(self._conversations.wait(verification_id, seconds=seconds))

    def subscribe(
        self, url: str, *, event_types: Sequence[str] = (), description: str = "", include_address: bool = False
    ) -> Subscription:
        """No event types means all of them. `include_address` puts the address itself into each event."""
        return self._run(self._conversations.subscribe(subscription_of(url, event_types, description, include_address)))

    def subscriptions(self) -> Iterator[Subscription]:
        """All of them, newest first."""
        return map(Subscription.from_answer, self._listed(SUBSCRIPTIONS))

    def subscription(self, subscription_id: str) -> Subscription:
        return self._run(self._conversations.subscription(subscription_id))

    def rotate_secret(self, subscription_id: str) -> Subscription:
        """With its new secret. The one before goes on signing as well, for as long as the gateway says in `raw`."""
        return self._run(self._conversations.rotate_secret(subscription_id))

    def deliveries(self, subscription_id: str, *, state: str | None = None) -> Iterator[Delivery]:
        """What was sent to a subscription, newest first."""
        return map(Delivery.from_answer, self._listed(deliveries_of(subscription_id), state=state))

    def delivery(self, delivery_id: str) -> Delivery:
        return self._run(self._conversations.delivery(delivery_id))

    def resend(self, delivery_id: str) -> Delivery:
        """Once more, whether it has ended or not."""
        return self._run(self._conversations.resend(delivery_id))

    def _listed(self, path: str, **filters: str | None) -> Iterator[Mapping[str, Any]]:
        """Page by page, each asked for when it is needed."""
        cursor = None
        while True:
            page = self._run(self._conversations.page(path, cursor=cursor, **filters))
            yield from page.items
            cursor = page.next_cursor
            if cursor is None:
                return

    def unsubscribe(self, subscription_id: str) -> None:
        self._run(self._conversations.unsubscribe(subscription_id))

    def close(self) -> None:
        self._http.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        self.close()

    def _run(self, steps: Steps[Result]) -> Result:
        reply: Reply | NoReply | None = None
        while True:
            try:
                step = steps.send(reply)
            except StopIteration as done:
                result: Result = done.value
                return result
            reply = None
            if isinstance(step, Send):
                reply = self._send(step)
            else:
                time.sleep(step.seconds)

    def _send(self, step: Send) -> Reply | NoReply:
        """In a thread that can be left behind: httpx limits each read, but neither their sum nor a name server."""
        answer: Future[Reply | NoReply] = Future()
        threading.Thread(target=self._exchange, args=(step, answer), daemon=True).start()
        try:
            return answer.result(timeout=step.limit_s)
        except TimeoutError:
            return NoReply("The time limit of the call is over.")

    def _exchange(self, step: Send, answer: "Future[Reply | NoReply]") -> None:
        try:
            answer.set_result(self._read(step))
        except httpx.HTTPError as error:
            answer.set_result(no_reply(error))
        except BaseException as error:  # noqa: BLE001 - a thread hands over whatever happens in it
            answer.set_exception(error)

    def _read(self, step: Send) -> Reply | NoReply:
        until = time.monotonic() + step.limit_s
        chunks, size = [], 0
        with self._http.stream(step.method, step.path, **request_of(step)) as response:
            if "content-encoding" in response.headers:
                return NoReply("The answer is compressed, unasked.")
            for chunk in response.iter_bytes():
                chunks.append(chunk)
                size += len(chunk)
                if size > ANSWER_LIMIT or time.monotonic() > until:
                    return NoReply("The answer is too long.")
            return Reply(response.status_code, b"".join(chunks), response.headers.get("retry-after"))
