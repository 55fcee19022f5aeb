"""The watch: what must not be started on, and what turns a running process not-ready, in words that name it."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import redis

from tests.gateway.ledger.bench import PARTITIONS
from tests.redis_servers import running
from vouchpost_gateway.domain.errors import LedgerUnavailable, Misconfigured
from vouchpost_gateway.domain.readiness import Readiness
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.store import Store
from vouchpost_gateway.ledger.watch import Watch


@pytest.fixture(scope="module")
def fit_url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with running(tmp_path_factory.mktemp("watched")) as server:
        yield server.url


@pytest.fixture
def server(fit_url: str) -> Iterator[Any]:
    """Fit for a ledger and empty; whatever a test changes about it is set right again."""
    with redis.Redis.from_url(fit_url) as client:
        client.flushall()
        before = {name: value for name, value in client.config_get("*").items() if name in _CHANGED}
        yield client
        for name, value in before.items():
            client.config_set(name, value)


_CHANGED = ("appendonly", "appendfsync", "maxmemory-policy", "maxmemory", "no-appendfsync-on-rewrite")


def _watched(url: str, *steps: Callable[[], object], **how: object) -> list[Sequence[str]]:
    """What readiness says after the start and after each of these steps; () is ready."""

    async def main() -> list[Sequence[str]]:
        store = Store(url)
        watch = Watch(store, PARTITIONS, **how)  # type: ignore[arg-type]  # how a test wants it is passed through
        try:
            await watch.start()
            said = [watch.readiness().problems]
            for step in steps:
                step()
                for _ in range(6):  # settings are asked for at every fifth look
                    await watch._look()
                said.append(watch.readiness().problems)
            return said
        finally:
            await store.aclose()

    return asyncio.run(main())


def test_a_fit_ledger_is_ready_from_the_start(server: Any, fit_url: str) -> None:
    assert server.ping()
    assert _watched(fit_url) == [()]


UNFIT = [
    pytest.param("appendonly", "no", id="nothing-is-written-to-disk"),
    pytest.param("appendfsync", "everysec", id="a-second-may-be-lost"),
    pytest.param("no-appendfsync-on-rewrite", "yes", id="a-rewrite-may-be-lost"),
    pytest.param("maxmemory-policy", "allkeys-lru", id="work-is-evicted"),
]


@pytest.mark.parametrize(("setting", "value"), UNFIT)
def test_nothing_starts_on_a_ledger_that_may_lose_what_it_holds(
    server: Any, fit_url: str, setting: str, value: str
) -> None:
    server.config_set(setting, value)

    with pytest.raises(Misconfigured, match=f'{setting} is "{value}"') as refused:
        _watched(fit_url)

    assert "VOUCHPOST_ACCEPT_LOSS" in str(refused.value)
    assert _watched(fit_url, accept_loss=True) == [()]


def test_a_missing_replica_that_202s_wait_for_is_not_ready_though_loss_is_accepted(server: Any, fit_url: str) -> None:
    """Nothing is lost, but every submission would be a 503."""
    assert server.ping()

    [said] = _watched(fit_url, accept_loss=True, needs_replica=True)

    assert said == ("VOUCHPOST_DURABILITY is replica, but connected_slaves is 0: no 202 can be answered",)


@pytest.mark.parametrize(("setting", "value"), UNFIT)
def test_a_setting_that_is_flipped_turns_not_ready_by_name_and_back(
    server: Any, fit_url: str, setting: str, value: str
) -> None:
    before = str(server.config_get(setting)[setting])

    ready, unfit, again = _watched(
        fit_url, lambda: server.config_set(setting, value), lambda: server.config_set(setting, before)
    )

    assert (ready, again) == ((), ())
    assert [problem.split()[0] for problem in unfit] == [setting]


def test_memory_past_the_ceiling_turns_not_ready_until_there_is_room(server: Any, fit_url: str) -> None:
    used = int(server.info("memory")["used_memory"])

    _, full, again = _watched(
        fit_url,
        lambda: server.config_set("maxmemory", int(used * 1.1)),
        lambda: server.config_set("maxmemory", used * 10),
    )

    assert [problem for problem in full if "80% of maxmemory" in problem]
    assert again == ()


def test_a_process_starts_on_a_ledger_that_is_full(every_redis_url: str) -> None:
    """A worker that was ended is started again, and only by its work does memory become free."""
    with redis.Redis.from_url(every_redis_url) as client:
        client.flushall()
        assert _watched(every_redis_url) == [()]
        before: Any = client.config_get("maxmemory")
        client.config_set("maxmemory", 1)
        try:
            [full] = _watched(every_redis_url)
        finally:
            client.config_set("maxmemory", before["maxmemory"])

    assert [problem for problem in full if "80% of maxmemory" in problem], "started, and not ready"


def test_a_ledger_that_came_back_empty_is_told_of_until_the_process_is_started_anew(server: Any, fit_url: str) -> None:
    """And what was read of the one before is forgotten, once."""
    forgotten: list[str] = []

    _, empty, still = _watched(fit_url, server.flushall, lambda: None, replaced=lambda: forgotten.append("all"))

    assert empty == still
    assert "came back empty" in empty[0]
    assert forgotten == ["all"]
    assert _watched(fit_url) == [()], "the next process starts on what it finds"


def test_a_ledger_of_other_partitions_is_refused_with_the_number_to_set(server: Any, fit_url: str) -> None:
    server.hset(keys.META, "partitions", PARTITIONS + 1)

    with pytest.raises(Misconfigured, match=f"VOUCHPOST_PARTITIONS.* {PARTITIONS + 1}"):
        _watched(fit_url)


@pytest.mark.parametrize("name", ["oldest_reader", "oldest_writer"])
def test_a_ledger_in_a_later_format_is_refused(server: Any, fit_url: str, name: str) -> None:
    server.hset(keys.META, name, 99)

    with pytest.raises(Misconfigured, match="use a later one"):
        _watched(fit_url)


@pytest.mark.parametrize(("skew_s", "word"), [(90, "ahead of"), (-90, "behind")])
def test_a_clock_that_is_a_minute_off_the_ledgers_turns_not_ready(
    server: Any, fit_url: str, skew_s: float, word: str
) -> None:
    assert server.ping()

    [said] = _watched(fit_url, clock=lambda: time.time() + skew_s)

    assert [problem for problem in said if f"90 s {word} the ledger's" in problem]


def test_a_ledger_that_stops_answering_turns_not_ready_by_itself(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.watch._STALE_S", 0.3)

    async def main() -> tuple[bool, Sequence[str]]:
        with running(tmp_path) as server:
            store = Store(server.url, reply_limit_s=0.2)
            watch = Watch(store, PARTITIONS)
            await watch.start()
            ready = watch.readiness().ready
            server.kill()
            with pytest.raises(LedgerUnavailable):
                await watch._look()
            await asyncio.sleep(0.4)
            await store.aclose()
            return ready, watch.readiness().problems

    assert asyncio.run(main()) == (True, ("the ledger does not answer",))


def test_each_change_of_readiness_is_told_once(server: Any, fit_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.watch._INTERVAL_S", 0.01)
    told: list[Readiness] = []

    async def main() -> None:
        store = Store(fit_url)
        watch = Watch(store, PARTITIONS, changed=told.append)
        await watch.start()
        watching = asyncio.create_task(watch.forever())
        for value in ("everysec", "always"):
            server.config_set("appendfsync", value)
            await asyncio.sleep(0.5)
        watching.cancel()
        await store.aclose()

    asyncio.run(main())

    assert [readiness.ready for readiness in told] == [False, True], "and nothing of the start, which was ready"
    assert 'appendfsync is "everysec"' in told[0].problems[0]


def test_a_problem_whose_numbers_alone_change_is_no_news(server: Any, fit_url: str) -> None:
    told: list[Readiness] = []
    skew = iter(range(90, 200))

    async def main() -> None:
        store = Store(fit_url)
        watch = Watch(store, PARTITIONS, clock=lambda: time.time() + next(skew), changed=told.append)
        await watch.start()
        for _ in range(3):
            watch._tell()
            await watch._look()
        await store.aclose()

    asyncio.run(main())

    assert len(told) == 1


def test_a_start_that_waits_says_why_at_once_and_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("vouchpost_gateway.ledger.watch._START_LIMIT_S", 1)
    waiting: list[str] = []

    with pytest.raises(LedgerUnavailable):
        _watched("redis://127.0.0.1:1/0", waiting=waiting.append)

    [reason] = waiting
    assert "refused" in reason


ASKED_FOR = ("+@all", "-@admin", "-@dangerous", "+info", "+config|get")


@pytest.mark.parametrize(
    "rules",
    [
        pytest.param(("~*", "&*", "+@all", "-@scripting"), id="no-scripts"),
        pytest.param(("~*", "&*", "+@all", "-@sortedset"), id="no-lanes"),
        pytest.param(("~*", "resetchannels", "+@all"), id="no-channel"),
        pytest.param(("~other:*", "&*", "+@all"), id="no-key"),
        pytest.param(("~*", "&*", "+@all", "-info"), id="no-info"),
    ],
)
def test_a_user_who_may_not_do_what_scripts_do_is_found_out_at_the_start(
    every_redis_url: str, rules: tuple[str, ...]
) -> None:
    """Not by the first request: a script that may not publish fails after it has written."""
    with _user(every_redis_url, *rules) as url, pytest.raises(Misconfigured, match="the ACL of the user in") as refused:
        _watched(url)

    assert "VOUCHPOST_LEDGER_URL" in str(refused.value)


def test_a_user_with_the_rights_that_are_asked_for_will_do(every_redis_url: str) -> None:
    with _user(every_redis_url, "~*", "&*", *ASKED_FOR) as url:
        assert _watched(url) == [()]


@contextmanager
def _user(url: str, *rules: str) -> Iterator[str]:
    with redis.Redis.from_url(url) as client:
        client.flushall()
        client.execute_command("ACL", "SETUSER", "app", "reset", "on", ">pw", *rules)
        yield url.replace("redis://", "redis://app:pw@", 1)
        client.execute_command("ACL", "DELUSER", "app")


def test_what_is_wrong_with_the_url_is_said_at_once_and_by_its_name(fit_url: str, tmp_path: Path) -> None:
    with running(tmp_path) as other, redis.Redis.from_url(other.url) as client:
        wrong = {
            fit_url.replace("redis://", "redis://:secret-1@"): "has a password, and Redis has none",
            fit_url.replace("/0", "/99"): "names a database",
        }
        client.config_set("requirepass", "right")
        client.execute_command("AUTH", "right")
        wrong |= {
            other.url: "asks for a password",
            other.url.replace("redis://", "redis://:secret-1@"): "is wrong",
        }
        for url, words in wrong.items():
            started = time.monotonic()
            with pytest.raises(Misconfigured, match=words) as refused:
                _watched(url)
            assert time.monotonic() - started < 3, "nothing is gained by waiting"
            assert "VOUCHPOST_LEDGER_URL" in str(refused.value)
            assert "secret-1" not in str(refused.value)


def test_a_replica_is_refused_as_one(fit_url: str, tmp_path: Path) -> None:
    with running(tmp_path) as replica, redis.Redis.from_url(replica.url) as client:
        client.replicaof("127.0.0.1", int(fit_url.rpartition(":")[2].partition("/")[0]))

        with pytest.raises(Misconfigured, match="its role is replica"):
            _watched(replica.url)
