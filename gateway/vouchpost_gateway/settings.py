"""Environment (`VOUCHPOST_…`, `…_FILE` for secrets) -> one frozen Settings. Refuses to start when something is wrong.

Units are in the names. Limits that depend on each other are one setting and a property with the formula. A message
names the variable and says what is accepted; it never holds the value, which may be a secret.
"""

import difflib
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import Field, IPvAnyAddress, SecretStr, ValidationError
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.setting_types import (
    DAY_S,
    HOUR_S,
    Address,
    Count,
    Delays,
    Durability,
    HealthDepth,
    LogFormat,
    LogLevel,
    MasterKeys,
    Names,
    NameServers,
    Networks,
    Pause,
    Port,
    RedisUrl,
    Seconds,
)

PREFIX = "VOUCHPOST_"
SECRETS = ("master_keys", "ledger_url", "bells_url", "smtp_proxy")

# The consumer kit's, which may be set in the same shell.
_NOT_OURS = frozenset({"VOUCHPOST_URL", "VOUCHPOST_API_KEY", "VOUCHPOST_SIGNING_SECRET"})
_SECRET_FILE_LIMIT_BYTES = 65_536
_ALIKE = 0.75

TURN_S = 5.0
"""How long a check waits for its turn at a mail operator before it is put off."""


class SecretFiles(PydanticBaseSettingsSource):
    """Reads `VOUCHPOST_<NAME>_FILE` for the settings that are secrets."""

    def get_field_value(self, _field: Any, field_name: str) -> tuple[Any, str, bool]:
        path = os.environ.get(f"{variable(field_name)}_FILE")
        return (_read_secret(field_name, Path(path)) if path else None), field_name, False

    def __call__(self) -> dict[str, Any]:
        values = {name: self.get_field_value(None, name)[0] for name in SECRETS}
        return {name: value for name, value in values.items() if value is not None}


