"""Verifies the addresses of existing users again: millions of rows, in chunks, at low priority, and on after a crash.

A chunk is submitted, then the bookmark moves. So a crash repeats at most one chunk, and every submission of it under
the idempotency key that it had: the gateway takes it once, if the run goes on within the 24 hours that it keeps keys.
Verdicts come as events, like all others.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Final, Protocol

from vouchpost.bookmark import Bookmark, Key, Progress
from vouchpost.client import Client
from vouchpost.errors import ApiError, OverloadedError, RequestRefusedError
from vouchpost.submission import Submission, Submitted

_FIRST_PAUSE_S: Final = 1.0
_LONGEST_PAUSE_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Person:
    """A row: its primary key, the address in it, and what the gateway shall call the subject."""

    key: Key = field(repr=False)
    email: str = field(repr=False)
    subject_id: str | None = field(default=None, repr=False)


class People(Protocol):
    """Rows to go through, in the order of their keys. `people_of` makes it of a queryset or a select.

    It may have a `place`, of texts and numbers, that tells these rows from others: a bookmark of others is refused.
    """

    def count(self) -> int:
        """How many there are, for a progress bar."""

    def after(self, key: Key | None, limit: int) -> Sequence[Person]:
        """The next ones; none at the end. Never more than `limit` are in memory."""


def reverify(
    people: People,
    *,
    client: Client,
    bookmark: Bookmark,
    depth: str | None = None,
    chunk: int = 500,
    at_once: int = 8,
    patience_s: float = 600,
    told: Callable[[Progress], None] = lambda _: None,
    pause: Callable[[float], None] = time.sleep,
) -> Progress:
    """Submits them all, from where the bookmark says; a finished run is followed by a new one.

    A bookmark of other rows is refused, as far as they differ in the name that it has for them, or in their place.

    Rows without an address, and those whose address the gateway refuses, are counted as refused, by their reasons.

    A gateway that is away or overloaded is waited for, up to `patience_s`; then this raises, and the next call goes on.
    """
    sender = _Sender(client, at_once=at_once, patience_s=patience_s, pause=pause)
    progress = bookmark.begun(getattr(people, "place", ()))
    bookmark.write(progress)
    told(progress)
    while found := people.after(progress.last, chunk):
        reasons = sender.send([_submission(one, run=progress.run, depth=depth) for one in found if one.email])
        reasons += Counter("no address" for one in found if not one.email)
        refused = reasons.total()
        progress = progress.past(found[-1].key, accepted=len(found) - refused, refused=refused, reasons=reasons)
        bookmark.write(progress)
        told(progress)
    progress = progress.ended()
    bookmark.write(progress)
    return progress


def _submission(person: Person, *, run: str, depth: str | None) -> Submission:
    """The key is that of the run, the row and all that is asked: the same after a restart, another in the next run.

    Under a key that it knows, the gateway refuses another depth or subject: those rows would never be verified so.
    """
    asked = json.dumps([run, str(person.key), person.email, person.subject_id, depth])
    key = sha256(asked.encode()).hexdigest()
    return Submission(person.email, subject_id=person.subject_id, depth=depth, priority="low", key=key)


class _Sender:
    """Sends chunks, and waits for the gateway where it has to."""

    def __init__(self, client: Client, *, at_once: int, patience_s: float, pause: Callable[[float], None]) -> None:
        self._client, self._at_once = client, at_once
        self._patience_s, self._pause = patience_s, pause

    def send(self, submissions: Sequence[Submission]) -> Counter[str]:
        """Until each was taken or refused for good; how many were refused, by the reason."""
        refused, waited_s, pause_s = Counter[str](), 0.0, _FIRST_PAUSE_S
        while submissions:
            became = list(self._client.submit_many(submissions, at_once=self._at_once))
            refused.update(str(one.error) for one in became if _is_hopeless(one))
            left = [one for one in became if one.error is not None and not _is_hopeless(one)]
            if len(left) < len(submissions):
                waited_s, pause_s = 0.0, _FIRST_PAUSE_S
            if left:
                error = _worst(left)
                wait_s = max(pause_s, _asked_s(error))
                if waited_s + wait_s > self._patience_s:
                    raise error
                self._pause(wait_s)
                waited_s, pause_s = waited_s + wait_s, min(2 * pause_s, _LONGEST_PAUSE_S)
            submissions = [one.submission for one in left]
        return refused


def _is_hopeless(one: Submitted) -> bool:
    return isinstance(one.error, RequestRefusedError) and one.error.is_about_content


def _worst(left: Sequence[Submitted]) -> ApiError:
    """A refusal of the run itself, the key's for instance, is raised at once; the others may end by themselves."""
    errors = [one.error for one in left if one.error is not None]
    for error in errors:
        if isinstance(error, RequestRefusedError):
            raise error
    return errors[0]


def _asked_s(error: ApiError) -> float:
    return (error.retry_after_s or 0.0) if isinstance(error, OverloadedError) else 0.0
