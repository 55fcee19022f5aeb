"""What only the Django store promises: where Django rolls back without a word, the event is not told as applied."""

from collections.abc import Callable, Iterator
from contextlib import suppress

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from tests.consumers.django_project import FOLDER, another_database
from vouchpost import Message, Receiver, Router
from vouchpost.integrations.django.models import Mark, Waiting
from vouchpost.integrations.django.store import DjangoStore

from django.db import DatabaseError, connections, transaction  # isort: skip - after the project is set up

Effect = Callable[[Message, str], None]


@pytest.fixture
def on_sqlite() -> Iterator[str]:
    with another_database("crm", NAME=str(FOLDER / "crm")):
        yield "crm"


@pytest.fixture
def on_postgres(postgres: str) -> Iterator[str]:
    user, folder = postgres.split("@/postgres?host=")
    where = {"ENGINE": "django.db.backends.postgresql", "NAME": "postgres", "USER": user, "HOST": folder}
    with another_database("crm", **where):
        yield "crm"


@pytest.fixture(params=["on_sqlite", "on_postgres"])
def alias(request: pytest.FixtureRequest) -> str:
    used: str = request.getfixturevalue(request.param)
    Mark.objects.using(used).all().delete()
    Waiting.objects.using(used).all().delete()
    return used


def write(using: str) -> None:
    Waiting.objects.using(using).create(key="one", email="", details="")


def catch_an_error_of_the_orm(_: Message, using: str) -> None:
    write(using)
    with suppress(DatabaseError):
        write(using)


def set_it_to_roll_back(_: Message, using: str) -> None:
    write(using)
    transaction.set_rollback(True, using)


def close_the_connection(_: Message, using: str) -> None:
    write(using)
    connections[using].close()


def deliver(alias: str, effect: Effect) -> str:
    router, body = Router(), event()
    router.on_verdict(effect)
    receiver = Receiver(secrets=SECRET, store=DjangoStore(alias), router=router, clock=lambda: NOW)
    return receiver.answer(headers=headers(body), body=body).outcome


def rows(alias: str) -> tuple[int, int]:
    return Mark.objects.using(alias).count(), Waiting.objects.using(alias).count()


@pytest.mark.parametrize("effect", [catch_an_error_of_the_orm, set_it_to_roll_back, close_the_connection])
def test_a_transaction_that_django_rolls_back_silently_is_the_handlers_failure(alias: str, effect: Effect) -> None:
    assert deliver(alias, effect) == "handler_failed"
    assert rows(alias) == (0, 0)


def test_a_transaction_that_postgresql_gave_up_is_the_handlers_failure(on_postgres: str) -> None:
    """The server answers a COMMIT with a ROLLBACK then, and its driver reports no error."""

    def catch_an_error(_: Message, using: str) -> None:
        write(using)
        with suppress(DatabaseError), connections[using].cursor() as cursor:
            cursor.execute("SELECT 1 / 0")

    assert deliver(on_postgres, catch_an_error) == "handler_failed"
    assert rows(on_postgres) == (0, 0)


def test_an_error_that_is_caught_around_a_savepoint_is_no_failure(alias: str) -> None:
    def try_twice(_: Message, using: str) -> None:
        write(using)
        with suppress(DatabaseError), transaction.atomic(using):
            write(using)

    assert deliver(alias, try_twice) == "applied"
    assert rows(alias) == (1, 1)
