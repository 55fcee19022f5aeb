import os
import re
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from vouchpost_gateway.cli.keys import app
from vouchpost_gateway.cli.partners import app as partners_app
from vouchpost_gateway.domain.access import parse_key
from vouchpost_gateway.domain.world import Mode


def keys(*arguments: str) -> Result:
    return CliRunner().invoke(app, arguments)


def test_a_key_is_printed_once_and_alone(ledger: redis.Redis) -> None:
    result = keys("create", "--tenant", "acme", "--mode", "live", "--scope", "verifications:write", "--label", "signup")

    assert result.exit_code == 0, result.output
    presented = parse_key(result.stdout.strip())
    assert presented is not None
    assert presented.mode is Mode.LIVE


def test_a_test_key_that_no_sandbox_answers_is_made_with_a_warning(
    ledger: redis.Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    warned = keys("create", "--mode", "test").stderr
    live = keys("create", "--mode", "live").stderr
    (tmp_path / "test.key").write_text("vp_test_of_an_up")
    beside_up = keys("create", "--mode", "test", "--data-dir", str(tmp_path)).stderr
    monkeypatch.setenv("VOUCHPOST_SANDBOX_DNS", "127.0.0.1:5353")

    assert "VOUCHPOST_SANDBOX_DNS is not set" in warned
    assert not any("SANDBOX" in said for said in (live, beside_up, keys("create", "--mode", "test").stderr))


def test_keys_are_listed_without_what_is_secret_of_them(ledger: redis.Redis) -> None:
    key = keys("create", "--mode", "test", "--label", "signup").stdout.strip()

    listed = keys("list", "--mode", "test").stdout

    public, secret = key.rsplit("_", 1) if key.count("_") == 3 else (key[:22], key[23:])
    assert public in listed
    assert "signup" in listed
    assert "admin" in listed
    assert secret not in listed
    assert public not in keys("list", "--mode", "live").stdout


def test_a_revoked_key_is_gone(ledger: redis.Redis) -> None:
    public = keys("create", "--mode", "test").stdout.strip()[:22]

    assert keys("revoke", public).exit_code == 0

    assert public not in keys("list", "--mode", "test").stdout
    assert keys("revoke", public).exit_code == 1


@pytest.mark.parametrize("text", ["vp_test_", "prt_01", "vp_test_00000000000000_secret"])
def test_what_is_no_id_of_a_key_is_not_looked_for(text: str) -> None:
    result = keys("revoke", text)

    assert result.exit_code == 2
    assert "not the public id of a key" in result.stderr


def test_lists_are_of_both_modes_unless_one_is_named(ledger: redis.Redis) -> None:
    made = [keys("create", "--mode", mode).stdout[:22] for mode in ("live", "test")]
    partners = [
        CliRunner().invoke(partners_app, ["create", "Initech", "--mode", mode]).stdout.strip()
        for mode in ("live", "test")
    ]

    listed, listed_partners = keys("list").stdout, CliRunner().invoke(partners_app, ["list"]).stdout

    assert all(key in listed for key in made)
    assert re.search(rf"{partners[0]} +Initech +live", listed_partners)
    assert re.search(rf"{partners[1]} +Initech +test", listed_partners)
    assert partners[1] not in CliRunner().invoke(partners_app, ["list", "--mode", "live"]).stdout


def test_a_tenant_that_is_made_is_told_of(ledger: redis.Redis) -> None:
    """Else a mistyped name makes a tenant that nobody meant."""
    first, second = (keys("create", "--tenant", "acem", "--mode", "live") for _ in range(2))

    assert first.stderr == "made the tenant acem, which did not exist\n"
    assert second.stderr == ""


@pytest.mark.parametrize("name", ["", "n" * 101, "evil\x1b[31mred", "two\nlines"], ids=ascii)
def test_a_tenant_has_a_name_that_can_be_read(ledger: redis.Redis, name: str) -> None:
    """An unset variable of a shell is an empty name."""
    refused = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["create", "--mode", "test", "--tenant", name])

    assert refused.exit_code == 2
    assert "'--tenant': must be 1 to 100 characters" in refused.stderr
    assert ledger.keys() == []


