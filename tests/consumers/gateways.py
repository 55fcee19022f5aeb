"""A gateway that answers from a list, behind a real client: up, down and back again."""

import json
import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import httpx

from vouchpost.async_client import AsyncClient
from vouchpost.client import Client

KEY = "vp_test_00abc"
REFUSED = {"type": "urn:problem-type:vouchpost:refused", "title": "refused"}


@dataclass(slots=True)
class FakeGateway:
    """Takes submissions while `up`; `verdict` is what waiting finds. Repeats of an idempotency key are one.

    Under a key that it knows, it refuses another body.
    """

    up: bool = True
    refuse_with: int | None = None
    refused_field: str | None = None
    proxy_says: int | None = None
    verdict: str = "pending"
    taken: dict[str, dict[str, Any]] = field(default_factory=dict)
    calls: int = 0
    hang: threading.Event | None = None

    def answer(self, request: httpx.Request) -> httpx.Response:
        self.calls += 1
        if self.hang is not None:
            self.hang.wait(30)
        if not self.up:
            raise httpx.ConnectError("down")
        if self.proxy_says:
            return httpx.Response(self.proxy_says, html=f"<title>{self.proxy_says}</title>")
        if self.refuse_with:
            errors = [{"field": self.refused_field, "reason": "is wrong"}] if self.refused_field else []
            return httpx.Response(self.refuse_with, json=REFUSED | {"errors": errors})
        if request.method == "POST":
            content = json.loads(request.content)
            if self.taken.setdefault(request.headers["idempotency-key"], content) != content:
                return httpx.Response(422, json=REFUSED | {"title": "The key was used with another body"})
        return httpx.Response(202, json={"id": "vrf_1", "status": self._status(request), "sequence": 7})

    def _status(self, request: httpx.Request) -> str:
        return "pending" if request.method == "POST" else self.verdict

    @property
    def emails(self) -> Sequence[str]:
        return [content["email"] for content in self.taken.values()]

    def client(self) -> Client:
        return Client(key=KEY, url="http://gateway", total_s=0.6, transport=httpx.MockTransport(self.answer))

    def async_client(self) -> AsyncClient:
        return AsyncClient(key=KEY, url="http://gateway", total_s=0.6, transport=httpx.MockTransport(self.answer))
