"""What holds for every script: it runs where there is no memory left, after a flush, and on the keys it names."""

import asyncio
import re
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from vouchpost_gateway.domain.delivery import DeliveryProgress, DeliveryState
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.ids import DeliveryRef
from vouchpost_gateway.domain.keyed import Begun, Keyed
from vouchpost_gateway.domain.lane import Claim, LaneKind, NextStep, Settlement, SettlementKind
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.verification import Depth
from vouchpost_gateway.domain.world import Mode
from vouchpost_gateway.ledger.connection import LedgerRefused
from vouchpost_gateway.ledger.keyed import KeyedRequests
from vouchpost_gateway.ledger.retention import RetentionRecords


def _delivered(claim: Claim) -> Settlement:
    progress = DeliveryProgress(DeliveryState.DELIVERED, attempt_count=1)
    return Settlement(SettlementKind.DONE, claim.item, claim.token, progress=progress)


@contextmanager
def _memory_is_full(bench: Bench) -> Iterator[None]:
    before = bench.raw.config_get("maxmemory")["maxmemory"]
    bench.raw.config_set("maxmemory", 1)
    try:
        yield
    finally:
        bench.raw.config_set("maxmemory", before)


# memory


def test_with_memory_full_nothing_new_is_accepted(bench: Bench) -> None:
    with _memory_is_full(bench), pytest.raises(LedgerRefused) as refused:
        bench.accept(stem="z" * 19)

    assert "OOM" in str(refused.value)
    assert bench.run(bench.verifications.view(bench.world, "z" * 19)) is None


def test_with_memory_full_what_was_accepted_is_verified_and_delivered(bench: Bench) -> None:
    """Claim, look, commit, settle and sweep go on: only by them does memory become free again."""
    subscription = bench.subscribe()
    stem = bench.accept().stem
    bench.lose_bell(bench.lane())
    question = Question("a@example.com", Depth.DOMAIN, Mode.LIVE)

    with _memory_is_full(bench):
        [ring] = bench.sweep()
        [claim] = bench.turn(bench.lane(), want=1, generation=ring.generation).claims
        looked = bench.verifications.look(bench.world, stem, question, "a@example.com", policy="1", lease_ms=1000)
        assert bench.run(looked) is None
        assert bench.commit(claim, [subscription.number], cache_ms=1000) == "ok"
        lane = bench.lane_of(subscription)
        delivery = bench.claim(lane)
        assert bench.turn(lane, _delivered(delivery), step=NextStep.END).answers == ("ok",)

    view = bench.run(bench.verifications.view(bench.world, stem))
    assert view is not None
    assert view.verdict is not None


@pytest.mark.parametrize(
    "step",
    [
        pytest.param(lambda bench, stem: bench.verifications.erase(bench.world, stem), id="erase"),
        pytest.param(lambda bench, stem: bench.lanes.enlist(bench.lane(), stem, queue=0), id="recheck"),
    ],
)
def test_with_memory_full_what_is_there_can_still_be_handled(
    bench: Bench, step: Callable[[Bench, str], object]
) -> None:
    stem = bench.accept().stem

    with _memory_is_full(bench):
        assert bench.run(step(bench, stem))  # type: ignore[arg-type]  # every row is a coroutine


def test_with_memory_full_a_subscription_can_be_removed(bench: Bench) -> None:
    subscription = bench.subscribe()

    with _memory_is_full(bench):
        bench.run(bench.subscriptions.remove(bench.world, subscription))

    assert bench.run(bench.subscriptions.fresh(bench.world)).by_number == {}


# known scripts


def test_a_server_that_forgot_its_scripts_is_told_them_again(bench: Bench) -> None:
    bench.accept()
    bench.raw.script_flush()

    stem = bench.accept().stem

    assert bench.run(bench.verifications.view(bench.world, stem)) is not None


def test_scripts_that_are_forgotten_under_load_cost_no_call(bench: Bench) -> None:
    async def load() -> list[int]:
        async def flush() -> None:
            for _ in range(20):
                await bench.store.ask("SCRIPT", "FLUSH")
                await asyncio.sleep(0)

        swept = (bench.lanes.sweep(partition, LaneKind) for partition in [0, 1] * 50)
        *found, _ = await asyncio.gather(*swept, flush())
        return [len(rings) for rings in found if isinstance(rings, list)]

    assert bench.run(load()) == [0] * 100


