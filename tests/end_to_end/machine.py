"""A whole gateway of real processes: Redis, sandbox DNS, api, verify and deliver, each with a log of its own."""

import asyncio
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path

import httpx

from tests.end_to_end.account import Account
from tests.redis_servers import running
from tests.rig.processes import Child, answers
from tests.rig.product import Product
from vouchpost_gateway.domain.world import Mode, Scope
from vouchpost_gateway.embedded.ports import free_port
from vouchpost_gateway.embedded.redis_server import EmbeddedRedis
from vouchpost_gateway.settings import load_settings
from vouchpost_gateway.wiring import now_ms, opened

# Limits that let a test wait; their order is that of the defaults.
_SETTINGS = {
    "PUSH_TIMEOUT_S": "2",
    "DNS_TIMEOUT_S": "3",
    "CHECKS_MAX": "1",
    "LOG_LEVEL": "debug",
}

_START_LIMIT_S = 60


@dataclass
class Machine:
    """What runs, where it writes, and who may use it."""

    home: Path
    product: Product
    redis: EmbeddedRedis
    children: dict[str, Child]

    def account(self, name: str) -> Account:
        """A new tenant's admin key, of test mode."""
        return Account(self.product.url, asyncio.run(self._key(name, Mode.TEST)), name=name)

    def account_in(self, account: Account, mode: Mode) -> Account:
        """An admin key of the same tenant in this mode."""
        return Account(self.product.url, asyncio.run(self._key(account.name, mode)), name=account.name)

    def metrics(self) -> str:
        return "\n".join(self.metrics_by_process())

    def metrics_by_process(self) -> list[str]:
        """What Prometheus would read of each."""
        ports = [child.env["VOUCHPOST_METRICS_PORT"] for name, child in self.children.items() if name != "dns"]
        return [httpx.get(f"http://127.0.0.1:{port}/metrics", trust_env=False).text for port in ports]

    def log_lines(self) -> list[str]:
        """What the gateway's own processes have written."""
        logs = (child.log for name, child in self.children.items() if name != "dns")
        return [line for log in logs for line in log.read_text(errors="replace").splitlines() if line.startswith("{")]

    def logs(self) -> str:
        return "\n".join(log.read_text(errors="replace") for log in sorted(self.home.rglob("*.log")))

    def is_ready(self) -> bool:
        return self.product.is_ready()

    async def _key(self, name: str, mode: Mode) -> str:
        given = {"ledger_url": self.redis.url, "master_keys": self.product.master_key}
        async with opened(load_settings(**given)) as gateway:
            tenant = await gateway.tenants.find(name) or await gateway.tenants.create(name, now_ms=now_ms())
            _, text = await gateway.services.access.create_key(
                tenant.world(mode),
                scopes=frozenset({Scope.ADMIN}),
                label=name,
                partner_id=None,
                expires_ms=None,
            )
            return text


@contextmanager
def started(home: Path) -> Iterator[Machine]:
    with running(home / "redis") as server:
        dns_port = free_port()
        product = Product(home, server.url, _SETTINGS | {"SANDBOX_DNS": f"127.0.0.1:{dns_port}"})
        command = [sys.executable, "-m", "vouchpost_gateway.embedded.dns", "--port", str(dns_port)]
        children = [Child("dns", command, home / "dns.log"), *map(_with_metrics, _product_children(product))]
        machine = Machine(home, product, server, {child.name: child for child in children})
        try:
            for child in children:
                child.start()
            children[0].wait_until(lambda: answers(dns_port), limit_s=_START_LIMIT_S)
            for child in children[1:]:
                child.wait_until(_serves_metrics(child), limit_s=_START_LIMIT_S)
            children[1].wait_until(machine.is_ready, limit_s=_START_LIMIT_S)
            yield machine
        finally:
            for child in reversed(children):
                child.kill()


def _product_children(product: Product) -> list[Child]:
    return [product.api(), product.worker("verify"), product.worker("deliver")]


def _with_metrics(child: Child) -> Child:
    return replace(child, env={**child.env, "VOUCHPOST_METRICS_PORT": str(free_port())})


def _serves_metrics(child: Child) -> Callable[[], bool]:
    return lambda: answers(int(child.env["VOUCHPOST_METRICS_PORT"]))
