"""A real Redis Cluster of three nodes: every script runs, and goes on when its slot moves or its node restarts."""

import asyncio
import base64
import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.gateway.ledger.bench import MASTER_KEY, START_MS, Bench
from tests.redis_servers import servers
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.ids import DeliveryRef
from vouchpost_gateway.domain.lane import Claim, LaneLimits, Settlement, SettlementKind
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.store import slot_of
from vouchpost_gateway.settings import load_settings
from vouchpost_gateway.wiring import opened

SLOTS = 16384


@dataclass
class Node:
    """One server of the cluster, which can be ended and started again on its data."""

    home: Path
    binary: Path
    port: int = field(default_factory=free_port)
    bus: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        self.home.mkdir(exist_ok=True)
        options = {
            "port": self.port,
            "bind": "127.0.0.1",
            "dir": self.home,
            "cluster-enabled": "yes",
            "cluster-node-timeout": 2000,
            "cluster-port": self.bus,
            "cluster-require-full-coverage": "no",
            "appendonly": "yes",
            "appendfsync": "no",
            "save": "",
        }
        words = [word for name, value in options.items() for word in (f"--{name}", str(value))]
        self.process = subprocess.Popen([str(self.binary), *words], stdout=subprocess.DEVNULL)
        _until(self._answers)

    def _answers(self) -> bool:
        with contextlib.suppress(redis.RedisError):
            return bool(self.client.ping())
        return False

    @property
    def client(self) -> Any:
        return redis.Redis(port=self.port, socket_timeout=5)

    @property
    def id(self) -> str:
        return str(self.client.execute_command("CLUSTER MYID").decode())

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()


