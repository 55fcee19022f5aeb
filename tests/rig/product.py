"""The product as an operator runs it: `vouchpost api`, `vouchpost worker`, `vouchpost keys`, told by environment."""

import base64
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

import httpx

from tests.rig.processes import Child, NotReadyError
from vouchpost_gateway.embedded.ports import free_port

_COMMAND = (sys.executable, "-m", "vouchpost")
_KEY = re.compile(r"vp_(?:live|test)_\w{14}_[A-Za-z0-9_-]{43}")


@dataclass
class Product:
    """Every process of one gateway over one ledger. Settings are VOUCHPOST_ names without the prefix."""

    home: Path
    ledger_url: str
    settings: Mapping[str, str] = field(default_factory=dict)
    api_port: int = field(default_factory=free_port)
    master_key: str = field(default_factory=lambda: base64.b64encode(os.urandom(32)).decode())

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.api_port}"

    @property
    def environment(self) -> dict[str, str]:
        given = {
            "LEDGER_URL": self.ledger_url,
            "MASTER_KEYS": self.master_key,
            "API_PORT": str(self.api_port),
            "METRICS_PORT": "0",
            "LOG_LEVEL": "warning",
            **self.settings,
        }
        return {f"VOUCHPOST_{name}": value for name, value in given.items()}

    def api(self, *, number: int = 1, port: int | None = None, ledger_url: str | None = None) -> Child:
        env = self.environment | {"VOUCHPOST_API_PORT": str(port or self.api_port)}
        return self._child(f"api-{number}", "api", env=env | self._ledger(ledger_url))

    def worker(self, role: str, *, number: int = 1, ledger_url: str | None = None) -> Child:
        env = self.environment | self._ledger(ledger_url)
        return self._child(f"{role}-{number}", "worker", "--role", role, env=env)

    def create_key(self, tenant: str, *, mode: str = "test", scope: str = "admin") -> str:
        """A new API key; the tenant is made when it does not exist."""
        command = [*_COMMAND, "keys", "create", "--tenant", tenant, "--mode", mode, "--scope", scope]
        done = subprocess.run(
            command, env={**os.environ, **self.environment}, capture_output=True, text=True, timeout=30, check=False
        )
        key = _KEY.search(done.stdout)
        if done.returncode or key is None:
            raise NotReadyError(f"keys create ended with {done.returncode}\n{done.stdout[-500:]}{done.stderr[-2000:]}")
        return key[0]

    def is_ready(self, port: int | None = None) -> bool:
        try:
            answer = httpx.get(f"http://127.0.0.1:{port or self.api_port}/readyz", timeout=2, trust_env=False)
        except httpx.HTTPError:
            return False
        return answer.status_code == 200

    def _ledger(self, url: str | None) -> dict[str, str]:
        return {} if url is None else {"VOUCHPOST_LEDGER_URL": url}

    def _child(self, name: str, *arguments: str, env: Mapping[str, str]) -> Child:
        return Child(name, [*_COMMAND, *arguments], self.home / f"{name}.log", env=env)


@dataclass(frozen=True)
class Tenant:
    """A tenant under test, as its own operator sees it through the API."""

    url: str
    key: str

    def subscribe(self, url: str, **fields: object) -> dict[str, object]:
        """A new subscription, with its secret, as the API answers it."""
        return self._call("POST", "/v1/subscriptions", json={"url": url, **fields})

    def unsubscribe(self, subscription_id: str) -> None:
        with self._client() as client:
            client.delete(f"/v1/subscriptions/{subscription_id}").raise_for_status()

    def get(self, path: str) -> httpx.Response:
        with self._client() as client:
            return client.get(path)

    def _call(self, method: str, path: str, *, json: object) -> dict[str, object]:
        with self._client() as client:
            answer = client.request(method, path, json=json)
        if answer.is_error:
            raise NotReadyError(f"{method} {path}: {answer.status_code} {answer.text[:500]}")
        found: dict[str, object] = answer.json()
        return found

    def _client(self) -> httpx.Client:
        headers = {"authorization": f"Bearer {self.key}"}
        return httpx.Client(base_url=self.url, headers=headers, timeout=10, trust_env=False)
