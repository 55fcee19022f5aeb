"""`vouchpost lists`: which lists verdicts are judged by, and newer or further ones from files. No network."""

import sys
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console
from rich.table import Table

from vouchpost_gateway.checks.list_file import SourceList, checked, parse_names, remove_list, write_list
from vouchpost_gateway.checks.lists import DomainLists
from vouchpost_gateway.cli.process import explained, settings_here
from vouchpost_gateway.cli.world import shown
from vouchpost_gateway.domain.errors import Misconfigured

app = typer.Typer(
    no_args_is_help=True, add_completion=False, help="Lists of disposable domains, with where they are from."
)

_NEXT = "Workers read lists when they start: restart them."


@app.command()
def show() -> None:
    """Says which lists there are, what each is worth, and the version that verdicts carry."""
    with explained():
        lists = DomainLists.at(settings_here().lists_dir)
    table = Table("list", "version", "worth", "names", box=None)
    for source in lists.sources:
        table.add_row(shown(source.name), shown(source.version), f"{source.quality:g}", f"{len(source.names):,}")
    table.add_row("alias relays", "", "", f"{len(lists.alias_relays):,}")
    table.add_row("free providers", "", "", f"{len(lists.free_providers):,}")
    console = Console(highlight=False)
    console.print(table)
    console.print(f"version {lists.version}")


@app.command()
def add(
    file: Annotated[Path, typer.Argument(help="A domain a line; - reads standard input.", allow_dash=True)],
    *,
    name: Annotated[
        str, typer.Option(help="Whose list it is; `disposable-email-domains` replaces the packaged one by a newer.")
    ],
    quality: Annotated[
        float, typer.Option(help="What its word is worth, 0 to 1: 0.75 flags alone, less needs another list to agree.")
    ] = 0.6,
    version: Annotated[str, typer.Option(help="The list's own version; today's date if none is given.")] = "",
) -> None:
    """Takes a list over into VOUCHPOST_LISTS_DIR, in place of an older one of that name."""
    with explained():
        directory = _directory()
        names, refused = parse_names(_lines(file))
        if not names:
            raise Misconfigured(f"{file} holds no domain")
        source = checked(SourceList(name, quality, version or f"{datetime.now(UTC):%Y-%m-%d}", names))
        path = write_list(directory, source)
    typer.echo(f"{path}: {len(names):,} domains, {refused:,} lines that are none. {_NEXT}")


@app.command()
def remove(name: Annotated[str, typer.Argument(help="The list's name.")]) -> None:
    """Forgets a list that was added."""
    with explained():
        if not remove_list(_directory(), name):
            raise Misconfigured(f"there is no list {name} in VOUCHPOST_LISTS_DIR")
    typer.echo(f"{name} is removed. {_NEXT}")


def _directory() -> Path:
    directory = settings_here().lists_dir
    if directory is None:
        raise Misconfigured("VOUCHPOST_LISTS_DIR is not set: it names the directory that lists are kept in")
    return directory


def _lines(file: Path) -> Iterable[str]:
    try:
        text = sys.stdin.read() if str(file) == "-" else file.read_text("utf-8")
    except (OSError, UnicodeError) as error:
        raise Misconfigured(f"{file} cannot be read as UTF-8 text") from error
    return text.splitlines()
