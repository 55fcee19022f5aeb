import asyncio
import base64
from collections.abc import Iterator

import pytest
import redis
import typer
from typer.testing import CliRunner

from vouchpost_gateway.cli.diagnosis import Level, Line
from vouchpost_gateway.cli.doctor import doctor, examine
from vouchpost_gateway.cli.keys import app as keys_app
from vouchpost_gateway.settings import load_settings

app = typer.Typer()
app.command()(doctor)


@pytest.fixture(autouse=True)
def own_dns(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing listens there, so nothing outside this machine is asked."""
    monkeypatch.setenv("VOUCHPOST_DNS_SERVERS", "127.0.0.1:1")
    monkeypatch.setenv("VOUCHPOST_DNS_TIMEOUT_S", "0.5")


@pytest.fixture
def policy(ledger: redis.Redis) -> Iterator[redis.Redis]:
    yield ledger
    ledger.config_set("maxmemory-policy", "noeviction")


def _about(lines: list[Line]) -> dict[str, Level]:
    return {line.about: line.level for line in lines}


def test_a_good_ledger_breaks_no_promise(ledger: redis.Redis) -> None:
    result = CliRunner().invoke(app)

    assert result.exit_code == 0, result.output
    assert "ok  durability: appendonly, appendfsync and maxmemory-policy keep what was accepted" in result.output
    assert "note  DNS: 127.0.0.1 did not answer" in result.output


def test_without_a_sandbox_it_says_what_becomes_of_test_keys(
    ledger: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    without = CliRunner().invoke(app).output
    monkeypatch.setenv("VOUCHPOST_SANDBOX_DNS", "127.0.0.1:5353")
    with_one = CliRunner().invoke(app).output

    assert "note  sandbox: VOUCHPOST_SANDBOX_DNS is not set: what test keys ask will end as unknown" in without
    assert "ok  sandbox: answers test keys at 127.0.0.1:5353" in with_one


def test_a_broken_promise_is_named_and_is_the_exit_code(policy: redis.Redis) -> None:
    policy.config_set("maxmemory-policy", "allkeys-lru")

    result = CliRunner().invoke(app)

    assert result.exit_code == 1
    assert 'broken  maxmemory-policy: maxmemory-policy is "allkeys-lru"' in result.output


def test_master_keys_that_open_nothing_are_a_broken_promise(
    ledger: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    made = CliRunner().invoke(keys_app, ["create", "--tenant", "sealed", "--mode", "test", "--scope", "admin"])
    assert made.exit_code == 0, made.output
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS", base64.b64encode(b"other" * 6 + b"xx").decode())

    result = CliRunner().invoke(app)

    assert result.exit_code == 1
    assert "broken  sealing: VOUCHPOST_MASTER_KEYS" in result.output


def test_a_ledger_that_is_not_there_is_a_broken_promise(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", "redis://:hunter2@127.0.0.1:1")

    result = CliRunner().invoke(app)

    assert result.exit_code == 1
    assert "broken  ledger: cannot reach the ledger" in result.output
    assert "hunter2" not in result.output


def test_a_password_that_is_wrong_is_named_by_its_setting_and_not_shown(
    ledger: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", redis_url.replace("redis://", "redis://nobody:hunter2@"))

    result = CliRunner().invoke(app)

    assert result.exit_code == 1
    assert "broken  ledger: the user or the password in VOUCHPOST_LEDGER_URL is wrong" in result.output
    assert "hunter2" not in result.output


def test_a_user_who_may_not_publish_is_told_what_to_be_allowed(
    ledger: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ledger.acl_setuser("mute", enabled=True, passwords=["+pw"], keys=["*"], reset_channels=True, commands=["+@all"])
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", redis_url.replace("redis://", "redis://mute:pw@"))

    result = CliRunner().invoke(app)

    ledger.acl_deluser("mute")
    assert result.exit_code == 1
    assert "broken  permissions: the ACL of the user in VOUCHPOST_LEDGER_URL" in result.output
    assert "~* &* +@all" in result.output


def test_what_a_ledger_was_made_with_is_compared(ledger: redis.Redis, monkeypatch: pytest.MonkeyPatch) -> None:
    CliRunner().invoke(keys_app, ["create", "--mode", "test"])
    monkeypatch.setenv("VOUCHPOST_PARTITIONS", "8")

    found = _about(asyncio.run(examine(load_settings())))

    assert found["partitions"] is Level.BROKEN
    assert found["format"] is Level.FINE


def test_looking_changes_nothing(ledger: redis.Redis) -> None:
    CliRunner().invoke(app)

    assert ledger.dbsize() == 0


def test_where_config_is_forbidden_it_says_what_cannot_be_verified(
    ledger: redis.Redis, redis_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As on managed servers."""
    ledger.acl_setuser("managed", enabled=True, passwords=["+pw"], keys=["*"], commands=["+@all", "-config"])
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", redis_url.replace("redis://", "redis://managed:pw@"))

    result = CliRunner().invoke(app)

    ledger.acl_deluser("managed")
    assert result.exit_code == 1
    assert "appendfsync cannot be read, because CONFIG is forbidden here: it must be always" in result.output
