"""One run: load, a fault at a random moment, healing, quiet, and the oracle."""

import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from itertools import count

from tests.faults.caller import Asked, Caller
from tests.faults.oracle import Findings, Whereabouts, judge
from tests.faults.scene import LEASE_S, Scene, wait_until

_numbers = count(1)


@dataclass
class Trial:
    """A run in progress, as a fault sees it: what is running, what has been asked, and what it noted on its way."""

    scene: Scene
    caller: Caller
    chance: random.Random
    notes: dict[str, float] = field(default_factory=dict)
    in_flight: int | None = None
    healed_at: float = 0.0

    def strike(self) -> None:
        """Notes how much is under way at the moment of the fault: with nothing, the run proves nothing."""
        asked = self.caller.asked
        unanswered_requests = len(asked.attempted) - len(asked.promised)
        self.in_flight = self.open_promises() + unanswered_requests + self.scene.evidence.unanswered()

    def heal(self) -> None:
        self.healed_at = time.monotonic()

    def open_promises(self) -> int:
        applied = {one.event_id[4:23] for one in self.scene.evidence.applied()}
        return len({one.stem for one in list(self.caller.asked.promised.values())} - applied)

    def pause(self, low_s: float, high_s: float) -> None:
        time.sleep(self.chance.uniform(low_s, high_s))

    def count(self, note: str, number: float) -> None:
        self.notes[note] = self.notes.get(note, 0) + number

    def kill_and_start(self, *names: str, down_s: float, wait_s: float = 2) -> None:
        """SIGKILL at a random moment, and a start once they were away for a while."""
        self.pause(wait_s / 4, wait_s)
        with self.scene.keeper.leaving_alone(*names):
            self.strike()
            for name in names:
                self.scene.children[name].kill()
            time.sleep(down_s)
            self.scene.start(*names)
        self.heal()


Fault = Callable[[Trial], None]


@dataclass(frozen=True)
class Case:
    """A fault by name, and what must be true of a run for it to prove anything."""

    name: str
    fault: Fault
    rate: float = 50
    depth: str = "domain"
    load_s: float = 6.0
    needs_redelivery: bool = False
    needs_replay: bool = False
    recovery_limit_s: float = 30.0
    answer_limit_s: float = 6.0
    settings: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Run:
    """What one run of a case showed."""

    case: str
    seed: int
    findings: Findings
    in_flight: int
    recovery_s: float
    recovery_limit_s: float
    ended_by_themselves: int
    slowest_answer_s: float
    answer_limit_s: float
    notes: Mapping[str, float]
    void: str = ""

    @property
    def ok(self) -> bool:
        in_time = self.recovery_s <= self.recovery_limit_s and self.slowest_answer_s <= self.answer_limit_s
        return self.findings.sound and in_time and not self.void

    def __str__(self) -> str:
        why = f" VOID: {self.void}" if self.void else ""
        notes = "".join(f", {name} {value:g}" for name, value in self.notes.items())
        return (
            f"{self.case} seed {self.seed}: {self.findings}; in flight at the fault {self.in_flight}, recovered after "
            f"{self.recovery_s:.1f} s (limit {self.recovery_limit_s:g} s), "
            f"slowest answer {self.slowest_answer_s:.1f} s, ended by themselves {self.ended_by_themselves}{notes}{why}"
        )


def run(case: Case, scene: Scene, *, seed: int, quiet_limit_s: float = 60) -> Run:
    """Runs a case once on a running scene and leaves the scene as healthy as the product can make it."""
    caller = Caller(
        ports=scene.api_ports,
        key=scene.tenant.key,
        name=f"{case.name}-{seed}-{next(_numbers)}",
        rate=case.rate,
        depth=case.depth,
    )
    trial = Trial(scene, caller, random.Random(f"{case.name}/{seed}"))
    before = scene.keeper.ended_by_itself.total()
    deadline = time.monotonic() + case.load_s
    caller.start()
    case.fault(trial)
    time.sleep(max(0.0, deadline - time.monotonic()))
    asked = caller.stop()
    wait_until(lambda: not trial.open_promises(), limit_s=quiet_limit_s)
    if case.needs_redelivery:  # what was sent and not settled is due again when its lease ends, and not before
        wait_until(lambda: bool(_findings(trial, asked).redelivered), limit_s=2 * LEASE_S)
    time.sleep(0.5)
    findings = _findings(trial, asked)
    return Run(
        case=case.name,
        seed=seed,
        findings=findings,
        in_flight=trial.in_flight or 0,
        recovery_s=_recovery_s(trial, asked),
        recovery_limit_s=case.recovery_limit_s,
        ended_by_themselves=scene.keeper.ended_by_itself.total() - before,
        slowest_answer_s=asked.slowest_answer_s,
        answer_limit_s=case.answer_limit_s,
        notes=trial.notes,
        void=_void(case, trial, asked, findings),
    )


def _findings(trial: Trial, asked: Asked) -> Findings:
    """Only what belongs to this run's caller counts: the scene may have served others before."""
    mine = trial.caller.name + "-"
    applied = [one for one in trial.scene.evidence.applied() if one.subject_id.startswith(mine)]
    done = {one.event_id[4:23] for one in applied}
    promised = list(asked.promised.values())
    earliest = min(asked.attempted.values(), default=0.0)
    others = {one.event_id for one in trial.scene.evidence.applied()} - {one.event_id for one in applied}
    delivered = [one for one in trial.scene.evidence.delivered() if one.at >= earliest and one.event_id not in others]
    missing: dict[str, Whereabouts] = {
        one.stem: trial.scene.where_is(one.stem) for one in promised if one.stem not in done
    }
    return judge(
        attempted=asked.attempted, promised=promised, delivered=delivered, applied=applied, whereabouts=missing
    )


def _recovery_s(trial: Trial, asked: Asked) -> float:
    """From healing until the last promise that was open at that moment was kept."""
    applied_at: dict[str, float] = {}
    for one in trial.scene.evidence.applied():
        applied_at.setdefault(one.event_id[4:23], one.at)
    late = [
        applied_at.get(one.stem, float("inf")) - trial.healed_at
        for one in asked.promised.values()
        if one.at <= trial.healed_at
    ]
    return max(0.0, *late, 0.0)


def _void(case: Case, trial: Trial, asked: Asked, findings: Findings) -> str:
    """Why the run proves nothing, if so."""
    if not trial.in_flight:
        return "nothing was in flight at the fault"
    if case.needs_redelivery and not findings.redelivered:
        return "nothing was redelivered"
    if case.needs_replay and not asked.replayed:
        return "no answer was a repeat under the same idempotency key"
    return ""
