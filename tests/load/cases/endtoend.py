"""Accept to received, open loop, with one process each of api, verify and deliver."""

from collections.abc import Sequence
from typing import Any

from tests.load.joined import Joined, join
from tests.load.percentiles import percentile
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import Stage, stage, verification
from tests.rig.product import Tenant

_MUST_RATE = 1200
_KNEE_RATES = (300, 600, 900, 1200, 1500, 1800, 2100, 2500, 3000)
_P99_MS = 250.0


def steady(seconds: float) -> Result:
    """The rate that must be kept, for 60 s or as long as asked."""
    with stage() as built:
        tenant = _one_subscription(built)
        warm_up(built, tenant)
        found, figures = offer(built, tenant, rate=_MUST_RATE, seconds=seconds)
    p50, p99 = figures["p50_ms"], figures["p99_ms"]
    return Result(
        case="endtoend",
        what=f"accept → received, checks without network, open loop for {seconds:.0f} s, three processes",
        must="1,200/s at p50 ≤ 25 ms, p99 ≤ 250 ms, none lost",
        aim="2,500/s at p99 ≤ 50 ms",
        measured=f"{_MUST_RATE:,}/s at p50 {p50} / p99 {p99} ms, lost {found.lost}, duplicates {found.duplicates}",
        ok=found.sound and not found.refused and within(p50, 25) and within(p99, _P99_MS),
        figures=figures,
    )


def knee(seconds: float) -> Result:
    """Raises the rate until the p99 breaks; every step drains before the next."""
    steps = []
    with stage() as built:
        tenant = _one_subscription(built)
        warm_up(built, tenant)
        for rate in _KNEE_RATES:
            found, figures = offer(built, tenant, rate=rate, seconds=max(min(seconds, 20), 10_500 / rate))
            steps.append(figures)
            if not found.sound or found.refused or not within(figures["p99_ms"], _P99_MS):
                break
    kept = [step for step in steps if within(step["p99_ms"], _P99_MS) and not step["lost"]]
    best = kept[-1] if kept else steps[-1]
    return Result(
        case="knee",
        what="highest rate kept end to end, p99 ≤ 250 ms",
        must="1,200/s",
        aim="2,500/s",
        measured=f"{best['rate'] if kept else 0:,}/s at p50 {best['p50_ms']} / p99 {best['p99_ms']} ms",
        ok=bool(kept) and best["rate"] >= _MUST_RATE,
        figures={"steps": steps},
    )


def warm_up(built: Stage, *tenants: Tenant) -> None:
    """A second of light load that is not counted: connections, script caches and code are warm after it."""
    done = built.generate(_streams("warm", tenants, rate=200), seconds=1)
    built.farm.wait_for(len(done.sent), limit_s=10)
    built.farm.reset()


def offer(built: Stage, *tenants: Tenant, rate: int, seconds: float) -> tuple[Joined, dict[str, Any]]:
    """Offers a rate, shared by tenants of one subscription each; waits for the rest, and joins by id."""
    before = built.cpu()
    done = built.generate(_streams(f"rate{rate}", tenants, rate=rate), seconds=seconds)
    drained = built.farm.wait_for(sum(one.status == 202 for one in done.sent), limit_s=30)
    found = join(done.sent, built.farm.records(), paths=["/ok/1"])
    spent = {name: built.cpu()[name] - earlier for name, earlier in before.items()}
    built.farm.reset()
    figures = {
        "rate": rate,
        "seconds": seconds,
        "accepted": found.accepted,
        "refused": found.refused,
        "unanswered": found.unanswered,
        "lost": found.lost,
        "unexpected": found.unexpected,
        "duplicates": found.duplicates,
        "accept_p50_ms": percentile(found.accept_ms, 0.5),
        "accept_p99_ms": percentile(found.accept_ms, 0.99),
        "p50_ms": percentile(found.received_ms, 0.5),
        "p99_ms": percentile(found.received_ms, 0.99),
        "drained_s": round(drained, 2),
        "generator_cpu": round(done.cpu_share, 2),
        "generator_late_ms": round(done.latest_send_s * 1000, 1),
        "cpu_us_each": {name: round(cpu / max(1, found.accepted) * 1e6) for name, cpu in spent.items()},
    }
    return found, figures


def within(value: float | None, limit: float) -> bool:
    return value is not None and value <= limit


def _streams(name: str, tenants: Sequence[Tenant], *, rate: float) -> list[Stream]:
    """The tenants' requests take turns, so that the whole arrives as evenly as one tenant's would."""
    share = rate / len(tenants)
    return [
        Stream(f"{name}-{n}", share, tenant.key, verification(name), start_s=n / rate)
        for n, tenant in enumerate(tenants)
    ]


def _one_subscription(built: Stage) -> Tenant:
    built.start_all()
    tenant = built.tenant("acme")
    built.subscribe(tenant, "/ok/1")
    return tenant
