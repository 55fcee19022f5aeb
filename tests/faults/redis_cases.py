"""Faults of Redis and of the way to it: killed, hung, slow, full, out of disk or clients, torn, cut off, empty."""

import resource
import shutil
import time
from pathlib import Path
from typing import cast

from tests.faults.proxy import FaultProxy, Mode
from tests.faults.scene import Scene, wait_until
from tests.faults.trial import Trial

_TORN = b"*1\r\n$5\r\nMULTI\r\n*3\r\n$3\r\nSET\r\n$9\r\n{p00}torn"
"""The beginning of a transaction, as a machine leaves it that lost its power in the middle of a write."""


def redis_killed(trial: Trial) -> None:
    trial.kill_and_start("redis", down_s=1.0)


def redis_frozen(trial: Trial) -> None:
    trial.pause(1, 2)
    trial.strike()
    trial.scene.children["redis"].freeze()
    time.sleep(4)
    trial.scene.children["redis"].thaw()
    trial.heal()


def redis_full(trial: Trial) -> None:
    """No memory for anything new: what was promised is still finished, what is asked is refused with a date."""
    trial.pause(1, 2)
    trial.strike()
    with trial.scene.redis() as client:
        used = cast("dict[str, int]", client.info("memory"))["used_memory"]
        client.config_set("maxmemory", max(1, used - 100_000))
        time.sleep(3)
        client.config_set("maxmemory", 0)
    trial.notes["refused"] = trial.caller.asked.answers[503]
    trial.notes["refused without Retry-After"] = trial.caller.asked.refusals_without_retry_after
    trial.heal()


def redis_full_and_workers_killed(trial: Trial) -> None:
    """Whoever starts while there is no memory left must get what was promised done, for that is what frees some."""
    trial.pause(1, 2)
    workers = [name for name in trial.scene.children if name.startswith(("verify", "deliver"))]
    with trial.scene.redis() as client, trial.scene.keeper.leaving_alone(*workers):
        trial.strike()
        used = cast("dict[str, int]", client.info("memory"))["used_memory"]
        client.config_set("maxmemory", max(1, used - 100_000))
        for name in workers:
            trial.scene.children[name].kill()
        trial.scene.start(*workers)
        trial.heal()
        trial.notes["done while full"] = wait_until(lambda: not trial.open_promises(), limit_s=25)
        client.config_set("maxmemory", 0)


def redis_slow(trial: Trial) -> None:
    trial.pause(0.5, 1)
    trial.strike()
    for proxy in _to_redis(trial):
        proxy.latency_s = 0.2
        proxy.mode = Mode.SLOW
    time.sleep(4)
    for proxy in _to_redis(trial):
        proxy.mode = Mode.PASS
    trial.heal()


def redis_connections_reset(trial: Trial) -> None:
    trial.pause(0.5, 1)
    trial.strike()
    for _ in range(10):
        ended = sum(proxy.reset() for proxy in _to_redis(trial))
        trial.count("connections reset", ended)
        trial.pause(0.1, 0.5)
    trial.heal()


def redis_answers_lost(trial: Trial) -> None:
    """Whatever the processes write is written, and they never hear of it: everything is asked again."""
    trial.pause(0.5, 1)
    trial.strike()
    for _ in range(4):
        for proxy in _to_redis(trial):
            proxy.mode = Mode.HOLD_REPLIES
        trial.pause(0.1, 0.4)
        for proxy in _to_redis(trial):
            proxy.mode = Mode.PASS
            proxy.reset()
        trial.pause(0.3, 0.6)
    trial.heal()


def redis_torn(trial: Trial) -> None:
    """Its file ends in the middle of a write that nobody was answered for."""
    trial.pause(0.5, 2)
    with trial.scene.keeper.leaving_alone("redis"):
        trial.strike()
        trial.scene.children["redis"].kill()
        with _append_only_file(trial.scene).open("ab") as file:
            file.write(_TORN)
        trial.scene.start("redis")
    trial.heal()


def redis_out_of_disk(trial: Trial) -> None:
    """With `appendfsync always` it ends at once, perhaps in the middle of a write; then there is room again."""
    trial.pause(0.5, 1)
    server = trial.scene.children["redis"]
    with trial.scene.keeper.leaving_alone("redis"):
        trial.strike()
        room = _append_only_file(trial.scene).stat().st_size + trial.chance.randint(2_000, 40_000)
        resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (room, room))
        trial.notes["ended by the full disk"] = wait_until(lambda: not server.running, limit_s=10)
        server.kill()
        time.sleep(1)
        trial.scene.start("redis")
    trial.heal()


def redis_out_of_clients(trial: Trial) -> None:
    """Every connection is lost and few find a place again."""
    trial.pause(0.5, 1)
    trial.strike()
    with trial.scene.redis() as client:
        before = cast("dict[str, str]", client.config_get("maxclients"))["maxclients"]
        client.config_set("maxclients", 4)
        for _ in range(6):
            trial.count("connections reset", sum(proxy.reset() for proxy in _to_redis(trial)))
            time.sleep(0.5)
        refused = cast("dict[str, int]", client.info("stats"))["rejected_connections"]
        client.config_set("maxclients", before)
    trial.notes["connections refused"] = refused
    trial.heal()


def redis_unreachable(trial: Trial) -> None:
    """Half-open: connections stand, new ones too, and nothing comes through; no end of them says so."""
    trial.pause(0.5, 1)
    trial.strike()
    for proxy in _to_redis(trial):
        proxy.mode = Mode.BLACKHOLE
    time.sleep(4)
    for proxy in _to_redis(trial):
        proxy.mode = Mode.PASS
        proxy.reset()
    trial.heal()


def redis_empty(scene: Scene) -> bool:
    """Redis comes back without its data; whether readiness said so."""
    with scene.keeper.leaving_alone("redis"):
        scene.children["redis"].kill()
        for path in (scene.home / "redis").iterdir():
            shutil.rmtree(path) if path.is_dir() else path.unlink()
        scene.start("redis")
    return wait_until(lambda: not scene.product.is_ready(), limit_s=10)


def _append_only_file(scene: Scene) -> Path:
    """The file that Redis writes to at the moment: one of several since Redis 7."""
    found = [*(scene.home / "redis").rglob("*.incr.aof"), *(scene.home / "redis").glob("appendonly.aof")]
    return max(found, key=lambda path: path.stat().st_mtime)


def _to_redis(trial: Trial) -> tuple[FaultProxy, FaultProxy]:
    return trial.scene.api_redis, trial.scene.worker_redis
