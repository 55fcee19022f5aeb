"""Everything that a fault needs to break: Redis behind a proxy, two APIs, two workers of each role, a subscriber."""

import base64
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import cast

import redis

from tests.faults.caller import Caller
from tests.faults.evidence import Evidence
from tests.faults.keeper import Keeper
from tests.faults.oracle import Whereabouts
from tests.faults.proxy import FaultProxy
from tests.rig.dns import SlowDns
from tests.rig.processes import Child, NotReadyError, answers
from tests.rig.product import Product, Tenant
from tests.rig.redis import connect, pings, port_of, redis_child
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.ledger.bells import Queue

# Shorter limits make shorter leases (7 s here), and those shorter runs; their order is that of the defaults.
_SETTINGS = {
    "PUSH_TIMEOUT_S": "2",
    "DNS_TIMEOUT_S": "0.5",
    "PUSH_IN_FLIGHT": "64",
    "DELIVERY_SCHEDULE_S": "0,0.5,0.5,1,1,1,1,2,2,2,2,2,2,2,2,2,2,2,2,2",
}
LEASE_S = 7.0
_DNS_DELAY_S = 0.1
_SUBSCRIBER_DELAY_S = 0.2
_PAIR = (1, 2)


@dataclass
class Scene:
    """A running gateway. Children: redis, subscriber, api-1 and api-2, and as many workers of each role."""

    home: Path
    product: Product
    api_redis: FaultProxy
    worker_redis: FaultProxy
    subscriber_proxy: FaultProxy
    children: dict[str, Child]
    keeper: Keeper
    evidence: Evidence
    secret: str
    tenant: Tenant

    @property
    def api_ports(self) -> list[int]:
        return [int(self.children[f"api-{number}"].env["VOUCHPOST_API_PORT"]) for number in _PAIR]

    def redis(self) -> redis.Redis:
        return connect(port_of(self.children["redis"]))

    def start(self, *names: str) -> None:
        """Starts children side by side and returns once all are ready to serve."""
        for name in names:
            self.children[name].start()
        for name in names:
            self.wait_ready(name)

    def wait_ready(self, name: str) -> None:
        child = self.children[name]
        if name == "redis":
            child.wait_until(lambda: pings(port_of(child)))
        elif name.startswith("api"):
            child.wait_until(lambda: self.product.is_ready(int(child.env["VOUCHPOST_API_PORT"])))
        elif name == "subscriber":
            child.wait_until(lambda: answers(int(child.env["SUBSCRIBER_PORT"])))
        else:
            child.wait_until(lambda: self._all_listen(name.partition("-")[0]))

    def _all_listen(self, role: str) -> bool:
        """Whether every worker of this role that runs has begun to listen for its bells."""
        running = sum(child.running for name, child in self.children.items() if name.startswith(role))
        with self.redis() as client:
            try:
                [(_, listening)] = cast("list[tuple[bytes, int]]", client.pubsub_numsub(Queue[role.upper()].channel))
            except (redis.RedisError, OSError):
                return False
        return listening >= running

    def sign_up(self, name: str) -> None:
        """From here on the scene is about a new tenant with one subscription, whose secret the subscriber knows."""
        self.tenant = Tenant(self.product.url, self.product.create_key(name))
        self.tenant.subscribe(f"http://127.0.0.1:{self.subscriber_proxy.port}/events", secret=self.secret)

    def logs(self) -> str:
        """The end of every process's log, for the message of a test that failed."""
        return "\n".join(f"--- {name}{child.tail(8)}" for name, child in self.children.items())

    def where_is(self, stem: str) -> Whereabouts:
        """The API's own word on a promised verification that was not applied."""
        answer = self.tenant.get(f"/v1/verifications/vrf_{stem}0000000")
        if answer.status_code == 404:
            return Whereabouts.NOWHERE
        dead = self.tenant.get("/v1/dead-letters?kind=delivery&limit=100")
        if dead.status_code == 200 and stem in dead.text:
            return Whereabouts.DEAD_LETTER
        return Whereabouts.PENDING


