"""The application: all paths of the API on the services they need. No I/O of its own, and no settings."""

import time
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial

from starlette.routing import Route, Router
from starlette.types import ASGIApp, Receive, Scope, Send

from vouchpost_gateway.api import dead_letters, deliveries, events, keys, partners, policy, subscriptions, verifications
from vouchpost_gateway.api.call import Tools
from vouchpost_gateway.api.cursors import Cursors
from vouchpost_gateway.api.endpoint import Endpoint, Nowhere, Observe, OpenPath
from vouchpost_gateway.api.health import alive, ready
from vouchpost_gateway.api.operation import Operation
from vouchpost_gateway.api.rate import GENEROUS, PROBES, Buckets, Rate
from vouchpost_gateway.api.resource import Edge, Resource
from vouchpost_gateway.api.services import Services
from vouchpost_gateway.domain.url import UrlPolicy
from vouchpost_gateway.domain.world import Mode

# Literal paths stand before those with an id in the same place.
ROUTES: dict[str, dict[str, Operation]] = {
    **verifications.ROUTES,
    **subscriptions.ROUTES,
    **deliveries.ROUTES,
    **dead_letters.ROUTES,
    **events.ROUTES,
    **keys.ROUTES,
    **partners.ROUTES,
    **policy.ROUTES,
}
OPEN_PATHS = ("/healthz", "/readyz")
_DEFAULT_URL_POLICY = UrlPolicy()


def _wall_clock_ms() -> int:
    return time.time_ns() // 1_000_000


def _unobserved(_route: str, _method: str, _status: int, _seconds: float) -> None:
    pass


def create_app(
    services: Services,
    *,
    cursor_key: bytes,
    body_limit_bytes: int = 65_536,
    wait_max_s: float = 30,
    rotation_overlap_s: float = 86_400,
    rate: Rate = GENEROUS,
    url_policy: UrlPolicy = _DEFAULT_URL_POLICY,
    observe: Observe = _unobserved,
    now_ms: Callable[[], int] = _wall_clock_ms,
    clock: Callable[[], float] = time.monotonic,
) -> ASGIApp:
    """An ASGI application without lifespan: whoever opened the services closes them.

    `url_policy` is that of live mode; in test mode subscriptions may push to loopback HTTP as well.
    `observe` is called with (route template, method, status, seconds) after every answer.
    """
    tools = Tools(
        services=services,
        cursors=Cursors(cursor_key),
        probes=Buckets(PROBES, name="probes", clock=clock),
        now_ms=now_ms,
        wait_max_s=int(wait_max_s),
        rotation_overlap_s=rotation_overlap_s,
        url_policies={Mode.LIVE: url_policy, Mode.TEST: replace(url_policy, allow_loopback_http=True)},
    )
    edge = Edge(tools, Buckets(rate, name="key", clock=clock), body_limit_bytes, observe)
    endpoints: dict[str, Endpoint] = {path: Resource(path, operations, edge) for path, operations in ROUTES.items()}
    endpoints["/healthz"] = OpenPath("/healthz", alive, observe=observe)
    endpoints["/readyz"] = OpenPath("/readyz", partial(ready, services.health), observe=observe)
    return _paths(endpoints, default=Nowhere(observe=observe))


def _paths(endpoints: Mapping[str, Endpoint], *, default: Endpoint) -> ASGIApp:
    """A path without an id, such as the one that addresses are submitted to, needs no search through all of them."""
    by_name = {path: endpoint for path, endpoint in endpoints.items() if "{" not in path}
    others = [Route(path, endpoint) for path, endpoint in endpoints.items() if path not in by_name]
    router = Router(others, redirect_slashes=False, default=default)

    async def application(scope: Scope, receive: Receive, send: Send) -> None:
        await by_name.get(scope["path"], router)(scope, receive, send)

    return application
