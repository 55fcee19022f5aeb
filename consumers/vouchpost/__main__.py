"""The `vouchpost` command. Its subcommands come from the entry-point group `vouchpost.commands`.

So the kit and the gateway meet here without importing each other, and a command is imported only when it is asked for.
"""

import errno
import os
import platform
import sys
from importlib.metadata import EntryPoint, entry_points, version
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typer.main import get_command

GROUP: Final = "vouchpost.commands"

_UNWRITABLE: Final = frozenset({errno.ENOSPC, errno.EPIPE})


class Commands(TyperGroup):
    """Every command that an installed package offers, by name."""

    def list_commands(self, ctx: Any) -> list[str]:  # noqa: ARG002 - the framework's signature
        return sorted(entry.name for entry in entry_points(group=GROUP))

    def get_command(self, ctx: Any, cmd_name: str) -> Any:  # noqa: ARG002
        for entry in entry_points(group=GROUP):
            if entry.name == cmd_name:
                return load(entry)
        return None

    def invoke(self, ctx: Any) -> Any:
        """What is wrong with an option, typer says in pydantic's words, which speak of its types."""
        try:
            return super().invoke(ctx)
        except typer.BadParameter as error:
            words = error.message.removeprefix("Value error, ").replace("Input should be", "must be")
            error.message = words.partition(", unable to")[0]
            raise


def load(entry: EntryPoint) -> Any:
    """The command behind an entry point: a function or an application of typer's, or what says why there is none."""
    try:
        found = entry.load()
    except ImportError as error:
        found = _missing(entry.name, error)
    app = found if isinstance(found, typer.Typer) else _alone(found)
    command: Any = get_command(app)
    command.name = entry.name
    return command


def _alone(function: Any) -> typer.Typer:
    app = typer.Typer(add_completion=False)
    app.command()(function)
    return app


def _say(is_asked: bool) -> None:  # noqa: FBT001  typer calls it
    if is_asked:
        typer.echo(f"vouchpost {version('vouchpost')}, Python {platform.python_version()}")
        raise typer.Exit


def _missing(name: str, error: ImportError) -> typer.Typer:
    """Stands in for a command whose package is there, but not what it needs, whatever it is called with."""

    def explain() -> None:
        typer.secho(f"`vouchpost {name}` needs the gateway: {error}.", fg="red", err=True)
        typer.secho("Install it with: pip install 'vouchpost[gateway]'", err=True)
        raise typer.Exit(1)

    app = typer.Typer(add_completion=False)
    app.command(
        help=r"(needs: pip install 'vouchpost\[gateway]')",  # help texts are markup, where brackets are tags
        context_settings={"ignore_unknown_options": True, "allow_extra_args": True},
    )(explain)
    return app


def _options(
    *, _: Annotated[bool, typer.Option("--version", is_eager=True, callback=_say, help="Say which and end.")] = False
) -> None:
    """What may stand before a command."""


def main() -> None:
    """Tracebacks show no locals, whichever command they are of: those hold keys, secrets and database URLs."""
    app = typer.Typer(cls=Commands, no_args_is_help=True, add_completion=False, pretty_exceptions_show_locals=False)
    app.callback(help="Ask whether an email address is good; get the signed verdict pushed.")(_options)
    try:
        app()
    except OSError as error:
        if error.errno not in _UNWRITABLE:
            raise
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # what is still to be written fails no more
        sys.exit(f"cannot write what there is to say: {error.strerror}")


if __name__ == "__main__":
    main()
