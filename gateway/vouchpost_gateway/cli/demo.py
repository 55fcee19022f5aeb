"""`vouchpost demo`: the whole main job on this machine, with two crashes in it, and what came of every address."""

import asyncio
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated

import typer

from vouchpost_gateway import logs
from vouchpost_gateway.cli.demonstration.play import perform
from vouchpost_gateway.cli.demonstration.screen import Screen
from vouchpost_gateway.cli.demonstration.stage import Stage, plan_stage
from vouchpost_gateway.cli.demonstration.tally import Row, Totals
from vouchpost_gateway.cli.process import EXIT_FAILED, explained
from vouchpost_gateway.cli.stopping import Signals, heeded

EXIT_INTERRUPTED = 130


def demo(
    *,
    keep: Annotated[Path | None, typer.Option(help="Keep everything it writes in this new directory.")] = None,
) -> None:
    """Verifies some 200 made-up addresses, kills a worker and Redis meanwhile, and shows that nothing was lost."""
    started = time.monotonic()
    screen = Screen()
    with explained(), heeded() as signals:
        with _directory(keep) as directory:
            stage = plan_stage(directory)
            with _logging_to(directory / "demo.log", stage):
                outcome = asyncio.run(_until_told(stage, screen, signals))
        if outcome is None:
            screen.say("Stopped; every process is ended.")
            raise typer.Exit(EXIT_INTERRUPTED)
    rows, totals = outcome
    screen.table(rows)
    screen.totals(totals, took_s=time.monotonic() - started)
    raise typer.Exit(0 if totals.holds else EXIT_FAILED)


async def _until_told(stage: Stage, screen: Screen, signals: Signals) -> tuple[list[Row], Totals] | None:
    """The outcome; None when it was told to stop. Told again, it goes on stopping."""
    performing = asyncio.create_task(perform(stage, screen))
    told = asyncio.Event()
    signals.call(told.set)
    telling = asyncio.create_task(told.wait())
    await asyncio.wait([performing, telling], return_when=asyncio.FIRST_COMPLETED)
    telling.cancel()
    if not performing.done():
        performing.cancel()
        await asyncio.wait([performing])
    return None if performing.cancelled() else performing.result()


@contextmanager
def _directory(keep: Path | None) -> Iterator[Path]:
    if keep is not None:
        if keep.exists() and any(keep.iterdir()):
            raise typer.BadParameter(f"{keep} is not empty", param_hint="--keep")
        yield keep.absolute()
        return
    with tempfile.TemporaryDirectory(prefix="vouchpost-demo-", ignore_cleanup_errors=True) as made:
        yield Path(made)


@contextmanager
def _logging_to(path: Path, stage: Stage) -> Iterator[None]:
    """The screen is for the story; what this process logs goes to a file like everybody's."""
    settings = stage.machine.settings
    with path.open("ab") as file:
        sink = logs.set_up(
            level=settings.log_level,
            form=settings.log_format,
            role="demo",
            address_key=logs.address_key(settings.sealing_keys()[0]),
            descriptor=file.fileno(),
        )
        try:
            yield
        finally:
            sink.close()
