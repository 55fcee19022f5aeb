"""What a finished verification weighs in Redis, and what growth does to latency."""

import time
from dataclasses import replace

from tests.load.cases.endtoend import offer, warm_up
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import Stage, stage, verification
from tests.rig.product import Tenant

_RATE = 200
_TENANTS = 10


def memory(seconds: float) -> Result:
    """Growth of used memory over finished verifications at fan-out 1, with idempotency keys, evidence and indexes."""
    with stage() as built:
        built.start_all()
        tenant = built.tenant("acme")
        built.subscribe(tenant, "/ok/1")
        warm_up(built, tenant)
        time.sleep(2)
        before = built.memory()
        stream = Stream("load", 500, tenant.key, verification("load"))
        done = built.generate([stream], seconds=max(seconds, 10))
        built.farm.wait_for(len(done.sent), limit_s=60)
        time.sleep(3)
        grown = built.memory() - before
    count = sum(one.status == 202 for one in done.sent)
    each = grown / max(count, 1)
    return Result(
        case="memory",
        what="Redis memory per finished verification, fan-out 1",
        must="≤ 2.0 kB",
        aim="1.3 kB",
        measured=f"{each / 1000:.2f} kB over {count:,}",
        ok=count > 0 and each <= 2000,
        figures={"bytes_each": round(each, 1), "verifications": count},
    )


def subscriptions(seconds: float) -> Result:
    """Latency of ten loaded tenants with 2 and with 500 subscriptions each, of which one wants the events."""
    each = 500 if seconds >= 60 else 50
    with stage({"MAX_MATCHES": str(each)}) as built:
        built.start_all()
        tenants = [built.tenant(f"tenant-{number}") for number in range(_TENANTS)]
        for tenant in tenants:
            built.subscribe(tenant, "/ok/1")
            _fill(built, tenant, 1)
        warm_up(built, *tenants)
        _, few = offer(built, *tenants, rate=_RATE, seconds=max(seconds, 10_100 / _RATE))
        for tenant in tenants:
            _fill(built, tenant, each - 2)
        _, many = offer(built, *tenants, rate=_RATE, seconds=max(seconds, 10_100 / _RATE))
    what = f"{2 * _TENANTS} → {each * _TENANTS:,} subscriptions of ten tenants"
    return _grown("growth_subscriptions", what, few, many)


def backlog(seconds: float) -> Result:
    """Latency with nothing and with many deliveries of another tenant waiting for their next attempt."""
    many = 500_000 if seconds >= 60 else 10_000
    with stage() as built:
        tenant = _one(built)
        _, empty = offer(built, tenant, rate=_RATE, seconds=max(seconds, 10_100 / _RATE))
        other = built.tenant("failing")
        for number in range(10):
            built.subscribe(other, f"/status/503/{number}")
        stream = Stream("load", 200, other.key, verification("load"))
        built.generate([stream], seconds=many / 10 / 200)
        time.sleep(5)
        built.farm.reset()
        _, full = offer(built, tenant, rate=_RATE, seconds=max(seconds, 10_100 / _RATE))
        waiting = built.waiting()
    result = _grown("growth_backlog", f"0 → {waiting:,} deliveries of another tenant waiting", empty, full)
    return replace(result, ok=result.ok and waiting >= 0.9 * many, figures={**result.figures, "waiting": waiting})


def _one(built: Stage) -> Tenant:
    built.start_all()
    tenant = built.tenant("acme")
    built.subscribe(tenant, "/ok/1")
    warm_up(built, tenant)
    return tenant


def _fill(built: Stage, tenant: Tenant, count: int) -> None:
    for number in range(count):
        built.subscribe(tenant, f"/ok/other-{number}", event_types=["verification.updated"])


def _grown(case: str, what: str, before: dict[str, object], after: dict[str, object]) -> Result:
    p50 = (before["p50_ms"], after["p50_ms"])
    p99 = (before["p99_ms"], after["p99_ms"])
    known = isinstance(p99[0], float) and isinstance(p99[1], float)
    return Result(
        case=case,
        what=f"growth: {what}",
        must="no visible growth (p50 ≤ 1.5 times)",
        aim="",
        measured=f"p50 {p50[0]} → {p50[1]} ms, p99 {p99[0]} → {p99[1]} ms at {_RATE}/s",
        ok=known and not before["lost"] and not after["lost"] and float(str(p50[1])) <= 1.5 * float(str(p50[0])) + 1,
        figures={"before": before, "after": after},
    )
