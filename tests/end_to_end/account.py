"""A tenant, or one of its partners, as it sees the gateway: through the HTTP API, with a key."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import httpx

from tests.contract.contract import answer_faults, operation_at
from tests.end_to_end.consumer import Consumer
from vouchpost import Client

# Failed pushes come again soon, so that a test sees it.
SCHEDULE_S = [0, 0.5, 0.5, 1, 1, 1, 2, 2, 2, 2]


@dataclass
class Account:
    """Whoever holds the key. Every answer is held to openapi.yaml.

    `problems` keeps every refusal, to be searched for what must not be in it.
    """

    url: str
    key: str
    name: str = ""
    problems: list[httpx.Response] = field(default_factory=list)

    def ask(
        self, method: str, path: str, *, json: object = None, headers: Mapping[str, str] | None = None
    ) -> httpx.Response:
        sent = {"authorization": f"Bearer {self.key}", **(headers or {})}
        with httpx.Client(base_url=self.url, timeout=40, trust_env=False) as client:
            answer = client.request(method, path, json=json, headers=sent)
        operation = operation_at(method, path)
        found = answer_faults(operation, status=answer.status_code, headers=answer.headers, body=answer.content)
        assert found == [], f"{method} {path} is not answered as openapi.yaml promises"
        if answer.is_error:
            self.problems.append(answer)
        return answer

    def get(self, path: str) -> dict[str, Any]:
        return _object(self.ask("GET", path))

    def post(self, path: str, json: object = None) -> dict[str, Any]:
        return _object(self.ask("POST", path, json=json))

    def items(self, path: str) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = self.get(path)["items"]
        return found

    def client(self) -> Client:
        """The kit's."""
        return Client(key=self.key, url=self.url)

    def submit(self, email: str, **fields: object) -> str:
        return str(self.post("/v1/verifications", {"email": email, **fields})["id"])

    def verdict(self, verification_id: str) -> dict[str, Any]:
        """The verification with its verdict."""
        return self.get(f"/v1/verifications/{verification_id}?wait=20")

    def subscribe(self, consumer: Consumer, **fields: object) -> str:
        """The id of a new subscription whose secret the consumer knows."""
        made = self.post("/v1/subscriptions", {"url": consumer.url, "schedule_s": SCHEDULE_S, **fields})
        consumer.secrets = [str(made["secret"])]
        return str(made["id"])

    def partner(self, name: str) -> "Account":
        """A new partner of this tenant, signed in."""
        partner = self.post("/v1/partners", {"name": name})
        key = self.post("/v1/keys", {"scopes": ["subscriptions:own"], "partner_id": partner["id"]})
        return Account(self.url, str(key["key"]))


def _object(answer: httpx.Response) -> dict[str, Any]:
    assert answer.is_success, answer.text
    found: dict[str, Any] = answer.json() if answer.content else {}
    return found