class Settings(BaseSettings):
    """All that can be set, read once at start. Each description says what is accepted."""

    model_config = SettingsConfigDict(
        env_prefix=PREFIX, env_ignore_empty=True, frozen=True, extra="forbid", hide_input_in_errors=True
    )

    ledger_url: RedisUrl = Field(
        SecretStr("redis://127.0.0.1:6379/0"),
        description="the Redis that holds the ledger: redis://, rediss:// or unix:// URL, database as /number",
    )
    bells_url: RedisUrl | None = Field(None, description="the Redis for arq's bells; the ledger's when not set")
    master_keys: MasterKeys = Field(
        (), max_length=16, description="comma-separated base64 of 32 random bytes each; the first seals, all open"
    )
    accept_loss: bool = Field(False, description="true starts on a Redis that may lose or evict data")
    durability: Durability = Field(Durability.PRIMARY, description="primary, or replica: 202 only after WAIT 1")
    partitions: int = Field(16, ge=1, le=100, description="fixed once the ledger holds data: 1 to 100")
    data_dir: Path | None = Field(None, description="where `up` keeps its data; ./vouchpost-data when not set")
    redis_server: Path | None = Field(None, description="the redis-server that `up` runs; searched for when not set")
    redis_maxmemory_bytes: int = Field(
        512 * 1024**2, ge=16 * 1024**2, description="memory of the Redis that `up` runs: 16777216 bytes or more"
    )

    api_host: str = Field("127.0.0.1", min_length=1, description="the address that the API listens on")
    api_port: Port = Field(8080, description="a port, 0 for any free one")
    metrics_host: str = Field("127.0.0.1", min_length=1, description="the address that metrics are served on")
    metrics_port: Port = Field(9464, description="a port, 0 for none; `up` uses this and the two after it")
    body_limit_bytes: int = Field(65_536, ge=1024, le=16_777_216, description="1024 to 16777216 bytes")
    key_requests_per_s: float = Field(
        5000,
        ge=0.01,
        le=1_000_000,
        description="requests of one API key per second and API process, twice as many at once: 0.01 to 1000000",
    )
    wait_max_s: int = Field(30, ge=1, le=30, description="after how long a ?wait= ends, up to 30 seconds")
    wait_max_waiters: Count = Field(1000, description="requests that wait at a time, per process: 1 or more")
    backlog_max_items: Count = Field(100_000, description="open verifications per tenant before 503: 1 or more")
    backlog_max_age_s: Seconds = Field(600, description="age of a tenant's oldest due verification before 503: seconds")
    memory_ceiling: float = Field(0.8, gt=0, le=1, description="share of maxmemory before 503: above 0, up to 1")
    idempotency_s: Seconds = Field(DAY_S, description="how long an Idempotency-Key is kept: seconds")

    checks_max: int = Field(4, ge=1, le=100, description="checks before a verification ends as unknown: 1 to 100")
    checks_window_s: Seconds = Field(900, description="time within which those checks happen: seconds")
    recheck_delays_s: Delays = Field(
        (HOUR_S, 6 * HOUR_S), description="comma-separated seconds until degraded verdicts are rechecked"
    )
    cache_valid_s: Pause = Field(HOUR_S, description="how long a valid verdict is reused: s")
    cache_invalid_s: Pause = Field(1800, description="how long an invalid verdict is reused: s")
    cache_risky_s: Pause = Field(1800, description="how long a risky verdict is reused: s")
    cache_unknown_s: Pause = Field(120, description="how long an unknown verdict is reused: s")
    dns_servers: NameServers = Field(
        (), description="comma-separated addresses or names, :port if not 53; the system's when not set"
    )
    dns_timeout_s: float = Field(5, gt=0, le=60, description="limit of one DNS question: up to 60 seconds")
    smtp_mail_from: str | None = Field(
        None, description="an address of yours; as it mail hosts are asked at depth mailbox, and none when not set"
    )
    smtp_helo_name: str | None = Field(
        None, description="the public host name of this machine; the domain of VOUCHPOST_SMTP_MAIL_FROM when not set"
    )
    smtp_source_address: IPvAnyAddress | None = Field(
        None, description="the address of this machine that mail hosts are asked from; the system's choice when not set"
    )
    smtp_proxy: SecretStr | None = Field(
        None, description="socks5://[user:password@]host:port that mail hosts are asked through; none when not set"
    )
    smtp_timeout_s: float = Field(25, ge=1, le=120, description="limit of all talk with mail hosts: 1 to 120 seconds")
    smtp_at_once: int = Field(3, ge=1, le=100, description="conversations at a time with one mail operator: 1 to 100")
    smtp_per_minute: int = Field(
        600, ge=1, le=100_000, description="conversations a minute with one operator: 1 to 100000"
    )
    smtp_operator_daily_cap: int = Field(
        0, ge=0, le=10_000_000, description="conversations a day (UTC) with one mail operator; 0 for no cap"
    )
    smtp_daily_cap: int = Field(
        0, ge=0, le=100_000_000, description="conversations a day (UTC) with all mail operators together; 0 for no cap"
    )
    smtp_selftest_domains: Names = Field(
        ("gmail.com", "outlook.com", "yahoo.com"),
        description="comma-separated domains whose mail hosts tell, beside our own, whether port 25 is open from here",
    )
    domain_health_from: HealthDepth = Field(
        HealthDepth.MAILBOX,
        description="domain or mailbox: the depth from which SPF, DMARC, DKIM and MTA-STS are looked at, as signals",
    )
    lists_dir: Path | None = Field(
        None, description="where `vouchpost lists` keeps what it was given; the packaged lists alone when not set"
    )
    sandbox_dns: Address | None = Field(None, description="host:port of the name server that answers test keys")

    push_timeout_s: float = Field(15, ge=1, le=120, description="total limit of one attempt: 1 to 120 seconds")
    push_allow_networks: Networks = Field(
        (), description="comma-separated CIDR networks that may be pushed to although they are not public"
    )
    push_in_flight: int = Field(64, ge=1, le=1000, description="attempts at a time per subscription: 1 to 1000")
    tenant_in_flight: Count = Field(1000, description="attempts at a time per tenant: 1 or more")
    max_matches: int = Field(100, ge=1, le=500, description="subscriptions that one event may match: 1 to 500")
    max_partner_matches: int = Field(20, ge=1, le=500, description="of these, those of one partner: 1 to 500")
    delivery_max_age_s: Seconds = Field(76 * HOUR_S, description="age at which a delivery becomes a dead letter: s")
    delivery_schedule_s: Delays = Field(
        (0, 5, 300, 1800, 7200, 18_000, 36_000, 50_400, 72_000, 86_400),
        min_length=1,
        max_length=100,
        description="comma-separated seconds to wait before each attempt",
    )
    rotation_overlap_s: int = Field(DAY_S, ge=0, le=30 * DAY_S, description="how long a retiring secret signs: s")

    verify_in_flight: int = Field(128, ge=1, le=1000, description="verifications at a time per lane: 1 to 1000")
    verify_slots: Count = Field(50, description="lanes that a verify worker drains at a time: 1 or more")
    deliver_slots: Count = Field(1000, description="lanes that a deliver worker drains at a time: 1 or more")
    slow_slots: Count = Field(1000, description="slow lanes that a deliver worker probes at a time: 1 or more")
    slice_s: float = Field(3, gt=0, le=60, description="one turn of draining a lane: up to 60 seconds")
    linger_s: float = Field(1, ge=0, le=30, description="wait on an empty lane before leaving it: up to 30 seconds")
    sweep_interval_s: float = Field(0.5, gt=0, le=60, description="between two looks for silent lanes: up to 60 s")

    retain_verdicts_s: Seconds = Field(7 * DAY_S, description="how long finished verifications are kept: seconds")
    retain_delivered_s: Seconds = Field(DAY_S, description="how long deliveries that succeeded are kept: seconds")
    retain_dead_letters_s: Seconds = Field(30 * DAY_S, description="how long dead letters are kept: seconds")

    log_level: LogLevel = Field(LogLevel.INFO, description="debug, info, warning or error")
    log_format: LogFormat = Field(LogFormat.JSON, description="json or console")

    @property
    def lease_s(self) -> float:
        """A claim on a delivery outlives the attempt it guards."""
        return self.push_timeout_s + 5

    @property
    def check_timeout_s(self) -> float:
        """All checks of one verification: three DNS questions, then, where mail hosts are asked, a turn and a talk."""
        return 3 * self.dns_timeout_s + (self.smtp_timeout_s + TURN_S if self.smtp_mail_from else 0)

    @property
    def verify_lease_s(self) -> float:
        """A claim on a verification outlives its checks."""
        return self.check_timeout_s + 5

    @property
    def job_timeout_s(self) -> float:
        """What arq gives a job: a slice, the longest item begun at its end, and the lingering."""
        return self.slice_s + max(self.lease_s, self.verify_lease_s) + self.linger_s

    @property
    def job_completion_wait_s(self) -> float:
        """How long a worker that is told to stop lets its jobs finish."""
        return self.job_timeout_s + 2

    @property
    def stop_grace_s(self) -> float:
        """How long a supervisor waits for a worker before it kills it."""
        return self.job_completion_wait_s + 5

    @property
    def ring_url(self) -> SecretStr:
        """Where bells are rung: `bells_url`, or the ledger's server."""
        return self.bells_url or self.ledger_url

    def sealing_keys(self) -> tuple[bytes, ...]:
        """The master keys, the sealing one first; Misconfigured when there is none."""
        if not self.master_keys:
            raise Misconfigured(f"{variable('master_keys')} is not set: {_accepted('master_keys')}")
        return tuple(key.get_secret_value() for key in self.master_keys)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003  the signature is pydantic's
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, SecretFiles(settings_cls)


