"""What every command does first and last: read the settings, set up logs, run, and say plainly why it cannot."""

import asyncio
import os
from collections.abc import Coroutine, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import typer

from vouchpost_gateway import logs
from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured, VouchpostError
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.embedded.supervisor import EXIT_MISCONFIGURED
from vouchpost_gateway.setting_types import LogFormat
from vouchpost_gateway.settings import Settings, load_settings, variable

EXIT_FAILED = 1


@contextmanager
def explained() -> Iterator[None]:
    """Ends the process with one clear message instead of a traceback; 2 when starting it again would not help."""
    try:
        yield
    except Misconfigured as error:
        raise _exit(str(error), EXIT_MISCONFIGURED) from error
    except LedgerUnavailable as error:
        raise _exit(
            f"the ledger cannot be used: {error}; is `vouchpost up`, or your Redis, running?", EXIT_FAILED
        ) from error
    except VouchpostError as error:
        raise _exit(str(error), EXIT_FAILED) from error


@contextmanager
def logging_as(role: str, settings: Settings) -> Iterator[logs.LogSink]:
    """Logs of this process, written out when it ends."""
    keys = settings.master_keys
    sink = logs.set_up(
        level=settings.log_level,
        form=settings.log_format,
        role=role,
        address_key=logs.address_key(keys[0].get_secret_value() if keys else os.urandom(32)),
    )
    try:
        yield sink
    finally:
        sink.close()


def run(main: Coroutine[Any, Any, None]) -> None:
    """Runs on uvloop where there is one: it is faster, and at the limit of open files it waits instead of spinning."""
    with asyncio.Runner(loop_factory=_loop_factory()) as runner:
        runner.run(main)


def settings_here(data_dir: Path | None = None) -> Settings:
    """The settings of a command given beside a running `up`: its ledger and master key, unless others are set."""
    settings = load_settings(**({"data_dir": data_dir} if data_dir else {}))
    home = Home(settings.data_dir)
    found: dict[str, Any] = {}
    if not _is_set("ledger_url") and home.ledger_url_file.exists():
        found["ledger_url"] = home.ledger_url_file.read_text(encoding="ascii").strip()
    if not _is_set("master_keys") and home.master_key_file.exists():
        found["master_keys"] = home.master_key_file.read_text(encoding="ascii").strip()
    return load_settings(**({"data_dir": settings.data_dir} | found))


def is_without_sandbox(settings: Settings) -> bool:
    """Whether nobody answers test keys: no sandbox is named, and there is none of an `up`."""
    return settings.sandbox_dns is None and Home(settings.data_dir).test_key() is None


NO_SANDBOX = f"{variable('sandbox_dns')} is not set: what test keys ask will end as unknown"


def no_master_keys(settings: Settings) -> str:
    """What is wrong when there is none to be found, neither set nor kept by an `up`."""
    return (
        f"{variable('master_keys')} is not set, and {Home(settings.data_dir).path} is not the data directory of "
        "a `vouchpost up`: name that with --data-dir"
    )


def with_console_logs_on_a_terminal(settings: Settings) -> Settings:
    """A person reads a terminal, unless the format was chosen."""
    if _is_set("log_format") or not os.isatty(2):
        return settings
    return settings.model_copy(update={"log_format": LogFormat.CONSOLE})


def is_ledger_given() -> bool:
    return _is_set("ledger_url")


def _is_set(name: str) -> bool:
    return bool(os.environ.get(variable(name)) or os.environ.get(f"{variable(name)}_FILE"))


def _loop_factory() -> Any:
    try:
        import uvloop  # noqa: PLC0415  not on every platform
    except ImportError:
        return None
    return uvloop.new_event_loop


def _exit(message: str, code: int) -> typer.Exit:
    typer.secho(message, fg="red", err=True)
    return typer.Exit(code)