# keys


def test_every_key_that_a_script_touches_is_named_in_its_keys(bench: Bench) -> None:
    """Else it would fail on a cluster. MONITOR tells what a script calls; a name must be among those it was given."""
    seen = _monitored(bench, _everything)

    given: set[str] = set()
    unnamed = []
    for source, words in seen:
        if words[0].upper() in {"EVAL", "EVALSHA"}:
            given = set(words[3 : 3 + int(words[2])])
        elif source == "lua" and words[0].upper() not in {"TIME", "PUBLISH"} and words[1] not in given:
            unnamed.append(words)
    assert sum(source == "lua" for source, _ in seen) > 100
    assert unnamed == []


def test_all_keys_of_a_script_share_one_hash_tag(bench: Bench) -> None:
    for _, words in _monitored(bench, _everything):
        if words[0].upper() in {"EVAL", "EVALSHA"}:
            tags = {re.sub(r"}.*", "}", key) for key in words[3 : 3 + int(words[2])]}
            assert len(tags) == 1


def _everything(bench: Bench) -> None:
    """Every script, with everything it can be given."""
    one, two = bench.subscribe(), bench.subscribe()
    bench.accept(key="k")
    bench.commit(bench.claim(bench.lane()))
    ref = bench.delivered_to(one, two)
    bench.run(
        bench.verifications.look(
            bench.world, ref.stem, Question("a", Depth.DOMAIN, Mode.LIVE), "a", policy="1", lease_ms=9
        )
    )
    bench.run(bench.fanning.hand_out(bench.world, [one.number, two.number], bench.stem() + "001", 1))
    bench.announce(one)
    claims = bench.turn(bench.lane_of(one), want=2).claims
    bench.turn(bench.lane_of(one), *(_delivered(claim) for claim in claims))
    dead = bench.claim(bench.lane_of(two))
    progress = DeliveryProgress(DeliveryState.DEAD, attempt_count=1)
    bench.turn(bench.lane_of(two), Settlement(SettlementKind.DEAD, dead.item, dead.token, progress=progress))
    draw = Draw(START_MS, bytes(32))
    bench.run(bench.deliveries.resend(bench.world, DeliveryRef(ref, two.number), queue=0, now_ms=START_MS, draw=draw))
    bench.run(bench.lanes.enlist(bench.lane(), ref.stem, queue=0))
    bench.sweep()
    records = RetentionRecords(bench.store, bench.tenants, bench.verifications, bench.deliveries, bench.subscriptions)
    bench.run(records.expire(bench.world, ref.stem, START_MS))
    later = START_MS + 90_000_000
    bench.run(records.trim(bench.world, delivered_before_ms=later, dead_before_ms=later, hours_before_ms=later))
    bench.run(bench.verifications.erase(bench.world, ref.stem))
    bench.run(bench.subscriptions.remove(bench.world, bench.change(one, enabled=False)))
    bench.run(bench.subscriptions.forget_removals(bench.world, kept=0))
    keyed = KeyedRequests(bench.store, bench.tenants, lambda: draw, lambda: True)
    for end in (keyed.leave, keyed.forget, partial(keyed.answer, answer=b"done")):
        begun = bench.run(keyed.begin(bench.world, Keyed("", "/", "k", b"")))
        assert isinstance(begun, Begun)
        bench.run(end(bench.world, begun))


def _monitored(bench: Bench, work: Callable[[Bench], None]) -> list[tuple[str, list[str]]]:
    """What the server did while `work` ran: from where each command came, and its words."""
    lines: list[str] = []
    connection = bench.raw.connection_pool.get_connection()
    connection.send_command("MONITOR")
    connection.read_response()

    def listen() -> None:
        while _END not in (line := connection.read_response().decode(errors="replace")):
            lines.append(line)

    watching = threading.Thread(target=listen)
    watching.start()
    work(bench)
    bench.raw.echo(_END)
    watching.join(10)
    connection.disconnect()
    return [(_source(line), re.findall(r'"((?:[^"\\]|\\.)*)"', line)) for line in lines]


def _source(line: str) -> str:
    """`lua`, or the address of the client, out of `1700000000.123456 [0 lua] "GET" "key"`."""
    return line.split("]", 1)[0].rsplit(" ", maxsplit=1)[-1]


_END = "the end of what is watched"