class Cluster:
    """Three nodes with the slots spread evenly, and slots that move by hand."""

    def __init__(self, nodes: list[Node]) -> None:
        self.nodes = nodes

    @property
    def url(self) -> str:
        return f"redis://127.0.0.1:{self.nodes[0].port}/0"

    def form(self) -> None:
        bounds = [0, SLOTS // 3, 2 * SLOTS // 3, SLOTS]
        for node, first, after in zip(self.nodes, bounds[:-1], bounds[1:], strict=True):
            node.client.execute_command("CLUSTER ADDSLOTSRANGE", first, after - 1)
        for node in self.nodes[1:]:
            node.client.execute_command("CLUSTER MEET", "127.0.0.1", self.nodes[0].port, self.nodes[0].bus)
        for node in self.nodes:
            _until(lambda node=node: self._knows_all(node))

    def _knows_all(self, node: Node) -> bool:
        info = node.client.execute_command("CLUSTER INFO")
        text = info.decode() if isinstance(info, bytes) else " ".join(f"{k}:{v}" for k, v in info.items())
        return "cluster_state:ok" in text and "cluster_slots_assigned:16384" in text

    def owner(self, slot: int) -> Node:
        for first, last, (_, port, *_), *_ in _slots(self.nodes[0]):
            if first <= slot <= last:
                return next(node for node in self.nodes if node.port == port)
        raise LookupError(slot)

    def begin_to_move(self, slot: int) -> tuple[Node, Node]:
        source = self.owner(slot)
        target = next(node for node in self.nodes if node is not source)
        target.client.execute_command("CLUSTER SETSLOT", slot, "IMPORTING", source.id)
        source.client.execute_command("CLUSTER SETSLOT", slot, "MIGRATING", target.id)
        return source, target

    def move_keys(self, slot: int, source: Node, target: Node, *, limit: int = 10_000) -> None:
        names = source.client.execute_command("CLUSTER GETKEYSINSLOT", slot, limit)
        if names:
            source.client.execute_command("MIGRATE", "127.0.0.1", target.port, "", 0, 5000, "KEYS", *names)

    def finish(self, slot: int, target: Node) -> None:
        for node in [target, *(node for node in self.nodes if node is not target)]:
            node.client.execute_command("CLUSTER SETSLOT", slot, "NODE", target.id)


def _slots(node: Node) -> Any:
    client = node.client
    client.response_callbacks.clear()
    return client.execute_command("CLUSTER SLOTS")


def _until(holds: Any, *, limit_s: float = 20) -> None:
    deadline = time.monotonic() + limit_s
    while not holds():
        assert time.monotonic() < deadline
        time.sleep(0.05)


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    label = next((name for name in servers() if name.startswith("redis-8")), None)
    if label is None:
        pytest.skip("no server here whose slots move by hand")
    home = tmp_path_factory.mktemp("cluster")
    nodes = [Node(home / str(number), servers()[label].path) for number in range(3)]
    try:
        for node in nodes:
            node.start()
        made = Cluster(nodes)
        made.form()
        yield made
    finally:
        for node in nodes:
            node.kill()


@pytest.fixture
def bench(cluster: Cluster) -> Iterator[Bench]:
    for node in cluster.nodes:
        node.client.flushall()
    with Bench(cluster.url, raw=redis.RedisCluster(host="127.0.0.1", port=cluster.nodes[0].port)) as made:
        yield made


def _delivered(claim: Claim) -> Settlement:
    progress = DeliveryProgress(DeliveryState.DELIVERED, attempt_count=1)
    return Settlement(SettlementKind.DONE, claim.item, claim.token, progress=progress)


def _slot(bench: Bench) -> int:
    return slot_of(keys.world_prefix(bench.world))


def test_the_slot_of_a_key_is_the_one_that_the_servers_say(cluster: Cluster) -> None:
    client = cluster.nodes[0].client
    for key in ("{p07}0001l:r:x", "plain", "{}x", "a{b}c{d}", "{{x}}", "}{", "{p00", ""):
        assert slot_of(key) == client.execute_command("CLUSTER KEYSLOT", key)


def test_partitions_lie_on_more_than_one_node(cluster: Cluster) -> None:
    owners = {cluster.owner(slot_of(keys.partition_prefix(partition))).port for partition in range(16)}

    assert len(owners) == 3


def test_every_script_runs_wherever_its_partition_lies(bench: Bench) -> None:
    for name in ("one", "two"):
        bench.world = bench.new_world(name)
        one, two = bench.subscribe(), bench.subscribe()
        ref = bench.delivered_to(one, two)
        bench.announce(one)
        claims = bench.turn(bench.lane_of(one), want=1).claims
        assert bench.turn(bench.lane_of(one), *(_delivered(claim) for claim in claims)).answers == ("ok",)
        bench.run(bench.lanes.enlist(bench.lane(), ref.stem, queue=0))
        resent, draw = DeliveryRef(ref, one.number), Draw(START_MS, bytes(32))
        bench.run(bench.deliveries.resend(bench.world, resent, queue=0, now_ms=START_MS, draw=draw))
        bench.lose_bell(bench.lane_of(two))
        assert bench.lane_of(two).id in {ring.lane_id for ring in bench.sweep()}
        bench.run(bench.subscriptions.remove(bench.world, two))
        bench.run(bench.subscriptions.forget_removals(bench.world, kept=0))
        assert bench.run(bench.verifications.erase(bench.world, ref.stem))


def test_a_slot_that_was_moved_is_followed(bench: Bench, cluster: Cluster) -> None:
    """MOVED: the map is out of date, and learned anew."""
    stem = bench.accept().stem
    source, target = cluster.begin_to_move(_slot(bench))
    cluster.move_keys(_slot(bench), source, target)
    cluster.finish(_slot(bench), target)

    assert bench.claim(bench.lane()).item == stem
    assert bench.accept().sequence


def test_a_slot_on_its_way_is_asked_for_where_its_keys_are(bench: Bench, cluster: Cluster) -> None:
    """ASK: single keys that have gone ahead are found."""
    stem = bench.accept().stem
    source, target = cluster.begin_to_move(_slot(bench))
    cluster.move_keys(_slot(bench), source, target)
    try:
        views = [bench.run(bench.verifications.view(bench.world, stem)) for _ in range(20)]
        assert all(view is not None for view in views)
    finally:
        cluster.finish(_slot(bench), target)


def test_scripts_go_on_when_the_resharding_of_their_slot_ends(bench: Bench, cluster: Cluster) -> None:
    """TRYAGAIN: with keys on both sides no script can run; it is tried again until the move is over."""
    stems = {bench.accept().stem for _ in range(5)}
    slot = _slot(bench)
    source, target = cluster.begin_to_move(slot)
    cluster.move_keys(slot, source, target, limit=4)

    async def while_it_moves() -> Any:
        accepting = asyncio.create_task(
            bench.lanes.turn(bench.lane(), bench.rung(bench.lane()), limits=LaneLimits(60_000, 16), want=16)
        )
        await asyncio.sleep(0.1)
        assert not accepting.done()
        await asyncio.to_thread(cluster.move_keys, slot, source, target)
        await asyncio.to_thread(cluster.finish, slot, target)
        return await accepting

    turn = bench.run(while_it_moves())

    assert {claim.item for claim in turn.claims} == stems


def test_a_resharding_that_stands_still_is_unavailable_in_time_and_loses_nothing(
    bench: Bench, cluster: Cluster
) -> None:
    stem = bench.accept().stem
    slot = _slot(bench)
    source, target = cluster.begin_to_move(slot)
    cluster.move_keys(slot, source, target, limit=3)
    started = time.monotonic()
    try:
        with pytest.raises(LedgerUnavailable):
            bench.accept()
        assert time.monotonic() - started < 3
    finally:
        cluster.move_keys(slot, source, target)
        cluster.finish(slot, target)

    assert stem in bench.run(bench.verifications.stems(bench.world, after=None, limit=10))


def test_work_goes_on_while_slots_move_back_and_forth(bench: Bench, cluster: Cluster) -> None:
    """Nothing that was accepted is lost, and everything is claimed once."""
    slot = _slot(bench)
    accepted: set[str] = set()

    async def accept_all() -> None:
        for _ in range(60):
            stem = bench.stem()
            made, _ = await bench.verifications.accept(bench.world, stem, bench.new(), idempotency_key=None, body=b"")
            accepted.add(made.stem)

    async def move() -> None:
        for _ in range(3):
            source, target = await asyncio.to_thread(cluster.begin_to_move, slot)
            await asyncio.to_thread(cluster.move_keys, slot, source, target)
            await asyncio.to_thread(cluster.move_keys, slot, source, target)
            await asyncio.to_thread(cluster.finish, slot, target)
            await asyncio.sleep(0.05)

    async def both() -> None:
        await asyncio.gather(accept_all(), move())

    bench.run(both())

    claimed = [claim.item for _ in range(10) for claim in bench.turn(bench.lane(), want=16, limits=_WIDE).claims]
    assert sorted(claimed) == sorted(accepted)
    assert len(accepted) == 60


_WIDE = LaneLimits(lease_ms=60_000, lane_cap=1000)


def test_a_node_that_was_restarted_is_found_again_with_its_data(bench: Bench, cluster: Cluster) -> None:
    stem = bench.accept().stem
    node = cluster.owner(_slot(bench))
    assert node.process is not None
    os.kill(node.process.pid, signal.SIGKILL)
    node.process.wait()
    with pytest.raises(LedgerUnavailable):
        bench.accept()

    node.start()
    _until(lambda: cluster._knows_all(node))

    assert bench.claim(bench.lane()).item == stem


def test_a_process_opens_on_a_cluster_with_its_bells_elsewhere(bench: Bench, redis_url: str) -> None:
    """Arq knows no cluster, so bells have a URL of their own."""
    settings = load_settings(
        ledger_url=bench.url,
        bells_url=redis_url,
        master_keys=base64.b64encode(MASTER_KEY).decode(),
        accept_loss=True,
    )
    with redis.Redis.from_url(redis_url) as bells:
        bells.flushall()

    async def main() -> tuple[int, bool]:
        async with opened(settings) as gateway:
            worlds = [
                (await gateway.tenants.create(f"on-a-cluster-{number}", now_ms=START_MS)).world(Mode.LIVE)
                for number in range(6)
            ]
            accept = gateway.services.verifications.accept
            made = [await accept(world, bench.new(), idempotency_key=None, body=b"") for world in worlds]
            found = [
                await gateway.services.verifications.get(world, accepted.stem)
                for world, accepted in zip(worlds, made, strict=True)
            ]
            await asyncio.sleep(0.1)
            return len(found), gateway.watch.readiness().ready

    assert bench.run(main()) == (6, True)
    with redis.Redis.from_url(redis_url) as bells:
        assert bells.zcard("arq:vouchpost:verify") == 6
