"""The faults, each a short story: what breaks, when, and when it is whole again. Those of Redis have their own file."""

import signal
import time
from typing import cast

from tests.faults.proxy import Mode
from tests.faults.redis_cases import (
    redis_answers_lost,
    redis_connections_reset,
    redis_frozen,
    redis_full,
    redis_full_and_workers_killed,
    redis_killed,
    redis_out_of_clients,
    redis_out_of_disk,
    redis_slow,
    redis_torn,
    redis_unreachable,
)
from tests.faults.scene import LEASE_S, wait_until
from tests.faults.trial import Case, Trial
from tests.rig.processes import Child
from vouchpost_gateway.ledger.bells import Queue

_REDIS_AWAY_S = 3.5  # a Redis that is down or hung is a 503 within 3 s, and a little for a busy machine
_BELLS = ("arq:*", "*bells*")


def api_killed_between_commit_and_answer(trial: Trial) -> None:
    """Redis does what it is told, but its answers are held back; so the API has committed and cannot say so."""
    trial.pause(1, 2)
    scene = trial.scene
    with scene.keeper.leaving_alone("api-1", "api-2"):
        scene.api_redis.mode = Mode.HOLD_REPLIES
        trial.pause(0.3, 0.5)
        trial.strike()
        for name in ("api-1", "api-2"):
            scene.children[name].kill()
        scene.api_redis.mode = Mode.PASS
        scene.api_redis.reset()
        scene.start("api-1", "api-2")
    trial.heal()


def api_killed(trial: Trial) -> None:
    trial.kill_and_start("api-1", down_s=0.5)


def verify_worker_killed(trial: Trial) -> None:
    """While checks wait for the name server."""
    trial.kill_and_start("verify-1", "verify-2", down_s=0.2)


def deliver_worker_killed(trial: Trial) -> None:
    """While the subscriber holds pushes that it has applied and not yet answered."""
    trial.pause(0.5, 2)
    _when_subscriber_holds(trial, 4)
    trial.kill_and_start("deliver-1", "deliver-2", down_s=0.2, wait_s=0)


def rolling_restart(trial: Trial) -> None:
    """SIGTERM to every process of the gateway, one after the other, as a deployment does."""
    trial.pause(0.5, 1)
    trial.strike()
    for name, child in trial.scene.children.items():
        if name.startswith(("api", "verify", "deliver")):
            with trial.scene.keeper.leaving_alone(name):
                took = child.stop(limit_s=25)
                trial.notes["slowest stop s"] = round(max(trial.notes.get("slowest stop s", 0), took), 1)
                trial.scene.start(name)
    trial.heal()


def bells_lost(trial: Trial) -> None:
    """Everything that arq holds in Redis vanishes again and again."""
    trial.pause(0.5, 1)
    trial.strike()
    for _ in range(12):
        trial.count("keys deleted", _delete_bells(trial))
        time.sleep(0.3)
    trial.heal()


def worker_frozen_past_its_lease(trial: Trial) -> None:
    """It wakes up believing that it still holds what others have long finished."""
    for _ in range(5):
        _when_subscriber_holds(trial, 4)
        frozen = [_busiest(trial, role) for role in ("deliver", "verify")]
        trial.strike()
        for child in frozen:
            child.freeze()
        if wait_until(lambda: _holds_what_nobody_settles(trial), limit_s=2):
            break  # else the lane went to the other worker just before, and this one froze with empty hands
        for child in frozen:
            child.thaw()
    time.sleep(LEASE_S + 1.5)
    for child in frozen:
        child.thaw()
    trial.heal()


def workers_stopped_too_soon(trial: Trial) -> None:
    """A supervisor without patience: SIGTERM, and SIGKILL before they could finish."""
    trial.pause(0.5, 2)
    names = ("verify-1", "verify-2", "deliver-1", "deliver-2")
    with trial.scene.keeper.leaving_alone(*names):
        _when_subscriber_holds(trial, 4)
        trial.strike()
        for name in names:
            trial.scene.children[name].signal(signal.SIGTERM)
        trial.pause(0, 0.05)
        for name in names:
            trial.scene.children[name].kill()
        trial.scene.start(*names)
    trial.heal()


def all_workers_away(trial: Trial) -> None:
    """What is promised meanwhile waits in its lane, and bells for nobody do not pile up."""
    trial.pause(0.5, 1)
    names = ("verify-1", "verify-2", "deliver-1", "deliver-2")
    with trial.scene.keeper.leaving_alone(*names):
        trial.strike()
        for name in names:
            trial.scene.children[name].kill()
        trial.pause(4, 8)
        with trial.scene.redis() as client:
            trial.notes["bells waiting"] = sum(cast("int", client.zcard(queue.value)) for queue in Queue)
        trial.scene.start(*names)
    trial.heal()


def subscriber_resets(trial: Trial) -> None:
    trial.pause(0.5, 1)
    trial.strike()
    for _ in range(10):
        trial.scene.subscriber_proxy.reset()
        trial.pause(0.1, 0.5)
    trial.heal()


