"""`uv run python -m tests.faults [CASE…] [--seeds N]`: the fault matrix with real processes, and a table of counts.

Every run must show: lost 0, applied twice 0, unexpected 0, corrupt 0, stuck 0. A run in which no acknowledged item was
in flight at the fault is void.
"""

import argparse
import sys
from collections.abc import Iterable

from rich.console import Console
from rich.table import Table

from tests.faults.cases import CASES
from tests.faults.scene import opened
from tests.faults.trial import Case, Run, run

_COUNTS = ("promised", "redelivered", "applied", "lost", "applied_twice", "unexpected", "corrupt", "stuck")


def main() -> int:
    asked = _arguments()
    runs = [one for name in asked.cases or CASES for one in _all_seeds(CASES[name], asked.first_seed, asked.seeds)]
    Console(width=170).print(_table(runs))
    return 0 if all(one.ok for one in runs) else 1


def _all_seeds(case: Case, first: int, seeds: int) -> Iterable[Run]:
    """One scene a case: the seeds follow each other on it, so that what one leaves behind shows in the next."""
    with opened(settings=case.settings) as scene:
        for seed in range(first, first + seeds):
            done = run(case, scene, seed=seed)
            print(done, flush=True)
            yield done


def _table(runs: Iterable[Run]) -> Table:
    table = Table("case", "seed", *(name.replace("_", " ") for name in _COUNTS), "recovery s", "in flight", "")
    for one in runs:
        counts = [str(getattr(one.findings, name)) for name in _COUNTS]
        verdict = "ok" if one.ok else one.void or "RED"
        table.add_row(one.case, str(one.seed), *counts, f"{one.recovery_s:.1f}", str(one.in_flight), verdict)
    return table


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.faults", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*CASES, []], help=", ".join(CASES))
    parser.add_argument("--seeds", type=int, default=5, help="runs of each case, 5 when not said")
    parser.add_argument("--first-seed", type=int, default=1, help="to repeat a run: its seed")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
