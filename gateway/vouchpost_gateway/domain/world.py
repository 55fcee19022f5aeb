"""Whose data: a tenant in one mode. Live and test are two worlds with no key in common."""

from enum import StrEnum

from vouchpost_gateway.domain.value import value


class Mode(StrEnum):
    LIVE = "live"
    TEST = "test"


@value(frozen=True, slots=True)
class World:
    """A tenant in one mode, and the partition of the ledger that holds all of its keys."""

    tenant_id: str
    mode: Mode
    partition: int

    @property
    def name(self) -> str:
        """How the world is named in keys and lanes: the tenant id, then l or t."""
        return self.tenant_id + self.mode[0]


class Scope(StrEnum):
    """What an API key may do."""

    VERIFICATIONS_WRITE = "verifications:write"
    VERIFICATIONS_READ = "verifications:read"
    SUBSCRIPTIONS_OWN = "subscriptions:own"
    SUBSCRIPTIONS_ALL = "subscriptions:all"
    ADMIN = "admin"


@value(frozen=True, slots=True)
class Principal:
    """Who signed in: a key of a tenant or of one of its partners, and what it may do."""

    world: World
    key_id: str
    scopes: frozenset[Scope]
    partner_id: str | None = None

    def may(self, scope: Scope) -> bool:
        """Admin covers every scope; `subscriptions:all` covers `subscriptions:own`."""
        if Scope.ADMIN in self.scopes or scope in self.scopes:
            return True
        return scope is Scope.SUBSCRIPTIONS_OWN and Scope.SUBSCRIPTIONS_ALL in self.scopes