@contextmanager
def opened(*, settings: Mapping[str, str] | None = None, skip_every: int = 0) -> Iterator[Scene]:
    """A scene with everything started and ready; everything is ended with it.

    With `skip_every` the subscriber answers 200 to every so many pushes without applying them: the negative control.
    """
    with tempfile.TemporaryDirectory(prefix="vouchpost-faults-") as place:
        home = Path(place)
        redis_server = redis_child(home)
        dns = SlowDns(delay_s=_DNS_DELAY_S)
        api_redis, worker_redis = (FaultProxy(port_of(redis_server)) for _ in range(2))
        subscriber = _subscriber(home, secret := new_secret(), skip_every=skip_every)
        subscriber_proxy = FaultProxy(int(subscriber.env["SUBSCRIBER_PORT"]))
        changed = {**_SETTINGS, "SANDBOX_DNS": f"127.0.0.1:{dns.port}", **(settings or {})}
        product = Product(home, f"redis://127.0.0.1:{port_of(redis_server)}/0", changed)
        children = _children(product, redis_server, subscriber, api_redis, worker_redis)
        keeper = Keeper(children)
        scene = Scene(
            home=home,
            product=product,
            api_redis=api_redis,
            worker_redis=worker_redis,
            subscriber_proxy=subscriber_proxy,
            children=children,
            keeper=keeper,
            evidence=Evidence(home),
            tenant=Tenant("", ""),
            secret=secret,
        )
        try:
            _start(scene)
            yield scene
        finally:
            keeper.finish()
            for child in reversed(children.values()):
                child.thaw()
                child.kill()
            for part in (api_redis, worker_redis, subscriber_proxy, dns):
                part.close()


def wait_until(holds: Callable[[], bool], *, limit_s: float) -> bool:
    """Whether it held before the time was over."""
    deadline = time.monotonic() + limit_s
    while not holds():
        if time.monotonic() > deadline:
            return False
        time.sleep(0.05)
    return True


def new_secret() -> str:
    return "whsec_" + base64.b64encode(os.urandom(32)).decode()


def _children(
    product: Product, redis_server: Child, subscriber: Child, api_redis: FaultProxy, worker_redis: FaultProxy
) -> dict[str, Child]:
    """APIs and workers reach Redis through proxies, so that they can be cut off from the answers of what it does."""
    for_api, for_workers = (f"redis://127.0.0.1:{proxy.port}/0" for proxy in (api_redis, worker_redis))
    ports = {1: product.api_port, 2: free_port()}
    apis = [product.api(number=number, port=ports[number], ledger_url=for_api) for number in _PAIR]
    workers = [
        product.worker(role, number=number, ledger_url=for_workers)
        for role in ("verify", "deliver")
        for number in _PAIR
    ]
    return {child.name: child for child in [redis_server, subscriber, *apis, *workers]}


def _subscriber(home: Path, secret: str, *, skip_every: int) -> Child:
    env = {
        "SUBSCRIBER_HOME": str(home),
        "SUBSCRIBER_PORT": str(free_port()),
        "SUBSCRIBER_SECRET": secret,
        "SUBSCRIBER_DELAY_S": str(_SUBSCRIBER_DELAY_S),
        "SUBSCRIBER_SKIP_EVERY": str(skip_every),
    }
    return Child("subscriber", [sys.executable, "-m", "tests.faults.subscriber"], home / "subscriber.log", env=env)


def _start(scene: Scene) -> None:
    scene.start("redis")
    scene.start("subscriber", "api-1", "api-2")
    scene.sign_up("acme")
    scene.start(*(name for name in scene.children if name.startswith(("verify", "deliver"))))
    scene.keeper.start()
    _warm_up(scene)


def _warm_up(scene: Scene) -> None:
    """Returns when a first verification went the whole way: every process has started and found the others."""
    caller = Caller(ports=scene.api_ports, key=scene.tenant.key, name="warm-up", rate=5)
    caller.start()
    served = wait_until(lambda: bool(scene.evidence.applied()), limit_s=60)
    asked = caller.stop()
    if not served:
        raise NotReadyError(f"nothing was delivered within 60 s\n{scene.logs()}")
    wait_until(lambda: len(scene.evidence.applied()) >= len(asked.promised), limit_s=20)
