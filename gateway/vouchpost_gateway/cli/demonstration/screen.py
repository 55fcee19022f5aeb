"""What the demo shows: progress while it runs, a table and a line of totals at its end."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TaskID, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from vouchpost_gateway.cli.demonstration.addresses import masked
from vouchpost_gateway.cli.demonstration.tally import Row, Totals

_WIDTH = 100
_COLOURS = {"valid": "green", "risky": "yellow", "invalid": "red", "unknown": "blue"}


class Screen:
    """A terminal, or plain lines where there is none."""

    def __init__(self, console: Console | None = None) -> None:
        self._console = console or Console(highlight=False)
        if not self._console.is_terminal:
            self._console.width = _WIDTH
        columns = (TextColumn("{task.description:<22}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        self._progress = Progress(*columns, console=self._console, disable=not self._console.is_terminal)
        self._bars: dict[str, TaskID] = {}

    @contextmanager
    def bars(self, totals: dict[str, int]) -> Iterator[None]:
        """A progress bar per name, while the block runs."""
        with self._progress:
            self._bars = {name: self._progress.add_task(name, total=total) for name, total in totals.items()}
            yield

    def done(self, name: str, count: int) -> None:
        self._progress.update(self._bars[name], completed=count)

    def say(self, text: str) -> None:
        """A line above the bars."""
        self._progress.console.print(Text(text))

    def table(self, rows: Sequence[Row]) -> None:
        table = Table("address", "status", "reason", "applied by", box=None, pad_edge=False, collapse_padding=True)
        table.add_column("accept →\napplied", justify="right")
        for row in rows:
            took = "" if row.took_ms is None else f"{row.took_ms / 1000:.2f} s"
            status = Text(row.status, _COLOURS.get(row.status, "bold red"))
            table.add_row(Text(masked(row.address)), status, row.reason_code, " ".join(row.subscribers), took)
        self._console.print(table)

    def totals(self, totals: Totals, *, took_s: float) -> None:
        line = (
            f"acknowledged {totals.acknowledged} · delivered {totals.delivered}"
            f" · redelivered after the kills {totals.redelivered} · applied {totals.applied}"
            f" · applied twice {totals.twice} · lost {totals.lost}"
        )
        self._console.print()
        self._console.print(Text(line, "bold green" if totals.holds else "bold red"), soft_wrap=True)
        verdict = "every promise held" if totals.holds else f"NOT every promise held ({'; '.join(totals.flaws)})"
        self._console.print(Text(f"{verdict}, in {took_s:.0f} s"), soft_wrap=True)
