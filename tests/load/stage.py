"""Everything that a load case needs running: Redis, the product's processes, the receiver, the generator."""

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import httpx

from tests.load.joined import Received
from tests.load.plan import Generated, Plan, Sent, Stream
from tests.rig.processes import ROOT, Child, NotReadyError, answers
from tests.rig.product import Product, Tenant
from tests.rig.redis import connect, pings, port_of, redis_child
from vouchpost_gateway.embedded.ports import free_port

# Limits that protect an operator would end a ceiling test early; nothing that costs time is turned off.
_SETTINGS = {"BACKLOG_MAX_ITEMS": "10000000", "BACKLOG_MAX_AGE_S": "36000"}


@dataclass
class Farm:
    """The receiver's process and what it recorded."""

    child: Child
    port: int

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    def count(self) -> int:
        """Pushes to paths that answer at once; what hangs or fails is not waited for."""
        return int(self._control("count").json()["ok"])

    def records(self) -> list[Received]:
        return [Received(*record) for record in self._control("records/0").json()]

    def reset(self) -> None:
        self._control("reset")

    def wait_for(self, count: int, *, limit_s: float) -> float:
        """Seconds until so many pushes came; gives up when the limit is over, the oracle will say what is missing."""
        started = time.monotonic()
        while self.count() < count and time.monotonic() - started < limit_s:
            time.sleep(0.1)
        return time.monotonic() - started

    def _control(self, what: str) -> httpx.Response:
        return httpx.get(self.url(f"/-/{what}"), timeout=60, trust_env=False)


@dataclass
class Stage:
    """One case's machinery. Children are stopped at the end, newest first."""

    home: Path
    redis: Child
    product: Product
    farm: Farm
    children: list[Child] = field(default_factory=list)

    def start_api(self) -> Child:
        api = self._start(self.product.api())
        api.wait_until(self.product.is_ready)
        return api

    def start_worker(self, role: str, *, number: int = 1, cpus: frozenset[int] | None = None) -> Child:
        worker = self.product.worker(role, number=number)
        worker.cpus = cpus
        return self._start(worker)

    def start_all(self) -> dict[str, Child]:
        """One process each of api, verify and deliver."""
        running = {"api": self.start_api()}
        for role in ("verify", "deliver"):
            running[role] = self.start_worker(role)
        self.warm_up()
        return running

    def tenant(self, name: str) -> Tenant:
        return Tenant(self.product.url, self.product.create_key(name))

    def subscribe(self, tenant: Tenant, path: str, **fields: object) -> str:
        tenant.subscribe(self.farm.url(path), **fields)
        return path

    def warm_up(self) -> None:
        """Returns when a tenant of its own was served from end to end: every process has started."""
        tenant = self.tenant("warm-up")
        self.subscribe(tenant, "/ok/warm-up")
        sent = self.generate([Stream("start", 5, tenant.key, verification("start"))], seconds=1).sent
        if self.farm.wait_for(len(sent), limit_s=60) >= 60:
            raise NotReadyError("\n".join(child.tail() for child in self.children))
        self.farm.reset()

    def cpu(self) -> dict[str, float]:
        """CPU seconds of every process so far: what noise on the machine does not change."""
        return {child.name: child.cpu_seconds() for child in [self.redis, *self.children] if child.running}

    def memory(self) -> int:
        """Bytes of Redis that data takes: used memory without buffers of clients and of the AOF."""
        found = cast("dict[str, int]", connect(port_of(self.redis)).info("memory"))
        return found["used_memory"] - found["mem_clients_normal"] - found["mem_aof_buffer"]

    def rewrite_log(self) -> None:
        """Has Redis rewrite its log now: each 256 MB it does so anyway, and then in one half of a comparison only."""
        redis = connect(port_of(self.redis))
        redis.bgrewriteaof()  # type: ignore[no-untyped-call]  # redis-py left it out
        deadline = time.monotonic() + 60
        while cast("dict[str, int]", redis.info("persistence"))["aof_rewrite_in_progress"]:
            if time.monotonic() > deadline:
                raise NotReadyError("Redis did not end the rewrite of its log")
            time.sleep(0.1)

    def waiting(self) -> int:
        """Items of all lanes that wait for their turn or their next attempt, as Redis has them."""
        redis = connect(port_of(self.redis))
        return sum(cast("int", redis.zcard(lane)) for lane in redis.scan_iter("{p*:l:*:[012]", count=1000))

    def generate(
        self,
        streams: Sequence[Stream],
        *,
        seconds: float,
        port: int | None = None,
        grace_s: float = 10,
        connections: int = 64,
    ) -> Generated:
        """Runs the generator to its end, in a process of its own."""
        at = port or self.product.api_port
        return run_generator(self.home, streams, port=at, seconds=seconds, grace_s=grace_s, connections=connections)

    def _start(self, child: Child) -> Child:
        child.start()
        self.children.append(child)
        return child


@contextmanager
def stage(settings: Mapping[str, str] | None = None) -> Iterator[Stage]:
    with tempfile.TemporaryDirectory(prefix="vouchpost-load-") as place:
        home = Path(place)
        redis = redis_child(home)
        farm = Farm(receiver_child(home), 0)
        farm.port = int(farm.child.command[-1])
        product = Product(home, f"redis://127.0.0.1:{port_of(redis)}/0", {**_SETTINGS, **(settings or {})})
        built = Stage(home, redis, product, farm)
        try:
            redis.start()
            farm.child.start()
            redis.wait_until(lambda: pings(port_of(redis)))
            farm.child.wait_until(lambda: answers(farm.port))
            yield built
        finally:
            for child in [*reversed(built.children), farm.child, redis]:
                child.kill()


def receiver_child(home: Path) -> Child:
    command = [sys.executable, "-m", "tests.load.receiver", str(free_port())]
    return Child("receiver", command, home / "receiver.log")


def run_generator(
    home: Path, streams: Sequence[Stream], *, port: int, seconds: float, grace_s: float = 10, connections: int = 64
) -> Generated:
    plan = Plan(
        port=port,
        seconds=seconds,
        streams=tuple(streams),
        out=str(home / "sent.json"),
        grace_s=grace_s,
        connections=connections,
    )
    path = home / "plan.json"
    plan.write(path)
    subprocess.run([sys.executable, "-m", "tests.load.generator", str(path)], check=True, cwd=ROOT)
    return read_log(Path(plan.out))


def read_log(path: Path) -> Generated:
    log = json.loads(path.read_text())
    columns = zip(log["streams"], log["intended"], log["answered"], log["status"], log["stems"], strict=True)
    sent = [
        Sent(log["names"][stream], intended, answered or None, status, stem)
        for stream, intended, answered, status, stem in columns
    ]
    return Generated(sent, log["cpu_share"], log["took_s"], log["latest_send_s"])


def verification(name: str, *, priority: str = "normal") -> str:
    """A request body whose checks need no network; every request has an address and a subject of its own."""
    body = {
        "email": f"user-%d@{name}-mail.org",
        "depth": "syntax",
        "priority": priority,
        "subject_id": f"{name}-%d",
    }
    return json.dumps(body, separators=(",", ":"))
