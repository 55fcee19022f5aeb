"""What a case found, against what DESIGN section 8 asks: a JSON line, a table row, and the table of the README."""

import json
import os
import platform
import subprocess
import timeit
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from rich.table import Table

_HERE = Path(__file__).parent
RESULTS = _HERE / "results.jsonl"
README = _HERE.parents[1] / "README.md"
BEGIN, END = "<!-- figures: begin -->", "<!-- figures: end -->"


@dataclass(frozen=True)
class Result:
    """One case: its measured words for the table, whether it reached what it must, and all figures behind it."""

    case: str
    what: str
    must: str
    aim: str
    measured: str
    ok: bool
    figures: Mapping[str, Any] = field(default_factory=dict)

    def line(self, **machine: Any) -> str:
        now = datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
        return json.dumps({"at": now, **asdict(self), "machine": machine}, ensure_ascii=False)


def machine(redis_version: str = "") -> dict[str, Any]:
    """What the figures were measured on."""
    return {
        "commit": _commit(),
        "cpu": _cpu_model(),
        "cores": os.cpu_count(),
        "kernel": platform.release(),
        "python": platform.python_version(),
        "redis": redis_version,
        "load_before": round(os.getloadavg()[0], 2),
        "call_ns": _call_ns(),
    }


def table(results: Iterable[Result]) -> Table:
    shown = Table("case", "what", "must reach", "aim", "measured", "", title="Load")
    for one in results:
        shown.add_row(one.case, one.what, one.must, one.aim, one.measured, "ok" if one.ok else "RED")
    return shown


def latest(path: Path = RESULTS) -> list[dict[str, Any]]:
    """The newest line of each case, in the order in which the cases first ran."""
    newest: dict[str, dict[str, Any]] = {}
    for line in path.read_text().splitlines():
        record = json.loads(line)
        newest[record["case"]] = record
    return list(newest.values())


def markdown(records: Iterable[Mapping[str, Any]]) -> str:
    rows = list(records)
    on = rows[-1]["machine"] if rows else {}
    head = "| what | must reach | aim | measured | |\n|---|---|---|---|---|\n"
    body = "".join(
        f"| {row['what']} | {row['must']} | {row['aim']} | {row['measured']} | {_met(row)} |\n" for row in rows
    )
    where = ", ".join(f"{name} {on[name]}" for name in ("cores", "cpu", "kernel", "python", "redis") if on.get(name))
    commits = ", ".join(dict.fromkeys(row["machine"].get("commit", "") for row in rows))
    calls = [row["machine"]["call_ns"] for row in rows if "call_ns" in row["machine"]]
    speed = f"; a call of an empty Python function took {min(calls)} to {max(calls)} ns" if calls else ""
    return f"{head}{body}\nMeasured by `uv run python -m tests.load` on: {where}; commits {commits}{speed}.\n"


def write_readme(path: Path = README, results: Path = RESULTS) -> None:
    """Replaces what stands between the markers; ValueError when the README has none."""
    text = path.read_text()
    before, begin, rest = text.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not (begin and end):
        raise ValueError(f"{path} has no {BEGIN} … {END}")
    path.write_text(f"{before}{BEGIN}\n{markdown(latest(results))}{END}{after}")


def _met(row: Mapping[str, Any]) -> str:
    """Nothing for a figure of which nothing is asked."""
    if not row["must"]:
        return ""
    return "met" if row["ok"] else "**missed**"


def _call_ns() -> int:
    """How fast the machine is just now: on shared ones the same work may take twice as long an hour later."""
    calls = 100_000
    return round(min(timeit.repeat("f()", "def f(): pass", number=calls, repeat=5)) / calls * 1e9)


def _commit() -> str:
    """The commit that was measured, `-dirty` when anything but the figures themselves differs from it."""
    commit = _git("rev-parse", "--short", "HEAD")
    root = _HERE.parents[1]
    changed = _git("status", "--porcelain", "--", str(root), *(f":(exclude){kept}" for kept in (RESULTS, README)))
    return f"{commit}-dirty" if changed else commit


def _git(*arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=_HERE, capture_output=True, text=True, check=False).stdout.strip()


def _cpu_model() -> str:
    for line in Path("/proc/cpuinfo").read_text().splitlines():
        if line.startswith("model name"):
            return line.partition(":")[2].strip()
    return platform.machine()
