"""What only the Django store promises: where Django rolls back without a word, the event is not told as applied."""

import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from threading import Event

import pymysql
import pytest
from sqlalchemy import make_url

from tests.consumers.deliveries import NOW, SECRET, event, headers
from tests.consumers.django_project import FOLDER, another_database
from vouchpost import ConfigurationError, Message, Receiver, Router
from vouchpost.integrations.django.models import Guard, Mark, Waiting
from vouchpost.integrations.django.outbox import DjangoOutbox
from vouchpost.integrations.django.store import DjangoStore
from vouchpost.submission import Submission

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


@pytest.fixture
def on_mariadb(mariadb: str) -> Iterator[str]:
    """Django knows mysqlclient only, and PyMySQL can stand in for it."""
    pymysql.version_info = (2, 2, 1, "final", 0)
    pymysql.install_as_MySQLdb()
    url = make_url(f"mysql://{mariadb}")
    where = {"ENGINE": "django.db.backends.mysql", "NAME": url.database, "USER": url.username}
    with another_database("crm", **where, HOST=url.query["unix_socket"]):
        yield "crm"


@pytest.fixture(params=["on_sqlite", "on_postgres", "on_mariadb"])
def alias(request: pytest.FixtureRequest) -> str:
    used: str = request.getfixturevalue(request.param)
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
    body = event()
    return receiver(alias, effect).answer(headers=headers(body), body=body).outcome


def receiver(alias: str, effect: Effect) -> Receiver:
    router = Router()
    router.on_verdict(effect)
    return Receiver(secrets=SECRET, store=DjangoStore(alias), router=router, clock=lambda: NOW)


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


def test_expecting_waits_for_the_first_verdict_of_a_subject_that_is_being_applied(on_postgres: str) -> None:
    """And leaves the application's own transaction whole."""
    applying = Event()

    def effect(_: Message, using: str) -> None:
        applying.set()
        time.sleep(0.3)

    with ThreadPoolExecutor(1) as pool:
        first = pool.submit(deliver, on_postgres, effect)
        applying.wait(10)
        with transaction.atomic(on_postgres):
            receiver(on_postgres, effect).expect(on_postgres, subject_id="user_42", sequence=2**60)
            write(on_postgres)
        pool.submit(connections.close_all)

    assert first.result() == "applied"
    assert rows(on_postgres) == (1, 1)
    assert Guard.objects.using(on_postgres).get().sequence == 2**60


def test_an_error_that_is_caught_around_a_savepoint_is_no_failure(alias: str) -> None:
    def try_twice(_: Message, using: str) -> None:
        write(using)
        with suppress(DatabaseError), transaction.atomic(using):
            write(using)

    assert deliver(alias, try_twice) == "applied"
    assert rows(alias) == (1, 1)


@pytest.fixture
def without_autocommit(alias: str) -> Iterator[str]:
    described = connections.settings[alias]
    connections[alias].close()
    connections[alias].settings_dict["AUTOCOMMIT"] = described["AUTOCOMMIT"] = False
    yield alias
    connections[alias].rollback()
    connections[alias].settings_dict["AUTOCOMMIT"] = described["AUTOCOMMIT"] = True
    connections[alias].close()


def test_events_are_refused_where_django_commits_nothing(
    without_autocommit: str, caplog: pytest.LogCaptureFixture
) -> None:
    """And so come again, where they were answered as applied and nothing of them was kept."""
    assert deliver(without_autocommit, lambda _, using: write(using)) == "configuration"

    assert "AUTOCOMMIT" in caplog.text
    connections[without_autocommit].rollback()
    assert rows(without_autocommit) == (0, 0)


def test_no_event_is_let_in_again_and_nothing_is_sent_where_django_commits_nothing(without_autocommit: str) -> None:
    """A submitter would send the same submissions for ever, as none of them would be gone."""
    with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
        receiver(without_autocommit, lambda *_: None).unpark("evt_1")
    with pytest.raises(ConfigurationError, match="AUTOCOMMIT"):
        DjangoOutbox(without_autocommit).oldest(10)


def test_autocommit_that_is_set_off_by_the_application_is_seen_too(alias: str) -> None:
    transaction.set_autocommit(False, alias)

    assert deliver(alias, lambda _, using: write(using)) == "configuration"

    transaction.rollback(alias)
    transaction.set_autocommit(True, alias)
    assert deliver(alias, lambda _, using: write(using)) == "applied"


def test_names_and_keys_that_differ_in_case_are_two(alias: str) -> None:
    for name in ("crm", "CRM"):
        Mark.objects.using(alias).create(receiver=name, event_id="evt_1", outcome="applied", at_s=NOW)
        Mark.objects.using(alias).create(receiver=name, event_id="EVT_1", outcome="applied", at_s=NOW)
        Guard.objects.using(alias).create(receiver=name, guard="subject", sequence=1, revision=1, at_s=NOW)
        Guard.objects.using(alias).create(receiver=name, guard="SUBJECT", sequence=1, revision=1, at_s=NOW)
        DjangoOutbox(alias).add(Submission("ann@example.com", key=f"user:{name}"))

    assert rows(alias) == (4, 2)
