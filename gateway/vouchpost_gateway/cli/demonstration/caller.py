"""The demo's own caller of the HTTP API: it submits until it is told 202, as any client would."""

import asyncio
import uuid
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from types import TracebackType
from typing import Any, Self

import httpx

from vouchpost_gateway.domain.errors import VouchpostError

_LIMIT_S = 5.0
_PAUSE_S = 0.2
_AGAIN = frozenset({429, 500, 502, 503, 504})
_TOGETHER = 8


class RefusedError(VouchpostError):
    """The API refused what the demo asked of it."""


@dataclass(frozen=True, slots=True)
class Acknowledged:
    """An address that was answered 202."""

    address: str
    verification_id: str
    at_ms: int


class Caller:
    """Signs in with a test key. What gets no answer, or a 5xx, is sent again under the same idempotency key."""

    def __init__(self, url: str, key: str) -> None:
        self._http = httpx.AsyncClient(
            base_url=url, headers={"authorization": f"Bearer {key}"}, timeout=_LIMIT_S, trust_env=False
        )
        self._turns = asyncio.Semaphore(_TOGETHER)
        self.retries = 0

    async def subscribe(self, url: str, secret: str) -> str:
        """The id of a new subscription."""
        answer = await self._ask("POST", "/v1/subscriptions", json={"url": url, "secret": secret})
        return str(answer["id"])

    async def submit(self, address: str, subject_id: str) -> Acknowledged:
        """Returns when the gateway promised a verdict."""
        body = {"email": address, "subject_id": subject_id}
        async with self._turns:
            answer = await self._ask("POST", "/v1/verifications", json=body, key=str(uuid.uuid4()))
        made = datetime.fromisoformat(answer["created_at"])
        return Acknowledged(address, str(answer["id"]), round(made.timestamp() * 1000))

    async def delivered(self, subscription_id: str) -> int:
        """How many deliveries of this subscription have succeeded, by the API's own word."""
        count, cursor = 0, ""
        while True:
            query = f"?state=delivered&limit=100{cursor}"
            page = await self._ask("GET", f"/v1/subscriptions/{subscription_id}/deliveries{query}")
            count += len(page["items"])
            if not page.get("next_cursor"):
                return count
            cursor = f"&cursor={page['next_cursor']}"

    async def _ask(
        self, method: str, path: str, *, json: Mapping[str, str] | None = None, key: str | None = None
    ) -> dict[str, Any]:
        headers = {"idempotency-key": key} if key else {}
        while True:
            try:
                answer = await self._http.request(method, path, json=json, headers=headers)
            except httpx.TransportError:
                answer = None
            if answer is not None and answer.is_success:
                found: dict[str, Any] = answer.json()
                return found
            if answer is not None and answer.status_code not in _AGAIN:
                raise RefusedError(f"{method} {path.partition('?')[0]} was answered {answer.status_code}")
            self.retries += 1
            await asyncio.sleep(_PAUSE_S)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.aclose()
