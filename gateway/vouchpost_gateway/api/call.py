"""One call of one operation: everything a handler may look at, gathered and checked before it runs."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any, TypeVar

from starlette.types import Receive

from vouchpost_gateway.api.answer import Answer, json_answer
from vouchpost_gateway.api.auth import viewer
from vouchpost_gateway.api.cursors import Cursors
from vouchpost_gateway.api.headers import RequestHeaders
from vouchpost_gateway.api.query import DEFAULT_LIMIT, MAX_LIMIT, span, whole_number
from vouchpost_gateway.api.rate import Buckets
from vouchpost_gateway.api.services import Services
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import InvalidField, NotFound
from vouchpost_gateway.domain.ids import MalformedIdError
from vouchpost_gateway.domain.page import Page, Span
from vouchpost_gateway.domain.url import UrlPolicy
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.world import Mode, Principal, World

Item = TypeVar("Item")
Parsed = TypeVar("Parsed")
Choice = TypeVar("Choice", bound=StrEnum)


@dataclass(frozen=True, slots=True)
class Tools:
    """What all calls of an application share. `now_ms` is the wall clock."""

    services: Services
    cursors: Cursors
    probes: Buckets
    now_ms: Callable[[], int]
    wait_max_s: int
    rotation_overlap_s: float
    url_policies: Mapping[Mode, UrlPolicy]


@value(frozen=True, slots=True)
class Call:
    """One request that is allowed to happen: who asks, what for, and the raw body.

    `draw` is set under an Idempotency-Key: every id and secret must come from it, so that a second run makes the same.
    """

    tools: Tools
    principal: Principal
    path: str
    params: Mapping[str, str]
    query: dict[str, str]
    headers: RequestHeaders
    raw: bytes
    receive: Receive
    draw: Draw | None = None

    @property
    def services(self) -> Services:
        return self.tools.services

    @property
    def world(self) -> World:
        return self.principal.world

    def id(self, noun: str, parse: Callable[[str], Parsed]) -> Parsed:
        """The id in the path; text that is no id of ours names nothing, just like somebody else's id."""
        try:
            return parse(self.params["id"])
        except MalformedIdError as error:
            raise NotFound(noun) from error

    @property
    def viewer(self) -> str | None:
        """Whose subscriptions this key sees: one partner's, or (None) all of the world's; NotAllowed for neither."""
        return viewer(self.principal)

    @property
    def url_policy(self) -> UrlPolicy:
        """Where subscriptions of this world may push to; test mode may push to this machine."""
        return self.tools.url_policies[self.world.mode]

    def choice(self, name: str, choices: type[Choice]) -> Choice | None:
        """A query parameter that is one word of a closed list."""
        text = self.query.get(name)
        if text is None:
            return None
        try:
            return choices(text)
        except ValueError as error:
            raise InvalidField(name, "must be one of " + ", ".join(choices)) from error

    @property
    def limit(self) -> int:
        return whole_number(self.query, "limit", default=DEFAULT_LIMIT, low=1, high=MAX_LIMIT)

    @property
    def span(self) -> Span:
        return span(self.query)

    @property
    def after(self) -> str | None:
        """The position that the cursor stands for; None for the first page."""
        cursor = self.query.get("cursor")
        return None if cursor is None else self.tools.cursors.read(cursor, context=self._context)

    def page(self, page: Page[Item], view: Callable[[Item], Mapping[str, Any]]) -> Answer:
        """The answer that shows one page of a list."""
        following = None if page.next is None else self.tools.cursors.make(page.next, context=self._context)
        return json_answer({"items": [view(item) for item in page.items], "next_cursor": following})

    @property
    def _context(self) -> str:
        """Who sees which list. `kind` is no filter of one list: it says which of two, and their positions differ."""
        kind = self.query.get("kind")
        path = self.path if kind is None else f"{self.path}?kind={kind}"
        return f"{self.world.name}|{self.principal.partner_id or ''}|{path}"
