"""A Django project of one process: configured once, on an SQLite file that goes away with the process."""

import atexit
import shutil
import sqlite3
import tempfile
from collections.abc import Callable, Generator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import django
from django.conf import settings

FOLDER = Path(tempfile.mkdtemp(prefix="vouchpost-django-"))
atexit.register(shutil.rmtree, FOLDER, ignore_errors=True)

settings.configure(
    ALLOWED_HOSTS=["*"],
    DATABASES={
        "default": {
            "ENGINE": "django.db.backends.sqlite3",
            "NAME": str(FOLDER / "db"),
            "OPTIONS": {"timeout": 30},
            "ATOMIC_REQUESTS": True,
        }
    },
    DEFAULT_AUTO_FIELD="django.db.models.BigAutoField",
    INSTALLED_APPS=["vouchpost.integrations.django", "consumers.examples.marketing"],
    MIDDLEWARE=["django.middleware.common.CommonMiddleware", "django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF=[],
    SECRET_KEY="for tests",
    USE_TZ=True,
)
django.setup()

from django.core.management import call_command  # noqa: E402 - there is no Django before it is set up
from django.db import connection, connections  # noqa: E402

from vouchpost.integrations.django.store import DjangoStore  # noqa: E402

call_command("migrate", run_syncdb=True, verbosity=0)
with connection.cursor() as _cursor:
    _cursor.execute("CREATE TABLE effects (id INTEGER PRIMARY KEY, text TEXT)")


class Closing(DjangoStore):
    """Closes its thread's connection after each transaction, as Django does at the end of a request."""

    @contextmanager
    def transaction(self) -> Generator[Any, None, None]:
        try:
            with super().transaction() as running:
                yield running
        finally:
            connections.close_all()

    def unpark(self, *, receiver: str, event_id: str) -> bool:
        try:
            return super().unpark(receiver=receiver, event_id=event_id)
        finally:
            connections.close_all()

    def forget(self, *, receiver: str, before_s: int, limit: int) -> int:
        try:
            return super().forget(receiver=receiver, before_s=before_s, limit=limit)
        finally:
            connections.close_all()


@contextmanager
def another_database(alias: str, **described: Any) -> Generator[None, None, None]:
    """One more database, by Django's settings of it, with all tables."""
    connections.settings[alias] = connections.settings["default"] | {"OPTIONS": {}} | described
    try:
        call_command("migrate", database=alias, run_syncdb=True, verbosity=0)
        call_command("flush", database=alias, interactive=False, verbosity=0)
        yield
    finally:
        connections[alias].close()
        del connections[alias], connections.settings[alias]


def empty_database() -> Callable[[], list[str]]:
    """Empties every table, and returns a function that reads the effects."""
    with connection.cursor() as cursor:
        for table in ("effects", "vouchpost_mark", "vouchpost_guard", "vouchpost_waiting", "marketing_recipient"):
            cursor.execute(f"DELETE FROM {table}")  # noqa: S608 - names from the line above
    connections.close_all()

    def effects() -> list[str]:
        with closing(sqlite3.connect(FOLDER / "db")) as other:
            return [text for (text,) in other.execute("SELECT text FROM effects ORDER BY id")]

    return effects
