"""Marks through the Django ORM, in the transaction of the effect. Exactly once.

A handler gets the alias of the database, for `.using(db)`; with one database it need not look at it. Django itself
refuses a commit inside the block.
"""

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any

from django.db import DatabaseError, IntegrityError, connections, transaction

from vouchpost.errors import ConfigurationError, HandlerError, InFlightError, StoreUnavailableError
from vouchpost.integrations.django.models import Guard, Mark
from vouchpost.replay import VERIFICATION_GUARD, Claim, Expectation, Outcome, Position, is_newer


class DjangoStore:
    """For the database of this alias. The transaction is the outermost one: its end is a commit, or an error."""

    exactly_once = True

    def __init__(self, using: str = "default") -> None:
        self._using = using

    @contextmanager
    def transaction(self) -> Generator["_Transaction", None, None]:
        with _errors_told():
            check_that_it_commits(self._using)
            with transaction.atomic(self._using, durable=True):
                yield _Transaction(self._using)
                self._check_that_it_lasts()

    def _check_that_it_lasts(self) -> None:
        """Any query fails once a database error was caught: Django and PostgreSQL would roll back, and say nothing."""
        try:
            Mark.objects.using(self._using).exists()
        except DatabaseError as error:
            raise HandlerError from error

    def expect(self, handle: str, expectation: Expectation) -> None:
        """A verdict may set the subject's first guard at this moment: then that guard is there to be moved."""
        place = (expectation.receiver, expectation.guard, expectation.position, expectation.at_s)
        try:
            _advanced(handle, *place)
        except InFlightError:
            _advanced(handle, *place)

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        parked = Mark.objects.using(self._using).filter(
            receiver=receiver, event_id=event_id, outcome=Outcome.PARKED.value
        )
        with _errors_told():
            check_that_it_commits(self._using)
            return bool(parked.delete()[0])

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        old = {"receiver": receiver, "at_s__lt": before_s}
        marks = Mark.objects.using(self._using).filter(**old)
        guards = Guard.objects.using(self._using).filter(**old, guard__startswith=VERIFICATION_GUARD)
        with _errors_told():
            _delete(guards, limit)
            return _delete(marks, limit)


def check_that_it_commits(using: str) -> None:
    """Without autocommit Django's own blocks are savepoints of a transaction that nobody here commits."""
    connection = connections[using]
    if not connection.in_atomic_block and not connection.get_autocommit():
        raise ConfigurationError(
            f"autocommit is off on the database {using!r}, so that Django commits nothing by itself: "
            'leave "AUTOCOMMIT" out of its settings, or give it an alias that has it on'
        )


class _Transaction:
    def __init__(self, using: str) -> None:
        self.handle = using

    def claim(self, claim: Claim) -> Outcome:
        mark = {"receiver": claim.receiver, "event_id": claim.event_id}
        try:
            with transaction.atomic(self.handle):
                Mark.objects.using(self.handle).create(**mark, outcome=claim.outcome.value, at_s=claim.at_s)
        except IntegrityError:
            return Outcome.DUPLICATE
        if claim.guard is None or claim.position is None:
            return claim.outcome
        if _advanced(self.handle, claim.receiver, claim.guard, claim.position, claim.at_s):
            return Outcome.APPLIED
        Mark.objects.using(self.handle).filter(**mark).update(outcome=Outcome.STALE.value)
        return Outcome.STALE


def _advanced(using: str, receiver: str, guard: str, position: Position, at_s: int) -> bool:
    """Whether the guard moved. Two first events of a subject at once: one of them is told to come back."""
    key = {"receiver": receiver, "guard": guard}
    values = {"sequence": position.sequence, "revision": position.revision, "at_s": at_s}
    rows = Guard.objects.using(using).filter(**key)
    latest = rows.select_for_update().values_list("sequence", "revision").first()
    if latest is not None:
        return is_newer(position, Position(*latest)) and bool(rows.update(**values))
    try:
        with transaction.atomic(using):
            Guard.objects.using(using).create(**key, **values)
    except IntegrityError as error:
        raise InFlightError from error
    return True


def _delete(rows: Any, limit: int) -> int:
    keys = list(rows.order_by("at_s").values_list("pk", flat=True)[:limit])
    count: int = rows.filter(pk__in=keys).delete()[0] if keys else 0
    return count


@contextmanager
def _errors_told() -> Generator[None, None, None]:
    """What a handler raises is a HandlerError before it comes here; what its writes break at the end is its own too."""
    try:
        yield
    except IntegrityError as error:
        raise HandlerError from error
    except DatabaseError as error:
        raise StoreUnavailableError from error
