"""Rows of the application's own, as `reverify` goes through them: a Django queryset, or a select of SQLAlchemy's.

Each chunk is a query of its own that begins behind the last key. So a run holds no cursor and no transaction open, and
goes on wherever it was.
"""

from collections.abc import Generator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from vouchpost.bookmark import Key
from vouchpost.errors import ConfigurationError, StoreUnavailableError
from vouchpost.reverify import People, Person

if TYPE_CHECKING:
    from sqlalchemy import Engine, Select


def people_of(
    rows: Any, *, engine: "Engine | None" = None, key: str = "", email: str = "email", subject: str = ""
) -> People:
    """People of a queryset, a select (with its engine), or of what is people already. Names are fields or columns.

    `key` is the primary key unless it is named; `subject`, the subject id, is the key's text.
    """
    if hasattr(rows, "after") and hasattr(rows, "count"):
        people: People = rows
        return people
    if hasattr(rows, "values_list"):
        return QuerySetPeople(rows, key=key or "pk", email=email, subject=subject)
    if not hasattr(rows, "subquery"):
        raise ConfigurationError(f"a queryset or a select can be gone through, not a {type(rows).__name__}")
    if engine is None:
        raise ConfigurationError("a select needs the engine of its database")
    return SelectPeople(rows, engine=engine, key=key or "id", email=email, subject=subject)


class QuerySetPeople:
    """A Django queryset, whatever it filters by."""

    def __init__(self, rows: Any, *, key: str, email: str, subject: str) -> None:
        self._rows = rows
        self._key = key
        self._names = (key, email, subject or key)

    def count(self) -> int:
        with _errors_told(_django_error()):
            return int(self._rows.count())

    def after(self, key: Key | None, limit: int) -> Sequence[Person]:
        rows = self._rows.order_by(self._key)
        if key is not None:
            rows = rows.filter(**{f"{self._key}__gt": key})
        with _errors_told(_django_error()):
            return [_person(*row) for row in rows.values_list(*self._names)[:limit]]


class SelectPeople:
    """A select of SQLAlchemy's, of columns or of a mapped class."""

    def __init__(self, rows: "Select[Any]", *, engine: "Engine", key: str, email: str, subject: str) -> None:
        self._engine = engine
        self._rows = rows.order_by(None).subquery()
        missing = {key, email, subject or key} - set(self._rows.columns.keys())
        if missing:
            raise ConfigurationError(f"the select has no column {', '.join(sorted(missing))}")
        self._key = self._rows.columns[key]
        self._columns = (self._key, self._rows.columns[email], self._rows.columns[subject or key])

    def count(self) -> int:
        from sqlalchemy import func, select  # noqa: PLC0415 - whoever has a select has SQLAlchemy

        with _errors_told(_sqlalchemy_error()), self._engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(self._rows)) or 0)

    def after(self, key: Key | None, limit: int) -> Sequence[Person]:
        from sqlalchemy import select  # noqa: PLC0415

        statement = select(*self._columns).order_by(self._key).limit(limit)
        if key is not None:
            statement = statement.where(self._key > key)
        with _errors_told(_sqlalchemy_error()), self._engine.connect() as connection:
            return [_person(*row) for row in connection.execute(statement)]


def _django_error() -> type[Exception]:
    from django.db import Error  # noqa: PLC0415

    found: type[Exception] = Error
    return found


def _sqlalchemy_error() -> type[Exception]:
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    return SQLAlchemyError


@contextmanager
def _errors_told(kind: type[Exception]) -> Generator[None, None, None]:
    """The kind of a database's error; its text may hold the query, and what it was about."""
    try:
        yield
    except kind as error:
        raise StoreUnavailableError(f"{StoreUnavailableError.__doc__} {type(error).__name__}.") from error


def _person(key: Key, email: str | None, subject: object) -> Person:
    return Person(key, email or "", None if subject is None else str(subject))
