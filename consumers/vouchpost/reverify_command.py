"""`vouchpost reverify`: verifies the addresses of existing users again, with a progress bar, and on after a crash."""

import os
import sys
from collections import Counter
from collections.abc import Generator
from contextlib import contextmanager
from enum import StrEnum
from importlib import import_module
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn
from rich.text import Text

from vouchpost import reverify as job
from vouchpost.bookmark import Bookmark
from vouchpost.client import Client
from vouchpost.errors import ApiError, ConfigurationError, StoreUnavailableError, VouchpostError
from vouchpost.people import people_of

_SETTINGS: Final = "DJANGO_SETTINGS_MODULE"


class Depth(StrEnum):
    SYNTAX = "syntax"
    DOMAIN = "domain"
    MAILBOX = "mailbox"


def reverify(
    rows: Annotated[
        str,
        typer.Argument(
            help="Where to import them from, module:name: a Django queryset, a select of "
            "SQLAlchemy's, or a function that returns one."
        ),
    ],
    *,
    database: Annotated[
        str | None, typer.Option(help="For a select: the URL of its database.", envvar="DATABASE_URL")
    ] = None,
    id_: Annotated[
        str, typer.Option("--id", help="Column to go by, unique and never empty; the primary key unless named.")
    ] = "",
    email: Annotated[str, typer.Option(help="Column of the address.")] = "email",
    subject: Annotated[str, typer.Option(help="Column of the subject id; the primary key unless named.")] = "",
    bookmark: Annotated[Path, typer.Option(help="File that says how far it has come.")] = Path("reverify.json"),
    depth: Annotated[Depth | None, typer.Option(help="How far the checks go; the gateway's default.")] = None,
    chunk: Annotated[int, typer.Option(help="Rows read at once.", min=1)] = 500,
    at_once: Annotated[int, typer.Option(help="Submissions on the way at once.", min=1, max=100)] = 8,
    url: Annotated[str | None, typer.Option(help="The gateway.", envvar="VOUCHPOST_URL")] = None,
    key: Annotated[str | None, typer.Option(help="An API key of the gateway.", envvar="VOUCHPOST_API_KEY")] = None,
) -> None:
    """Verify the addresses of existing users again, at low priority. Run it again to go on after a crash."""
    console = Console(highlight=False)
    try:
        people = people_of(_imported(rows), engine=_engine(database), key=id_, email=email, subject=subject)
        with Client(key=key, url=url) as client, _bar(console) as bar:
            task = bar.add_task("", total=people.count(), refused=0)
            progress = job.reverify(
                people,
                client=client,
                bookmark=Bookmark(bookmark, of=rows),
                depth=depth,
                chunk=chunk,
                at_once=at_once,
                told=lambda now: bar.update(task, completed=now.done, refused=now.refused),
            )
    except KeyboardInterrupt:
        console.print("Stopped. The same command goes on from here.")
        raise typer.Exit(130) from None
    except VouchpostError as error:
        more = " The same command goes on from here." if isinstance(error, ApiError | StoreUnavailableError) else ""
        console.print(Text(f"{error}{more}", style="red"), soft_wrap=True)
        raise typer.Exit(1) from error
    console.print(f"accepted {progress.accepted} · refused {progress.refused} · verdicts come as events")
    for reason, count in Counter(progress.reasons).most_common():
        console.print(Text(f"refused {count}: {reason}"), soft_wrap=True)
    if progress.refused and not progress.accepted:
        raise typer.Exit(1)


def _bar(console: Console) -> Progress:
    columns = (BarColumn(), MofNCompleteColumn(), TextColumn("refused {task.fields[refused]}"), TimeRemainingColumn())
    return Progress(*columns, console=console)


def _engine(database: str | None) -> Any:
    if database is None:
        return None
    from sqlalchemy import create_engine  # noqa: PLC0415 - not needed for Django
    from sqlalchemy.exc import SQLAlchemyError  # noqa: PLC0415

    try:
        return create_engine(database)
    except (SQLAlchemyError, ImportError) as error:  # the text may hold a password: only its kind is shown
        raise ConfigurationError(f"this is no database URL that can be used: {type(error).__name__}") from error


def _imported(place: str) -> Any:
    """The object, or what it returns when it is a function. Modules are looked for here first, as Python does."""
    module, colon, names = place.partition(":")
    if not (module and colon and names):
        raise ConfigurationError(f"{place} is not of the form module:name")
    sys.path.insert(0, "")
    if os.environ.get(_SETTINGS):
        import django  # noqa: PLC0415

        django.setup()
    with _settings_asked_for(place):
        found = _found(module, names)
        return found() if callable(found) and not hasattr(found, "values_list") else found


@contextmanager
def _settings_asked_for(place: str) -> Generator[None, None, None]:
    """Django's models cannot be imported without its settings. Where it was not imported, none of it was missing."""
    try:
        yield
    except Exception as error:
        django: Any = sys.modules.get("django.core.exceptions")
        if os.environ.get(_SETTINGS) or django is None or not isinstance(error, django.ImproperlyConfigured):
            raise
        raise ConfigurationError(f"{place} needs Django's settings: set {_SETTINGS}") from error


def _found(module: str, names: str) -> Any:
    """What the module itself cannot import is its own error, shown as it is."""
    try:
        found: Any = import_module(module)
    except ModuleNotFoundError as error:
        if error.name is None or not f"{module}.".startswith(f"{error.name}."):
            raise
        raise ConfigurationError(f"there is no module {module} here") from error
    for name in names.split("."):
        if not hasattr(found, name):
            raise ConfigurationError(f"{module} has no {names}")
        found = getattr(found, name)
    return found
