"""How a tenant's people sign in: API keys, kept only as hashes, and the partners some of them belong to."""

import re
from base64 import urlsafe_b64encode
from collections.abc import Callable
from dataclasses import dataclass
from hashlib import sha256

from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.ids import encode
from vouchpost_gateway.domain.world import Mode, Scope, World

_ID_SHAPE = r"vp_(live|test)_(\d\d)([0-9a-hjkmnp-tv-z]{12})"
_ID = re.compile(_ID_SHAPE)
_KEY = re.compile(rf"{_ID_SHAPE}_([A-Za-z0-9_-]{{43}})")


@dataclass(frozen=True, slots=True)
class PresentedKey:
    """An API key as a caller presents it: `vp_<mode>_<partition, 2><short id, 12>_<secret, 43>`."""

    mode: Mode
    partition: int
    short_id: str
    secret_hash: bytes


@dataclass(frozen=True, slots=True)
class ApiKey:
    """An API key as stored. `secret_hash` is SHA-256: the secret has 256 random bits, so nothing slower is needed."""

    short_id: str
    tenant_id: str
    mode: Mode
    partition: int
    secret_hash: bytes
    scopes: frozenset[Scope]
    created_ms: int
    label: str = ""
    partner_id: str | None = None
    expires_ms: int | None = None

    @property
    def id(self) -> str:
        """The public id: everything of the key but its secret."""
        return f"vp_{self.mode.value}_{self.partition:02d}{self.short_id}"


@dataclass(frozen=True, slots=True)
class Partner:
    """A principal within a tenant that sees only its own subscriptions and deliveries."""

    id: str
    name: str
    created_ms: int


def parse_key(text: str) -> PresentedKey | None:
    """The parts of a presented key; None when it does not have the shape of one."""
    match = _KEY.fullmatch(text)
    if match is None:
        return None
    mode, partition, short_id, secret = match.groups()
    return PresentedKey(Mode(mode), int(partition), short_id, hash_secret(secret))


def short_id_of(key_id: str) -> str | None:
    """The part of a key's public id by which it is stored; None when the text does not have the shape of such an id."""
    match = _ID.fullmatch(key_id)
    return None if match is None else match[3]


def mode_of(key_id: str) -> Mode | None:
    """The mode that a key's public id names; None when the text does not have the shape of such an id."""
    match = _ID.fullmatch(key_id)
    return None if match is None else Mode(match[1])


def check_scopes(scopes: frozenset[Scope], *, for_partner: bool) -> None:
    """InvalidField unless a partner's key has the scope subscriptions:own alone, and no other key has it."""
    if for_partner and scopes != {Scope.SUBSCRIPTIONS_OWN}:
        raise InvalidField("scopes", "must be subscriptions:own alone for the key of a partner")
    if not for_partner and Scope.SUBSCRIPTIONS_OWN in scopes:
        raise InvalidField("scopes", "subscriptions:own is for keys of partners; use subscriptions:all")


def hash_secret(secret: str) -> bytes:
    return sha256(secret.encode("ascii")).digest()


def new_key(
    world: World,
    *,
    scopes: frozenset[Scope],
    label: str,
    partner_id: str | None,
    created_ms: int,
    expires_ms: int | None,
    random_bytes: Callable[[int], bytes],
) -> tuple[ApiKey, str]:
    """A key as it is stored, and its full text."""
    short_id = encode(int.from_bytes(random_bytes(8)) % 32**12, 12)
    secret = urlsafe_b64encode(random_bytes(32)).rstrip(b"=").decode()
    key = ApiKey(
        short_id=short_id,
        tenant_id=world.tenant_id,
        mode=world.mode,
        partition=world.partition,
        secret_hash=hash_secret(secret),
        scopes=scopes,
        created_ms=created_ms,
        label=label,
        partner_id=partner_id,
        expires_ms=expires_ms,
    )
    return key, f"{key.id}_{secret}"