@pytest.mark.parametrize("label", ["l" * 101, "evil\x1b[31mred", "two\nlines"], ids=ascii)
def test_a_label_that_the_api_refuses_makes_neither_key_nor_tenant(ledger: redis.Redis, label: str) -> None:
    refused = CliRunner(env={"COLUMNS": "200"}).invoke(app, ["create", "--mode", "test", "--label", label])

    assert refused.exit_code == 2
    assert "'--label': must be 0 to 100 characters" in refused.stderr
    assert ledger.keys() == []


def test_a_key_may_belong_to_a_partner_who_takes_it_along(ledger: redis.Redis) -> None:
    keys("create", "--mode", "test")
    partner = CliRunner().invoke(partners_app, ["create", "Initech [bold]", "--mode", "test"]).stdout.strip()

    assert keys("create", "--mode", "test", "--partner", partner).exit_code == 0
    assert "subscriptions:own" in keys("list", "--mode", "test").stdout
    assert re.search(
        rf"{partner} +Initech \[bold\]", CliRunner().invoke(partners_app, ["list", "--mode", "test"]).stdout
    )
    assert CliRunner().invoke(partners_app, ["delete", partner, "--mode", "test"]).exit_code == 0
    assert partner not in keys("list", "--mode", "test").stdout


@pytest.mark.parametrize("scope", ["admin", "subscriptions:all", "verifications:read"])
def test_the_key_of_a_partner_claims_no_other_scope(ledger: redis.Redis, scope: str) -> None:
    keys("create", "--mode", "test")
    partner = CliRunner().invoke(partners_app, ["create", "Initech", "--mode", "test"]).stdout.strip()

    result = keys("create", "--mode", "test", "--partner", partner, "--scope", scope)

    assert result.exit_code == 1
    assert "scopes: must be subscriptions:own alone" in result.stderr
    assert keys("create", "--mode", "test", "--scope", "subscriptions:own").exit_code == 1


def test_an_id_is_shown_whole_however_narrow_the_terminal(ledger: redis.Redis) -> None:
    public = keys("create", "--mode", "test", "--label", "a label that takes some room").stdout.strip()[:22]
    partner = CliRunner().invoke(partners_app, ["create", "Initech", "--mode", "test"]).stdout.strip()
    keys("create", "--mode", "test", "--partner", partner)

    listed = CliRunner(env={"COLUMNS": "60"}).invoke(app, ["list", "--mode", "test"]).stdout

    assert public in listed.split()


def test_an_unknown_partner_is_refused(ledger: redis.Redis) -> None:
    result = keys("create", "--mode", "test", "--partner", "prt_absent")

    assert result.exit_code == 1
    assert "--partner: no such partner" in result.stderr


def test_a_tenant_that_does_not_exist_is_made_for_a_key_only(ledger: redis.Redis) -> None:
    result = keys("list", "--tenant", "nobody", "--mode", "test")

    assert result.exit_code == 1
    assert "no such tenant" in result.stderr


def test_without_a_master_key_it_says_which_variable_to_set(
    ledger: redis.Redis, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("VOUCHPOST_MASTER_KEYS")

    result = keys("list", "--mode", "test")

    assert result.exit_code == 2
    assert "VOUCHPOST_MASTER_KEYS is not set" in result.stderr
    assert "--data-dir" in result.stderr


def test_keys_are_made_on_the_data_of_an_up_elsewhere(
    ledger: redis.Redis, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "master.key").write_text(os.environ["VOUCHPOST_MASTER_KEYS"])
    (tmp_path / "ledger.url").write_text(os.environ["VOUCHPOST_LEDGER_URL"])
    monkeypatch.delenv("VOUCHPOST_MASTER_KEYS")
    monkeypatch.delenv("VOUCHPOST_LEDGER_URL")

    made = keys("create", "--mode", "live", "--data-dir", str(tmp_path))

    assert made.stdout.startswith("vp_live_"), made.stderr
