"""Rows of the application's own, as `reverify` goes through them: a Django queryset, or a select of SQLAlchemy's.

Each chunk is a query of its own that begins behind the last key. So a run holds no cursor and no transaction open, and
goes on wherever it was; and a key that two rows have, or that a row has not, would lose some: such a key is refused.
"""

from collections.abc import Generator, Iterable, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from vouchpost.bookmark import Key
from vouchpost.errors import ConfigurationError, StoreUnavailableError
from vouchpost.reverify import People, Person

if TYPE_CHECKING:
    from sqlalchemy import Engine, Select

_PLACES: Final = ("host", "port", "service", "unix_socket")
"""What of a URL's query says where the database is."""


def people_of(
    rows: Any, *, engine: "Engine | None" = None, key: str = "", email: str = "email", subject: str = ""
) -> People:
    """People of a queryset, a select (with its engine), or of what is people already. Names are fields or columns.

    `key` is the primary key unless it is named, and else as that is: in every row, and another in each. `subject`, the
    subject id, is the key's text unless it is named.
    """
    if hasattr(rows, "after") and hasattr(rows, "count"):
        people: People = rows
        return people
    if hasattr(rows, "values_list"):
        return QuerySetPeople(rows, key=key or "pk", email=email, subject=subject)
    if not hasattr(rows, "subquery"):
        raise ConfigurationError(f"a queryset or a select can be gone through, not a {type(rows).__name__}")
    if engine is None:
        raise ConfigurationError("a select needs the engine of its database: give engine=, or the command --database")
    return SelectPeople(rows, engine=engine, key=key or "id", email=email, subject=subject)


class QuerySetPeople:
    """A Django queryset, whatever it filters by."""

    def __init__(self, rows: Any, *, key: str, email: str, subject: str) -> None:
        self._rows = rows
        self._key = key
        self._names = (key, email, subject or key)

    @property
    def place(self) -> Sequence[object]:
        """What tells these rows from others, whatever they are filtered by: a time in that is another each day.

        Nor does it matter which replica is read, which a router may choose by chance.
        """
        from django.db import connections, router  # noqa: PLC0415 - whoever has a queryset has Django

        model = self._rows.model
        database = connections[self._rows._db or router.db_for_write(model)]  # noqa: SLF001 - that of `using`
        settings = database.settings_dict
        name = _whole(database.vendor, settings["NAME"])
        return [database.vendor, name, settings["HOST"], settings["PORT"], model._meta.label, *self._names[:2]]  # noqa: SLF001 - documented

    def count(self) -> int:
        with _errors_told(_django_error()):
            return int(self._rows.count())

    def after(self, key: Key | None, limit: int) -> Sequence[Person]:
        rows = self._rows.order_by(self._key)
        if key is not None:
            rows = rows.filter(**{f"{self._key}__gt": key})
        with _errors_told(_django_error()):
            if key is None and rows.filter(**{f"{self._key}__isnull": True}).exists():
                raise _no_key(self._key, "empty in some rows")
            return _people(rows.values_list(*self._names)[: limit + 1], limit=limit, key=self._key)


class SelectPeople:
    """A select of SQLAlchemy's, of columns or of a mapped class."""

    def __init__(self, rows: "Select[Any]", *, engine: "Engine", key: str, email: str, subject: str) -> None:
        self._engine = engine
        self._select = rows
        self._rows = rows.order_by(None).subquery()
        missing = {key, email, subject or key} - set(self._rows.columns.keys())
        if missing:
            raise ConfigurationError(f"the select has no column {', '.join(sorted(missing))}")
        self._key = self._rows.columns[key]
        self._columns = (self._key, self._rows.columns[email], self._rows.columns[subject or key])

    @property
    def place(self) -> Sequence[object]:
        """As a queryset's. Who asks is no part of it: users and passwords change while a run is long."""
        from sqlalchemy import TableClause  # noqa: PLC0415
        from sqlalchemy.sql.visitors import iterate  # noqa: PLC0415

        url = self._engine.url
        vendor = url.get_backend_name()
        where = [url.host, url.port, *(url.query.get(name) for name in _PLACES)]
        tables = sorted({found.fullname for found in iterate(self._select) if isinstance(found, TableClause)})
        return [vendor, _whole(vendor, url.database), *where, *tables, self._key.name, self._columns[1].name]

    def count(self) -> int:
        from sqlalchemy import func, select  # noqa: PLC0415 - whoever has a select has SQLAlchemy

        with _errors_told(_sqlalchemy_error()), self._engine.connect() as connection:
            return int(connection.scalar(select(func.count()).select_from(self._rows)) or 0)

    def after(self, key: Key | None, limit: int) -> Sequence[Person]:
        from sqlalchemy import select  # noqa: PLC0415

        statement = select(*self._columns).order_by(self._key).limit(limit + 1)
        if key is not None:
            statement = statement.where(self._key > key)
        empty = select(self._key).where(self._key.is_(None)).limit(1)
        with _errors_told(_sqlalchemy_error()), self._engine.connect() as connection:
            if key is None and connection.execute(empty).first() is not None:
                raise _no_key(self._key.name, "empty in some rows")
            return _people(connection.execute(statement), limit=limit, key=self._key.name)


def _whole(vendor: str, database: object) -> str:
    """SQLite's are files: the same name is another one in another directory."""
    return str(Path(str(database)).resolve()) if vendor == "sqlite" and database else str(database)


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


def _people(found: Iterable[Sequence[Any]], *, limit: int, key: str) -> Sequence[Person]:
    """The chunk of these rows, which are one more than it: the next one may have the key of its last."""
    rows = list(found)
    if len({row[0] for row in rows}) < len(rows):
        raise _no_key(key, "the same in two rows")
    return [_person(*row) for row in rows[:limit]]


def _no_key(key: str, why: str) -> ConfigurationError:
    return ConfigurationError(f"{key} is {why}: go by a column that tells all rows apart, with a new bookmark")


def _person(key: Key, email: str | None, subject: object) -> Person:
    return Person(key, email or "", None if subject is None else str(subject))
