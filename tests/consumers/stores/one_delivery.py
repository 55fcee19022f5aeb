"""A process that delivers one event to a store: `python -m tests.consumers.stores.one_delivery STORE PLACE [die]`.

With `die` it is killed, by itself, when the effect is written and nothing is committed. Prints the outcome.
"""

import asyncio
import os
import signal
import sys
from typing import Any

from sqlalchemy import create_engine, text
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import Message, Receiver, Router
from vouchpost.router import Handler
from vouchpost.stores.sql import AsyncSqlStore, SqlStore

INSERT = text("INSERT INTO effects (text) VALUES ('applied')")


def plain(message: Message, session: Session) -> None:
    session.execute(INSERT)
    session.flush()
    die()


async def awaited(message: Message, session: AsyncSession) -> None:
    await session.execute(INSERT)
    await session.flush()
    die()


def with_django(message: Message, using: str) -> None:
    from django.db import connections

    with connections[using].cursor() as cursor:
        cursor.execute("INSERT INTO effects (text) VALUES ('applied')")
    die()


def die() -> None:
    if sys.argv[3:] == ["die"]:
        os.kill(os.getpid(), signal.SIGKILL)


def django_store(path: str) -> Any:
    import django
    from django.conf import settings

    settings.configure(
        DATABASES={"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": path}},
        INSTALLED_APPS=["vouchpost.integrations.django"],
    )
    django.setup()
    from django.core.management import call_command

    from vouchpost.integrations.django.store import DjangoStore

    call_command("migrate", verbosity=0)
    return DjangoStore()


def main() -> None:
    kind, place = sys.argv[1:3]
    router, body = Router(), event()
    handlers: dict[str, Handler] = {"plain": plain, "awaited": awaited, "django": with_django}
    router.on_verdict(handlers[kind])
    if kind == "awaited":
        answered = asyncio.run(_awaited(router, place, body))
    else:
        store = django_store(place) if kind == "django" else SqlStore(create_engine(place))
        receiver = Receiver(secrets=SECRET, store=store, router=router, clock=lambda: NOW)
        answered = receiver.answer(headers=headers(body), body=body).outcome
    print(answered)


async def _awaited(router: Router, place: str, body: bytes) -> str:
    engine = create_async_engine(place)
    receiver = Receiver(secrets=SECRET, store=AsyncSqlStore(engine), router=router, clock=lambda: NOW)
    answered = (await receiver.answer_async(headers=headers(body), body=body)).outcome
    await engine.dispose()
    return answered


if __name__ == "__main__":
    main()
