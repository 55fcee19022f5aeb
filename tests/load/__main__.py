"""`uv run python -m tests.load [CASE…] [--seconds N] [--write-readme]`: load cases, one process each for all parts.

Every case prints a JSON line, and the run ends with a table against DESIGN section 8. Lines are appended to
`tests/load/results.jsonl`; the README's figures are the newest line of each case.
"""

import argparse
import sys
from collections.abc import Callable

from rich.console import Console

from tests.load.cases import accept, checks, drain, endtoend, fairness, hanging, idle, selftest, size
from tests.load.report import RESULTS, Result, machine, table, write_readme
from tests.rig.redis import server_version

CASES: dict[str, Callable[[float], Result]] = {
    "selftest_stall": selftest.stall,
    "selftest_oracle": selftest.negative_control,
    "accept": accept.ceiling,
    "drain": drain.backlog,
    "endtoend": endtoend.steady,
    "knee": endtoend.knee,
    "idle_latency": idle.latency,
    "idle_cost": idle.cost,
    "hanging_one": hanging.one_of_twenty,
    "hanging_300": hanging.three_hundred,
    "memory": size.memory,
    "growth_subscriptions": size.subscriptions,
    "growth_backlog": size.backlog,
    "priority": fairness.priority,
    "tenants": fairness.tenants,
    "checks_syntax": checks.syntax,
    "checks_warm": checks.warm,
    "checks_cold": checks.cold,
    "checks_mailbox": checks.mailbox,
    "checks_hanging": checks.hanging,
}


def main() -> int:
    asked = _arguments()
    results = [_run(name, asked.seconds) for name in asked.cases or ([] if asked.write_readme else CASES)]
    if results:
        Console(width=150).print(table(results))
    if asked.write_readme:
        write_readme()
    return 0 if all(result.ok for result in results) else 1


def _run(name: str, seconds: float) -> Result:
    on = machine(server_version())
    result = CASES[name](seconds)
    line = result.line(**on)
    print(line, flush=True)
    with RESULTS.open("a") as results:
        results.write(line + "\n")
    return result


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.load", description=__doc__)
    parser.add_argument("cases", nargs="*", metavar="CASE", choices=[*CASES, []], help=", ".join(CASES))
    parser.add_argument("--seconds", type=float, default=60, help="length of each load; 60 is what the figures mean")
    parser.add_argument("--write-readme", action="store_true", help="print the newest results into README.md")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
