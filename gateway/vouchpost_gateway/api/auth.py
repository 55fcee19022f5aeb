"""Who calls and what they may do: a Bearer key in the Authorization header (RFC 6750 section 2.1), nowhere else."""

from vouchpost_gateway.api.services import Authentication
from vouchpost_gateway.domain.errors import NotAllowed, NotAuthenticated
from vouchpost_gateway.domain.world import Principal, Scope

_SCHEME = b"bearer "
_MAX_KEY_LENGTH = 200


async def sign_in(authentication: Authentication, authorization: bytes | None) -> Principal:
    """The principal behind the header; NotAuthenticated, always the same, for everything that is not a good key."""
    return await authentication.sign_in(_bearer(authorization))


def require(principal: Principal, scope: Scope | None) -> None:
    """NotAllowed unless the key covers the scope. A partner's key covers its own subscriptions, whatever it claims."""
    if scope is None:
        return
    if principal.partner_id is not None and scope is not Scope.SUBSCRIPTIONS_OWN:
        raise NotAllowed("The key of a partner covers its own subscriptions only.")
    if not principal.may(scope):
        # Only a partner's key can have the narrower scope.
        missing = Scope.SUBSCRIPTIONS_ALL if scope is Scope.SUBSCRIPTIONS_OWN else scope
        raise NotAllowed(f"The API key does not have the scope {missing}.")


def viewer(principal: Principal) -> str | None:
    """Whose subscriptions the key sees: one partner's, or (None) all of the world's; NotAllowed for neither."""
    if principal.partner_id is None:
        require(principal, Scope.SUBSCRIPTIONS_ALL)
    return principal.partner_id


def _bearer(authorization: bytes | None) -> str:
    if authorization is None or authorization[: len(_SCHEME)].lower() != _SCHEME:
        raise NotAuthenticated
    key = authorization[len(_SCHEME) :].strip(b" ")
    if not key.isascii() or len(key) > _MAX_KEY_LENGTH:
        raise NotAuthenticated
    return key.decode("ascii")