def subscriber_hangs(trial: Trial) -> None:
    """Connections stand and nothing comes through: each push ends at its time limit."""
    trial.pause(0.5, 1)
    trial.strike()
    trial.scene.subscriber_proxy.mode = Mode.BLACKHOLE
    time.sleep(4)
    trial.scene.subscriber_proxy.mode = Mode.PASS
    trial.scene.subscriber_proxy.reset()
    trial.heal()


def subscriber_down(trial: Trial) -> None:
    trial.pause(0.5, 1)
    trial.strike()
    trial.scene.subscriber_proxy.mode = Mode.REFUSE
    trial.scene.subscriber_proxy.reset()
    time.sleep(3)
    trial.scene.subscriber_proxy.mode = Mode.PASS
    trial.heal()


def subscriber_killed(trial: Trial) -> None:
    """Between the kit's verification and its commit, or after it, as it happens."""
    trial.pause(0.5, 2)
    _when_subscriber_holds(trial, 2)
    trial.kill_and_start("subscriber", down_s=0.5, wait_s=0)


def monkey(trial: Trial) -> None:
    """Kills, freezes or ends one process after the other, whatever it is doing."""
    trial.strike()
    names = sorted(trial.scene.children)
    for _ in range(8):
        name = trial.chance.choice(names)
        child = trial.scene.children[name]
        with trial.scene.keeper.leaving_alone(name):
            if trial.chance.random() < 0.3:
                child.freeze()
                trial.pause(0.5, 3)
                child.thaw()
            else:
                child.kill()
                trial.pause(0, 1)
                trial.scene.start(name)
        trial.pause(0.3, 1.5)
    trial.heal()


def _delete_bells(trial: Trial) -> int:
    with trial.scene.redis() as client:
        keys = [key for pattern in _BELLS for key in client.scan_iter(pattern, count=1000)]
        return cast("int", client.delete(*keys)) if keys else 0


def _busiest(trial: Trial, role: str) -> Child:
    """The worker that drains the lane right now: there is one lane, and the other worker has nothing to do."""
    workers = [child for name, child in trial.scene.children.items() if name.startswith(role)]
    before = [child.cpu_seconds() for child in workers]
    time.sleep(0.3)
    spent = [child.cpu_seconds() - earlier for child, earlier in zip(workers, before, strict=True)]
    return workers[spent.index(max(spent))]


def _holds_what_nobody_settles(trial: Trial) -> bool:
    """Whether a lease of a delivery is so old that its push was answered long ago."""
    with trial.scene.redis() as client:
        seconds, _ = cast("tuple[int, int]", client.time())
        old = 1000 * (seconds + LEASE_S - 1.2)
        return any(client.zcount(key, "-inf", old) for key in client.scan_iter("*:l:d.*:f", count=1000))


def _when_subscriber_holds(trial: Trial, pushes: int) -> None:
    wait_until(lambda: trial.scene.evidence.unanswered() >= pushes, limit_s=10)


CASES = {
    case.name: case
    for case in (
        Case("api_killed_between_commit_and_answer", api_killed_between_commit_and_answer, needs_replay=True),
        Case("api_killed", api_killed),
        Case("verify_worker_killed", verify_worker_killed),
        Case("deliver_worker_killed", deliver_worker_killed, needs_redelivery=True),
        Case("redis_killed", redis_killed, answer_limit_s=_REDIS_AWAY_S),
        Case("redis_frozen", redis_frozen, load_s=8, answer_limit_s=_REDIS_AWAY_S),
        Case("rolling_restart", rolling_restart, load_s=8),
        Case("bells_lost", bells_lost),
        Case("worker_frozen_past_its_lease", worker_frozen_past_its_lease, needs_redelivery=True, load_s=11),
        Case("redis_full", redis_full, load_s=8),
        Case("redis_full_and_workers_killed", redis_full_and_workers_killed, recovery_limit_s=20),
        Case("redis_slow", redis_slow, load_s=8),
        Case("redis_torn", redis_torn, answer_limit_s=_REDIS_AWAY_S),
        Case("redis_out_of_disk", redis_out_of_disk, answer_limit_s=_REDIS_AWAY_S),
        Case("redis_out_of_clients", redis_out_of_clients, load_s=8, answer_limit_s=_REDIS_AWAY_S),
        Case("redis_unreachable", redis_unreachable, load_s=8, answer_limit_s=_REDIS_AWAY_S),
        Case("redis_connections_reset", redis_connections_reset),
        Case("redis_answers_lost", redis_answers_lost),
        Case("workers_stopped_too_soon", workers_stopped_too_soon, needs_redelivery=True),
        Case("all_workers_away", all_workers_away),
        Case("subscriber_hangs", subscriber_hangs, load_s=8),
        Case("subscriber_resets", subscriber_resets),
        Case("subscriber_down", subscriber_down, needs_redelivery=False),
        Case("subscriber_killed", subscriber_killed),
        Case("monkey", monkey, load_s=25, recovery_limit_s=60),
    )
}
