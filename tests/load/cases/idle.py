"""What an idle system costs, and how long the one request that comes to it takes."""

import statistics
import time

from tests.load.joined import join
from tests.load.percentiles import percentile, quantile
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import stage, verification

_COLD_GAP_S = 2.5  # longer than a drain lingers on an empty lane, so that each request meets a system at rest


def latency(seconds: float) -> Result:
    """One request at a time: at 10/s, where the drains still linger, and each on a system at rest."""
    with stage() as built:
        built.start_all()
        tenant = built.tenant("acme")
        built.subscribe(tenant, "/ok/1")
        warm = Stream("warm", 10, tenant.key, verification("warm"), seconds=max(seconds, 21))
        cold = Stream(
            "cold",
            1 / _COLD_GAP_S,
            tenant.key,
            verification("cold"),
            start_s=(warm.seconds or 0) + _COLD_GAP_S,
            seconds=max(seconds, 20),
        )
        done = built.generate([warm, cold], seconds=seconds)
        built.farm.wait_for(len(done.sent), limit_s=10)
        records = built.farm.records()
    at_ten = join(done.of("warm")[1:], records, paths=["/ok/1"])
    at_rest = join(done.of("cold"), records, paths=["/ok/1"])
    p50 = percentile(at_ten.received_ms, 0.5)
    median = statistics.median(at_rest.received_ms) if at_rest.received_ms else float("inf")
    return Result(
        case="idle_latency",
        what="idle system, one request, accept → received",
        must="p50 ≤ 20 ms",
        aim="8 ms",
        measured=f"p50 {p50} ms at 10/s; {median:.1f} ms at rest (median of {len(at_rest.received_ms)})",
        ok=p50 is not None and p50 <= 20 and median <= 20 and not at_ten.lost and not at_rest.lost,
        figures={
            "warm_p50_ms": p50,
            "warm_samples": len(at_ten.received_ms),
            "rest_median_ms": round(median, 2),
            "rest_worst_ms": round(quantile(at_rest.received_ms, 1), 2) if at_rest.received_ms else None,
            "rest_samples": len(at_rest.received_ms),
        },
    )


def cost(seconds: float) -> Result:
    """CPU time of each process over CPU time of the clock while nothing is asked of them."""
    with stage() as built:
        running = built.start_all()
        built.tenant("acme")
        time.sleep(3)
        before = {name: child.cpu_seconds() for name, child in running.items()}
        redis_before = built.redis.cpu_seconds()
        time.sleep(max(seconds, 10))
        spent = {name: (child.cpu_seconds() - before[name]) / max(seconds, 10) for name, child in running.items()}
        spent["redis"] = (built.redis.cpu_seconds() - redis_before) / max(seconds, 10)
    worst = max(spent["verify"], spent["deliver"])
    return Result(
        case="idle_cost",
        what="idle cost",
        must="≤ 3 % of a core per worker",
        aim="1 %",
        measured=", ".join(f"{name} {share:.1%}" for name, share in spent.items()),
        ok=worst <= 0.03,
        figures={name: round(share, 4) for name, share in spent.items()},
    )
