from collections.abc import Iterator
from typing import Any

import pytest
import redis

from vouchpost_gateway.embedded.redis_server import EmbeddedRedis
from vouchpost_gateway.ledger.fitness import CONFIG_NAMES, Problem, broken, parse_config, parse_info, problems

INFO = {
    "redis_version": "7.2.4",
    "role": "master",
    "loading": "0",
    "aof_enabled": "1",
    "aof_last_write_status": "ok",
    "aof_last_bgrewrite_status": "ok",
    "maxmemory": str(2 * 1024**3),
    "maxmemory_policy": "noeviction",
    "total_system_memory": str(8 * 1024**3),
    "used_memory": str(1024**3),
    "connected_slaves": "0",
}
CONFIG = {
    "appendonly": "yes",
    "appendfsync": "always",
    "no-appendfsync-on-rewrite": "no",
    "maxmemory": str(2 * 1024**3),
    "maxmemory-policy": "noeviction",
}


@pytest.fixture
def asked(every_redis: EmbeddedRedis) -> Iterator[redis.Redis]:
    """A real server, put back as it was."""
    with redis.Redis.from_url(every_redis.url) as client:
        client.response_callbacks.clear()  # the raw replies are what is read
        before = _config(client)
        yield client
        for name, value in before.items():
            client.config_set(name, value)


def _config(client: redis.Redis) -> dict[str, str]:
    config: dict[str, str] = {}
    for name in CONFIG_NAMES:
        config |= parse_config(_raw(client, "CONFIG", "GET", name))
    return config


def _look(client: redis.Redis) -> tuple[Problem, ...]:
    return problems(info=parse_info(_raw(client, "INFO")), config=_config(client))


def _raw(client: redis.Redis, *command: str) -> Any:
    return client.execute_command(*command)  # type: ignore[no-untyped-call]


def test_the_embedded_server_is_fit(asked: redis.Redis) -> None:
    assert broken(_look(asked)) == ()


@pytest.mark.parametrize(
    ("setting", "value", "words"),
    [
        ("appendonly", "no", 'appendonly is "no": accepted work is lost with the process; set it to yes'),
        ("appendfsync", "everysec", 'appendfsync is "everysec": accepted work may be lost with the machine'),
        ("maxmemory-policy", "allkeys-lru", 'maxmemory-policy is "allkeys-lru": accepted work is evicted'),
        ("no-appendfsync-on-rewrite", "yes", 'no-appendfsync-on-rewrite is "yes": during a rewrite'),
    ],
)
def test_a_setting_that_is_flipped_at_run_time_is_named(
    asked: redis.Redis, setting: str, value: str, words: str
) -> None:
    asked.config_set(setting, value)

    [problem] = broken(_look(asked))

    assert problem.setting == setting
    assert str(problem).startswith(words)


def test_no_memory_limit_is_said_but_breaks_nothing(asked: redis.Redis) -> None:
    asked.config_set("maxmemory", "0")

    found = _look(asked)

    assert broken(found) == ()
    assert "maxmemory is 0" in " ".join(map(str, found))


def test_a_fit_server_has_no_problems() -> None:
    assert problems(info=INFO, config=CONFIG) == ()


@pytest.mark.parametrize(
    ("info", "setting", "breaks"),
    [
        pytest.param({"redis_version": "6.0.16"}, "redis_version", True, id="too-old"),
        pytest.param({"redis_version": ""}, "redis_version", True, id="not-a-redis"),
        pytest.param({"role": "slave"}, "role", True, id="a-replica"),
        pytest.param({"loading": "1"}, "loading", True, id="loading"),
        pytest.param({"aof_last_write_status": "err"}, "aof_last_write_status", True, id="disk-full"),
        pytest.param({"aof_last_bgrewrite_status": "err"}, "aof_last_bgrewrite_status", False, id="no-rewrite"),
        pytest.param({"total_system_memory": str(3 * 1024**3 - 1)}, "maxmemory", False, id="no-room-for-a-rewrite"),
        pytest.param({"used_memory": str(int(1.7 * 1024**3))}, "used_memory", False, id="nearly-full"),
        pytest.param({"maxmemory": "0"}, "maxmemory", False, id="no-limit"),
    ],
)
def test_what_info_tells_is_judged(info: dict[str, str], setting: str, breaks: bool) -> None:  # noqa: FBT001
    [problem] = problems(info=INFO | info, config=CONFIG)

    assert (problem.setting, problem.breaks) == (setting, breaks)
    assert setting in str(problem)


def test_memory_is_said_to_be_refused_from_the_ceiling_that_is_set() -> None:
    info = INFO | {"used_memory": str(int(1.9 * 1024**3))}

    [problem] = problems(info=info, config=CONFIG, ceiling=0.9)

    assert "used_memory is 95% of maxmemory: requests are refused from 90% on" in str(problem)
    assert problems(info=info, config=CONFIG, ceiling=0.96) == ()


def test_room_for_a_rewrite_is_half_as_much_again() -> None:
    assert problems(info=INFO | {"total_system_memory": str(3 * 1024**3)}, config=CONFIG) == ()


def test_where_config_is_forbidden_what_cannot_be_verified_breaks_the_promise() -> None:
    """INFO still tells whether the append-only file is on and what is evicted; it never tells when it is synced."""
    [problem] = problems(info=INFO, config=None)

    assert problem == Problem(
        "appendfsync", "appendfsync cannot be read, because CONFIG is forbidden here: it must be always"
    )


def test_where_config_is_forbidden_what_info_tells_still_counts() -> None:
    found = problems(info=INFO | {"aof_enabled": "0", "maxmemory_policy": "volatile-lru"}, config=None)

    assert {problem.setting for problem in broken(found)} == {"appendonly", "appendfsync", "maxmemory-policy"}


def test_a_replica_is_needed_only_where_it_is_waited_for() -> None:
    assert problems(info=INFO, config=CONFIG, needs_replica=False) == ()
    assert [problem.setting for problem in problems(info=INFO, config=CONFIG, needs_replica=True)] == ["durability"]
    assert problems(info=INFO | {"connected_slaves": "1"}, config=CONFIG, needs_replica=True) == ()


def test_what_breaks_a_promise_comes_first() -> None:
    found = problems(info=INFO | {"maxmemory": "0"}, config=CONFIG | {"appendonly": "no"})

    assert [problem.breaks for problem in found] == [True, False]


def test_replies_of_both_protocol_versions_are_read() -> None:
    assert parse_config([b"appendonly", b"yes"]) == parse_config({b"appendonly": b"yes"}) == {"appendonly": "yes"}
    assert parse_config([]) == {}


def test_info_is_read_whatever_it_holds() -> None:
    text = b"# Server\r\nredis_version:7.2.4\r\nexecutable:/a:b\r\n\r\nnonsense\r\n\xff:\xff\r\n"

    assert parse_info(text) == {"redis_version": "7.2.4", "executable": "/a:b", "\ufffd": "\ufffd"}
