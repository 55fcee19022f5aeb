"""What a setting may be: the types of the settings, and how each is read from text.

No message holds the text it is about: some of it is secret.
"""

import base64
import binascii
from enum import StrEnum
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Annotated, NamedTuple
from urllib.parse import SplitResult, urlsplit

from pydantic import BeforeValidator, Field, SecretBytes, SecretStr
from pydantic_settings import NoDecode

MASTER_KEY_BYTES = 32
HOUR_S = 3600
DAY_S = 24 * HOUR_S


class Durability(StrEnum):
    """What a 202 waits for: the primary's disk, or a replica as well."""

    PRIMARY = "primary"
    REPLICA = "replica"


class HealthDepth(StrEnum):
    """From which depth on the health of domains is looked at."""

    DOMAIN = "domain"
    MAILBOX = "mailbox"


class LogLevel(StrEnum):
    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


class LogFormat(StrEnum):
    JSON = "json"
    CONSOLE = "console"


class HostPort(NamedTuple):
    """Where something listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


def _split(value: object) -> object:
    """Comma-separated text as a list; anything else as it is."""
    if isinstance(value, str):
        return [part.strip() for part in value.replace("\n", ",").split(",") if part.strip()]
    return value


def _redis_url(value: object) -> object:
    if not isinstance(value, str):
        return value
    url = value.strip()
    if not _is_redis_url(url):
        raise ValueError("not the URL of a Redis")
    return url


def _is_redis_url(url: str) -> bool:
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018  it is parsed, and refused, on access
    except ValueError:
        return False
    if parts.scheme == "unix":
        return bool(parts.path)
    return parts.scheme in {"redis", "rediss"} and bool(parts.hostname) and _names_database(parts)


def _names_database(parts: SplitResult) -> bool:
    return parts.path in {"", "/"} or parts.path.removeprefix("/").isdecimal()


def _master_key(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        key = base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError) as error:
        raise ValueError("a key is not base64") from error
    if len(key) != MASTER_KEY_BYTES:
        raise ValueError(f"a key must have {MASTER_KEY_BYTES} bytes, one has {len(key)}")
    return key


def _name_server(value: object) -> object:
    if not isinstance(value, str):
        return value
    return HostPort(*_host_and_port(value, default_port=53))


def _address(value: object) -> object:
    if not isinstance(value, str):
        return value
    return HostPort(*_host_and_port(value, default_port=0))


def _host_and_port(text: str, *, default_port: int) -> tuple[str, int]:
    """`host`, `host:port`, `[v6]`, `[v6]:port` or a bare v6 address."""
    if text.count(":") > 1 and not text.startswith("["):
        text = f"[{text}]"
    try:
        parts = urlsplit(f"//{text}")
        host, port = parts.hostname, default_port if parts.port is None else parts.port
    except ValueError:
        host, port = None, 0
    if not host or not port:
        raise ValueError("not host:port")
    return host, port


def _network(value: object) -> object:
    if not isinstance(value, str):
        return value
    try:
        return ip_network(value.strip())
    except ValueError as error:
        raise ValueError("not a network like 10.0.0.0/8, without bits set beyond its length") from error


RedisUrl = Annotated[SecretStr, BeforeValidator(_redis_url)]
Seconds = Annotated[float, Field(gt=0, le=365 * DAY_S, allow_inf_nan=False)]
Pause = Annotated[float, Field(ge=0, le=365 * DAY_S, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=1, le=10_000_000)]
Port = Annotated[int, Field(ge=0, le=65_535)]
Address = Annotated[HostPort, BeforeValidator(_address)]

_Listed = BeforeValidator(_split)
MasterKeys = Annotated[tuple[Annotated[SecretBytes, BeforeValidator(_master_key)], ...], NoDecode, _Listed]
NameServers = Annotated[tuple[Annotated[HostPort, BeforeValidator(_name_server)], ...], NoDecode, _Listed]
Networks = Annotated[tuple[Annotated[IPv4Network | IPv6Network, BeforeValidator(_network)], ...], NoDecode, _Listed]
Delays = Annotated[tuple[Pause, ...], NoDecode, _Listed]
Names = Annotated[tuple[Annotated[str, Field(min_length=1, max_length=253)], ...], NoDecode, _Listed]
