"""Marked values go through every flow, faults included; then everything that is written or shown is searched for them.

The address, the signing secret and the API key may be nowhere: not in logs, metrics, problems, command lines, the
names of keys, arq's jobs, or on Redis' disk. What the caller may put an address into (`subject_id`, metadata, the
idempotency key), and what a subscriber answers, is stored as it came, but is nowhere else either.
"""

import base64
import subprocess
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import httpx
import redis

from tests.end_to_end.account import Account
from tests.end_to_end.consumer import Consumer, eventually
from tests.end_to_end.machine import Machine

ADDRESS = "Canary-7f3a@valid.example"
GIVEN = "canary-5e1d@valid.example"  # where a caller may put an address, and this one does
ECHOED = "canary-9c04@valid.example"  # what a subscriber says in its answers
SECRET = "whsec_" + base64.b64encode(b"CANARY signing secret, 32 bytes!").decode()
_RAW_SECRET = base64.b64decode(SECRET.removeprefix("whsec_"))


def all_flows(machine: Machine, tenant: Account, consumer: Consumer, failing: Consumer) -> None:
    since = datetime.now(UTC).isoformat()
    failing.status, failing.answer = 500, ECHOED.encode()
    good = tenant.post("/v1/subscriptions", {"url": consumer.url, "secret": SECRET, "include": ["address"]})["id"]
    consumer.secrets = [SECRET]
    bad = tenant.subscribe(failing)
    asked = tenant.submit(ADDRESS, subject_id=GIVEN, metadata={"contact": GIVEN})
    tenant.ask("POST", "/v1/verifications", json={"email": ADDRESS}, headers={"idempotency-key": GIVEN})
    tenant.verdict(asked)
    assert eventually(lambda: consumer.applied() and failing.about(asked))
    refusals(tenant)
    tenant.post(f"/v1/subscriptions/{good}/rotate-secret", {"secret": SECRET.replace("Q", "R"), "overlap_s": 60})
    rotation = {"secret": SECRET, "overlap_s": 60}
    for _ in range(2):
        given = {"idempotency-key": GIVEN}
        tenant.ask("POST", f"/v1/subscriptions/{good}/rotate-secret", json=rotation, headers=given)
    tenant.post(f"/v1/subscriptions/{good}/test")
    assert eventually(lambda: consumer.applied("subscription.test"))
    faults(machine, tenant, failing)
    tenant.post(f"/v1/subscriptions/{good}/recover", {"since": since})
    tenant.post(f"/v1/verifications/{asked}/recheck")
    failing.status = 410
    assert eventually(lambda: not tenant.get(f"/v1/subscriptions/{bad}")["enabled"], limit_s=40)
    for path in ("verifications", "subscriptions", "keys", "partners", "dead-letters?kind=delivery"):
        tenant.items(f"/v1/{path}")
    tenant.ask("DELETE", f"/v1/verifications/{asked}")


def refusals(tenant: Account) -> None:
    """What is refused quotes nothing of it."""
    for body in (
        {"email": ADDRESS, "extra": ADDRESS},
        {"email": [ADDRESS]},
        {"email": ADDRESS + "\r\n"},
        {"mail": ADDRESS},
    ):
        tenant.ask("POST", "/v1/verifications", json=body)
    tenant.ask("POST", "/v1/verifications", json={"email": "x@valid.example"}, headers={"idempotency-key": GIVEN})
    tenant.ask("POST", "/v1/subscriptions", json={"url": f"http://{ADDRESS}/", "secret": SECRET})
    tenant.ask("POST", "/v1/subscriptions", json={"url": "https://x.example/", "secret": SECRET + "="})
    tenant.ask("POST", "/v1/subscriptions", json={"url": "https://x.example/", "headers": {"X-Key": tenant.key}})
    tenant.ask("GET", f"/v1/verifications/{ADDRESS}")
    tenant.ask("GET", f"/v1/verifications?subject_id={ADDRESS}&key={tenant.key}")
    stranger = Account(tenant.url, tenant.key[:-1] + ("A" if tenant.key[-1] != "A" else "B"), problems=tenant.problems)
    stranger.ask("GET", "/v1/verifications")
    with httpx.Client(trust_env=False) as client:
        broken = f'{{"email": "{ADDRESS}", "secret": "{SECRET}'
        headers = {"authorization": f"Bearer {tenant.key}", "content-type": "application/json"}
        tenant.problems.append(client.post(f"{tenant.url}/v1/verifications", content=broken, headers=headers))


def faults(machine: Machine, tenant: Account, failing: Consumer) -> None:
    """Redis dies under requests and deliveries; a worker dies while it pushes."""
    asked = tenant.submit(ADDRESS, priority="high")
    machine.redis.kill()
    tenant.ask("POST", "/v1/verifications", json={"email": ADDRESS}, headers={"idempotency-key": GIVEN + "2"})
    time.sleep(1)
    machine.redis.start_again()
    assert eventually(machine.is_ready, limit_s=30)
    assert eventually(lambda: failing.about(asked), limit_s=40)
    for name in ("deliver-1", "verify-1"):
        machine.children[name].kill()
        machine.children[name].start()


def jobs_and_key_names(server: redis.Redis) -> str:
    """All names in the ledger, and all that arq was told."""
    names = sorted(server.scan_iter(count=1000))
    told = [server.get(name) for name in names if name.startswith(b"arq:job:")]
    return repr(names) + repr(told)


def on_disk(directory: Path) -> bytes:
    return b"".join(path.read_bytes() for path in directory.rglob("*") if path.is_file())


def command_lines() -> str:
    return subprocess.run(["ps", "-eo", "args"], capture_output=True, text=True, check=True).stdout


def test_marked_values_are_nowhere(machine: Machine, tenant: Account, new_consumer: Callable[[], Consumer]) -> None:
    all_flows(machine, tenant, new_consumer(), new_consumer())

    with redis.Redis.from_url(machine.redis.url) as server:
        jobs = jobs_and_key_names(server)
    problems = "\n".join(f"{one.headers}\n{one.text}" for one in tenant.problems)
    shown = {"logs": machine.logs(), "metrics": machine.metrics(), "problems": problems, "jobs": jobs}
    shown["command lines"] = command_lines()
    canaries = [
        ADDRESS,
        ADDRESS.lower(),
        "7f3a",
        GIVEN,
        "5e1d",
        ECHOED,
        SECRET,
        SECRET[6:30],
        tenant.key,
        tenant.key[-43:],
    ]
    hits = [(where, canary) for where, text in shown.items() for canary in canaries if canary in text]
    assert hits == []
    assert len(tenant.problems) >= 12
    disk = on_disk(machine.home / "redis")
    secrets = [b"anary-7f3a", SECRET.encode(), _RAW_SECRET, tenant.key.encode(), tenant.key[-43:].encode()]
    assert [secret for secret in secrets if secret in disk] == []