def load_settings(**given: Any) -> Settings:
    """The settings of this process: `given` first, then the environment. Misconfigured names every wrong variable."""
    problems = [*_unknown(os.environ), *_set_twice(os.environ)]
    if problems:
        raise Misconfigured("\n".join(problems))
    try:
        return Settings(**given)
    except ValidationError as error:
        # The cause would print the values, and one of them may be a secret.
        raise Misconfigured("\n".join(_in_words(error))) from None


def variable(name: str) -> str:
    """The environment variable of a setting."""
    return PREFIX + name.upper()


def _unknown(environ: Mapping[str, str]) -> list[str]:
    known = {variable(name) for name in Settings.model_fields} | {f"{variable(name)}_FILE" for name in SECRETS}
    return [
        f"{name} is not a setting{_hint(name, known)}"
        for name in sorted(environ)
        if name.upper().startswith(PREFIX) and name not in known | _NOT_OURS
    ]


def _hint(name: str, known: set[str]) -> str:
    """Names are compared without what all of them begin with, which makes everything look alike."""
    short = [one.removeprefix(PREFIX) for one in known]
    close = difflib.get_close_matches(name.upper().removeprefix(PREFIX), short, n=1, cutoff=_ALIKE)
    return f"; did you mean {PREFIX}{close[0]}?" if close else "; `vouchpost settings` lists them all"


def _set_twice(environ: Mapping[str, str]) -> list[str]:
    return [
        f"{variable(name)} and {variable(name)}_FILE are both set; set one"
        for name in SECRETS
        if environ.get(variable(name)) and environ.get(f"{variable(name)}_FILE")
    ]


def _read_secret(name: str, path: Path) -> str:
    try:
        with path.open("rb") as file:
            return file.read(_SECRET_FILE_LIMIT_BYTES).decode("ascii").strip()
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else "not ASCII text"
        raise Misconfigured(f"{variable(name)}_FILE: {path} cannot be read: {reason}") from None


def _in_words(error: ValidationError) -> list[str]:
    """One line per wrong setting: its variable, what is wrong, what is accepted. Never the value."""
    lines: dict[str, str] = {}
    for detail in error.errors(include_url=False, include_context=False, include_input=False):
        name = str(detail["loc"][0])
        lines.setdefault(name, f"{variable(name)}: {_reworded(detail['msg'])}; accepted: {_accepted(name)}")
    return list(lines.values())


def _reworded(message: str) -> str:
    """Pydantic's words speak of its types, and of what it tried."""
    return message.removeprefix("Value error, ").replace("Input should be", "must be").partition(", unable to")[0]


def _accepted(name: str) -> str:
    field = Settings.model_fields.get(name)
    return (field.description if field else None) or "nothing by this name"
