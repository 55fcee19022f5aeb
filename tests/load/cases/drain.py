"""How fast one deliver process on one core drains a backlog over 20 subscriptions, counted at the receiver."""

import time

from tests.load.joined import join
from tests.load.plan import Sent, Stream
from tests.load.report import Result
from tests.load.stage import Stage, stage, verification
from tests.rig.product import Tenant

_SUBSCRIPTIONS = 20
_PRELOAD_RATE = 300
_ONE_CORE, _THE_OTHER = frozenset({0}), frozenset({1})


def backlog(seconds: float) -> Result:
    """Verdicts pile up deliveries while no deliver worker runs; then one starts, and the receiver's clock counts."""
    events = int(max(400, min(seconds, 20) * 150))
    with stage({"TENANT_IN_FLIGHT": "2000"}) as built:
        built.start_api()
        tenant = built.tenant("acme")
        paths = [built.subscribe(tenant, f"/ok/{n}") for n in range(_SUBSCRIPTIONS)]
        sent = _preload(built, tenant, events)
        built.start_worker("deliver", cpus=_ONE_CORE)
        built.farm.wait_for(events * len(paths), limit_s=max(60, seconds * 3))
        found = join(sent, built.farm.records(), paths=paths)
        times = sorted(push.at for push in built.farm.records())
    rate = _middle_rate(times)
    return Result(
        case="drain",
        what="drain a backlog, 20 subscriptions, one deliver process on one core",
        must="3,500/s",
        aim="7,000/s",
        measured=f"{rate:,.0f}/s of {len(times):,}, lost {found.lost}, duplicates {found.duplicates}",
        ok=rate >= 3500 and found.sound,
        figures={"rate": rate, "lost": found.lost, "duplicates": found.duplicates, "backlog": len(times)},
    )


def _preload(built: Stage, tenant: Tenant, events: int) -> list[Sent]:
    verify = built.start_worker("verify")
    stream = Stream("load", _PRELOAD_RATE, tenant.key, verification("load"))
    done = built.generate([stream], seconds=events / _PRELOAD_RATE)
    time.sleep(3)
    verify.stop()
    return done.sent


def _middle_rate(times: list[float]) -> float:
    """Pushes a second between the first and the last twentieth, so that start and tail do not count."""
    if len(times) < 40:
        return 0.0
    low, high = len(times) // 20, len(times) * 19 // 20
    return (high - low) / (times[high] - times[low])
