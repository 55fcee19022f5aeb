"""Submissions that wait in the application's own database until the gateway has taken them. A restart loses none.

A submission keeps its idempotency key, so that it may be sent twice: by two processes, or again after a crash.
"""

import logging
import threading
from collections.abc import Callable, Sequence
from hashlib import sha256
from typing import Any, Final, Protocol, TypeGuard, runtime_checkable

from vouchpost.client import Client
from vouchpost.errors import ApiError, RequestRefusedError
from vouchpost.resources import Verification
from vouchpost.submission import Submission

__all__ = ["Outbox", "Submission", "Submitter"]

_log: Final = logging.getLogger("vouchpost")


@runtime_checkable
class Outbox(Protocol):
    """Where submissions wait."""

    def add(self, submission: Submission, *, handle: Any = None) -> None:
        """Keeps it; in the caller's own transaction where `handle` is given."""

    def oldest(self, limit: int) -> Sequence[Submission]:
        """Those that wait longest, in their order: a subject's new address is never sent before its old one."""

    def remove(self, key: str) -> None:
        """It needs to wait no longer; gone already is as good."""


class Submitter:
    """Sends what waits in an outbox. `run_once` for a cron job or a test; `start` for a thread of its own.

    `submitted` is told of each: store the verification's `sequence` beside the address there. `refused` is told of
    those whose content the gateway never takes: no verdict of them will come.
    """

    def __init__(
        self,
        *,
        client: Client,
        outbox: Outbox,
        submitted: Callable[[Submission, Verification], None] = lambda *_: None,
        refused: Callable[[Submission, RequestRefusedError], None] = lambda *_: None,
        every_s: float = 5,
    ) -> None:
        self._client = client
        self._outbox = outbox
        self._submitted = submitted
        self._refused = refused
        self._every_s = every_s
        self._wake = threading.Event()
        self._stopping = False
        self._thread: threading.Thread | None = None

    def run_once(self, *, limit: int = 100) -> int:
        """Sends the oldest ones and returns how many are done. It ends at the first that the gateway cannot take."""
        taken = 0
        for submission in self._outbox.oldest(limit):
            if self._stopping or not self._send(submission):
                break
            taken += 1
        return taken

    def wake(self) -> None:
        """There is something new in the outbox."""
        self._wake.set()

    def start(self) -> None:
        self._thread = threading.Thread(target=self._run, name="vouchpost-submitter", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Waits for the one submission under way. What is left in the outbox is sent after the next start."""
        self._stopping = True
        self._wake.set()
        if self._thread is not None:
            self._thread.join()
        self._stopping = False

    def _run(self) -> None:
        while not self._stopping:
            try:
                busy = self.run_once() > 0
            except Exception as error:  # noqa: BLE001 - the application's database or callback; the next turn tries again
                busy = False
                _log.warning("outbox.failed %s", type(error).__name__)
            if not busy:
                self._wake.wait(self._every_s)
                self._wake.clear()

    def _send(self, submission: Submission) -> bool:
        """Whether to go on. A submission that the gateway refuses for good is dropped, or it would block the rest."""
        try:
            verification = self._client.submit(submission.email, **submission.options())
        except ApiError as error:
            if not is_refused_for_good(error, submission):
                return False
            self._refused(submission, error)
        else:
            self._submitted(submission, verification)
        self._outbox.remove(submission.key)
        return True


def is_refused_for_good(error: ApiError, submission: Submission) -> TypeGuard[RequestRefusedError]:
    """Or it waits: for the gateway, or, most likely, for an API key to be mended."""
    if not isinstance(error, RequestRefusedError):
        _log.warning("outbox.waits %s", error.reason)
        return False
    key_digest = sha256(submission.key.encode()).hexdigest()[:12]  # an application may make its keys of addresses
    _log.error("outbox.refused status=%s key_digest=%s", error.status, key_digest)
    return error.is_about_content
