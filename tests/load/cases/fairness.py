"""Priority within a tenant, and equal service between tenants."""

import statistics

from tests.load.joined import join
from tests.load.percentiles import percentile, quantile
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import stage, verification

_HIGH_P50_MS = 300.0


def priority(seconds: float) -> Result:
    """High-priority requests overtake tens of thousands of low ones, which still keep at least a tenth."""
    low_count = 50_000 if seconds >= 60 else 10_000
    with stage() as built:
        built.start_api()
        tenant = built.tenant("acme")
        built.subscribe(tenant, "/ok/1")
        low = Stream("low", 1000, tenant.key, verification("low", priority="low"))
        queued = built.generate([low], seconds=low_count / low.rate)
        high = Stream("high", 40, tenant.key, verification("high", priority="high"))
        for role in ("verify", "deliver"):
            built.start_worker(role)
        urgent = built.generate([high], seconds=max(seconds, 10), grace_s=2)
        built.farm.wait_for(len(queued.sent) + len(urgent.sent), limit_s=max(60, seconds * 2))
        records = built.farm.records()
    highs = join(urgent.sent, records, paths=["/ok/1"])
    lows = join(queued.sent, records, paths=["/ok/1"])
    ended = max(one.intended for one in urgent.sent)
    low_stems = {one.stem for one in queued.sent}
    low_meanwhile = sum(push.at <= ended and push.stem in low_stems for push in records)
    share = low_meanwhile / max(1, low_meanwhile + highs.accepted)
    p50 = percentile(highs.received_ms, 0.5)
    return Result(
        case="priority",
        what=f"{low_count:,} low queued: a high one of the same tenant, accept → received",
        must="p50 ≤ 300 ms, low keeps ≥ a tenth",
        aim="",
        measured=f"p50 {p50} ms; low had {share:.0%} of what was delivered meanwhile",
        ok=p50 is not None and p50 <= _HIGH_P50_MS and share >= 0.1 and not highs.lost and not lows.lost,
        figures={
            "high_p50_ms": p50,
            "high_worst_ms": round(quantile(highs.received_ms, 1), 1) if highs.received_ms else None,
            "low_meanwhile": low_meanwhile,
            "low_share": round(share, 3),
            "lost": highs.lost + lows.lost,
        },
    )


def tenants(seconds: float) -> Result:
    """A tenant that offers ten times more than its neighbour, beyond what the machine can do, must not slow it."""
    with stage() as built:
        built.start_all()
        big, small = built.tenant("big"), built.tenant("small")
        built.subscribe(big, "/ok/big")
        built.subscribe(small, "/ok/small")
        alone = built.generate([Stream("alone", 150, small.key, verification("alone"))], seconds=max(seconds, 10))
        built.farm.wait_for(len(alone.sent), limit_s=10)
        streams = [
            Stream("big", 1500, big.key, verification("big")),
            Stream("small", 150, small.key, verification("small")),
        ]
        done = built.generate(streams, seconds=max(seconds, 10))
        built.farm.wait_for(len(alone.sent) + len(done.sent), limit_s=60)
        records = built.farm.records()
    quiet = join(alone.sent, records, paths=["/ok/small"])
    neighbour = join(done.of("small"), records, paths=["/ok/small"])
    loud = join(done.of("big"), records, paths=["/ok/big"])
    medians = [statistics.median(found.received_ms or [float("inf")]) for found in (quiet, neighbour, loud)]
    return Result(
        case="tenants",
        what="two tenants at 10:1 (1,500/s and 150/s): median accept → received",
        must="equal service: the small one no slower than the big one",
        aim="",
        measured=f"small {medians[0]:.1f} ms alone, {medians[1]:.1f} ms beside big, big {medians[2]:.1f} ms",
        ok=not neighbour.lost and not loud.lost and medians[1] <= max(medians[2], medians[0] * 1.2) + 5,
        figures={"small_alone_ms": medians[0], "small_ms": medians[1], "big_ms": medians[2]},
    )
