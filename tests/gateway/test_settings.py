import base64
import os
from ipaddress import ip_network
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.setting_types import Durability, HostPort, LogLevel
from vouchpost_gateway.settings import TURN_S, Settings, load_settings, variable

KEY_A = base64.b64encode(b"a" * 32).decode()
KEY_B = base64.b64encode(b"b" * 32).decode()


@pytest.fixture(autouse=True)
def empty_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.upper().startswith("VOUCHPOST_"):
            monkeypatch.delenv(name)


def test_without_variables_the_documented_defaults_hold() -> None:
    settings = load_settings()

    assert settings.ledger_url.get_secret_value() == "redis://127.0.0.1:6379/0"
    assert (settings.api_host, settings.api_port, settings.metrics_port) == ("127.0.0.1", 8080, 9464)
    assert settings.delivery_schedule_s == (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400)
    assert settings.recheck_delays_s == (3600, 21_600)
    assert settings.delivery_max_age_s == 273_600
    assert settings.durability is Durability.PRIMARY


def test_the_environment_is_read_with_its_prefix(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_API_PORT", "9000")
    monkeypatch.setenv("VOUCHPOST_LOG_LEVEL", "warning")
    monkeypatch.setenv("VOUCHPOST_ACCEPT_LOSS", "true")

    settings = load_settings()

    assert settings.api_port == 9000
    assert settings.log_level is LogLevel.WARNING
    assert settings.accept_loss


def test_lists_are_comma_separated(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_RECHECK_DELAYS_S", "60, 120.5")
    monkeypatch.setenv("VOUCHPOST_DNS_SERVERS", "9.9.9.9,[2620:fe::fe]:5353,2620:fe::9,127.0.0.1:54")
    monkeypatch.setenv("VOUCHPOST_PUSH_ALLOW_NETWORKS", "10.1.0.0/16,fd00::/8")

    settings = load_settings()

    assert settings.recheck_delays_s == (60, 120.5)
    assert settings.dns_servers == (
        HostPort("9.9.9.9", 53),
        HostPort("2620:fe::fe", 5353),
        HostPort("2620:fe::9", 53),
        HostPort("127.0.0.1", 54),
    )
    assert [str(server) for server in settings.dns_servers[:2]] == ["9.9.9.9:53", "[2620:fe::fe]:5353"]
    assert settings.push_allow_networks == (ip_network("10.1.0.0/16"), ip_network("fd00::/8"))


def test_an_empty_variable_is_as_if_it_were_not_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass `X: ${X:-}`, which sets an empty X."""
    monkeypatch.setenv("VOUCHPOST_BELLS_URL", "")

    assert load_settings().bells_url is None


def test_the_first_master_key_seals(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS", f"{KEY_B},{KEY_A}")

    assert load_settings().sealing_keys() == (b"b" * 32, b"a" * 32)


def test_sealing_without_a_master_key_names_the_variable() -> None:
    with pytest.raises(Misconfigured, match="VOUCHPOST_MASTER_KEYS is not set: comma-separated base64 of 32"):
        load_settings().sealing_keys()


@pytest.mark.parametrize("name", ["master_keys", "ledger_url", "bells_url"])
def test_a_secret_may_come_from_a_file(name: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    text = f"{KEY_A}\n{KEY_B}\n" if name == "master_keys" else "redis://:hunter2@db:6379/3\n"
    (tmp_path / "secret").write_text(text)
    monkeypatch.setenv(f"VOUCHPOST_{name.upper()}_FILE", str(tmp_path / "secret"))

    settings = load_settings()

    if name == "master_keys":
        assert settings.sealing_keys() == (b"a" * 32, b"b" * 32)
    else:
        assert getattr(settings, name).get_secret_value() == "redis://:hunter2@db:6379/3"


def test_a_secret_that_is_set_twice_is_refused(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", "redis://db")
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL_FILE", str(tmp_path / "secret"))

    with pytest.raises(Misconfigured, match="VOUCHPOST_LEDGER_URL and VOUCHPOST_LEDGER_URL_FILE are both set"):
        load_settings()


def test_a_secret_file_that_is_not_there_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS_FILE", str(tmp_path / "absent"))

    with pytest.raises(Misconfigured, match=r"VOUCHPOST_MASTER_KEYS_FILE: .*absent cannot be read: No such file"):
        load_settings()


@pytest.mark.parametrize(
    ("name", "value", "words"),
    [
        ("VOUCHPOST_API_PORT", "canary", "must be a valid integer; accepted: a port, 0 for any free one"),
        ("VOUCHPOST_DNS_SERVERS", "::canary:::", "not host:port; accepted: comma-separated"),
        ("VOUCHPOST_SANDBOX_DNS", "canary:99999", "not host:port; accepted: host:port of"),
        ("VOUCHPOST_PUSH_ALLOW_NETWORKS", "10.0.0.77/8", "not a network like 10.0.0.0/8"),
    ],
)
def test_what_is_wrong_is_said_in_our_words_and_without_the_value(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, words: str
) -> None:
    monkeypatch.setenv(name, value)

    with pytest.raises(Misconfigured) as refused:
        load_settings()

    assert str(refused.value).startswith(f"{name}: {words}")
    assert value not in str(refused.value)


@pytest.mark.parametrize(
    ("misspelt", "hint"),
    [
        pytest.param("VOUCHPOST_LEDGER_ULR", "did you mean VOUCHPOST_LEDGER_URL?", id="transposed"),
        pytest.param("VOUCHPOST_PUSH_TIMEOUT", "did you mean VOUCHPOST_PUSH_TIMEOUT_S?", id="unit-left-out"),
        pytest.param("vouchpost_api_port", "did you mean VOUCHPOST_API_PORT?", id="lower-case"),
        pytest.param("VOUCHPOST_ZZZZZZZZ", "`vouchpost settings` lists them all", id="nothing-like-it"),
        pytest.param("VOUCHPOST_TOKEN", "`vouchpost settings` lists them all", id="alike-in-the-prefix-alone"),
        pytest.param("VOUCHPOST_REDIS_URL", "`vouchpost settings` lists them all", id="alike-in-the-suffix-alone"),
    ],
)
def test_an_unknown_variable_is_refused_with_a_hint(misspelt: str, hint: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(misspelt, "x")

    with pytest.raises(Misconfigured) as refused:
        load_settings()

    assert str(refused.value) == f"{misspelt} is not a setting; {hint}"


def test_the_variables_of_the_consumer_kit_may_be_set_in_the_same_shell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_URL", "http://127.0.0.1:8080")
    monkeypatch.setenv("VOUCHPOST_API_KEY", "vp_test_…")
    monkeypatch.setenv("VOUCHPOST_SIGNING_SECRET", "whsec_…")

    assert load_settings().api_port == 8080


@pytest.mark.parametrize(
    ("name", "value", "accepted"),
    [
        ("API_PORT", "70000", "a port"),
        ("API_PORT", "eighty", "a port"),
        ("MAX_MATCHES", "501", "1 to 500"),
        ("VERIFY_IN_FLIGHT", "1001", "1 to 1000"),  # more in one turn than a script can hold would stop the lane
        ("WAIT_MAX_S", "31", "up to 30 seconds"),
        ("PUSH_TIMEOUT_S", "nan", "1 to 120 seconds"),
        ("IDEMPOTENCY_S", "inf", "seconds"),
        ("MEMORY_CEILING", "0", "above 0, up to 1"),
        ("DURABILITY", "maybe", "primary, or replica"),
        ("LOG_LEVEL", "loud", "debug, info, warning or error"),
        ("DNS_SERVERS", "dns.example:99999", "comma-separated addresses or names"),
        ("SANDBOX_DNS", "127.0.0.1", "host:port"),
        ("SANDBOX_DNS", "127.0.0.1:x", "host:port"),
        ("PUSH_ALLOW_NETWORKS", "10.0.0.1/8", "CIDR"),
        ("DELIVERY_SCHEDULE_S", ",", "comma-separated seconds"),
        ("DELIVERY_SCHEDULE_S", "1,-1", "comma-separated seconds"),
        ("ACCEPT_LOSS", "perhaps", "true"),
    ],
)
def test_a_wrong_value_is_refused_by_name_and_with_what_is_accepted(
    name: str, value: str, accepted: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"VOUCHPOST_{name}", value)

    with pytest.raises(Misconfigured) as refused:
        load_settings()

    assert str(refused.value).startswith(f"VOUCHPOST_{name}: ")
    assert accepted in str(refused.value)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("MASTER_KEYS", "aHVudGVyMg=="),
        ("MASTER_KEYS", "hunter2 hunter2 ü"),
        ("LEDGER_URL", "http://:hunter2@db"),
        ("LEDGER_URL", "redis://:hunter2@db:port/0"),
        ("LEDGER_URL", "redis://:hunter2@db/name"),
        ("LEDGER_URL", "redis://:hunter2@d\u2100b/0"),
        ("LEDGER_URL", "redis://"),
        ("BELLS_URL", "hunter2"),
    ],
)
def test_a_wrong_secret_is_never_printed(name: str, value: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(f"VOUCHPOST_{name}", value)

    with pytest.raises(Misconfigured) as refused:
        load_settings()

    assert f"VOUCHPOST_{name}: " in str(refused.value)
    assert "hunter2" not in str(refused.value)
    assert "aHVudGVyMg" not in str(refused.value)
    assert refused.value.__cause__ is None


def test_every_wrong_variable_is_named_at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_API_PORT", "-1")
    monkeypatch.setenv("VOUCHPOST_CHECKS_MAX", "0")

    with pytest.raises(Misconfigured, match=r"(?s)VOUCHPOST_API_PORT: .*VOUCHPOST_CHECKS_MAX: "):
        load_settings()


def test_secrets_do_not_show_when_settings_are_printed() -> None:
    settings = load_settings(ledger_url="redis://:hunter2@db/0", master_keys=KEY_A)

    assert "hunter2" not in f"{settings!r} {settings}"
    assert "aaaa" not in f"{settings!r} {settings}"


def test_even_the_error_below_ours_hides_the_value() -> None:
    """Whoever logs it by mistake logs no secret."""
    with pytest.raises(ValidationError) as refused:
        Settings(ledger_url=SecretStr("redis://a"), master_keys=("hunter2",))

    assert "hunter2" not in str(refused.value)


def test_settings_do_not_change() -> None:
    with pytest.raises(ValidationError):
        load_settings().api_port = 1  # type: ignore[misc]  # which is the point


def test_a_lease_outlives_the_attempt_and_a_job_outlives_its_lease() -> None:
    settings = load_settings(push_timeout_s=20, dns_timeout_s=5, slice_s=3, linger_s=1)

    assert settings.lease_s == 25
    assert settings.verify_lease_s == 20
    assert settings.job_timeout_s == 29
    assert settings.job_timeout_s < settings.job_completion_wait_s < settings.stop_grace_s


def test_bells_ring_on_the_ledgers_server_unless_told_otherwise() -> None:
    assert load_settings(ledger_url="redis://a").ring_url == SecretStr("redis://a")
    assert load_settings(ledger_url="redis://a", bells_url="redis://b").ring_url == SecretStr("redis://b")


def test_every_setting_says_what_it_accepts() -> None:
    silent = [variable(name) for name, field in Settings.model_fields.items() if not field.description]

    assert silent == []


def test_a_claim_outlives_the_talk_with_mail_hosts_where_they_are_asked() -> None:
    quiet = load_settings(dns_timeout_s=5, smtp_timeout_s=40)
    asking = load_settings(dns_timeout_s=5, smtp_timeout_s=40, smtp_mail_from="probe@vouchpost.example")

    assert quiet.check_timeout_s == 15
    assert asking.check_timeout_s == 55 + TURN_S
    assert asking.verify_lease_s > asking.check_timeout_s
