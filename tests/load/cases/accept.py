"""How much one API process accepts, each with its durable write, before its p99 breaks."""

from tests.load.joined import join
from tests.load.percentiles import percentile
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import stage, verification

_RATES = (500, 1000, 1500, 2000, 2500, 3000, 3500, 4000)
_P99_MS = 60.0


def ceiling(seconds: float) -> Result:
    """Steps the rate up; the ceiling is the last step that was accepted whole within the p99.

    Bells ring as they do in service; no worker runs, so the API has the machine to share with Redis and the generator.
    """
    steps = []
    with stage() as built:
        built.start_api()
        tenant = built.tenant("acme")
        for rate in _RATES:
            length = max(seconds / 2, 10_500 / rate)
            stream = Stream(f"step{rate}", rate, tenant.key, verification(f"step{rate}"))
            done = built.generate([stream], seconds=length)
            found = join(done.sent, [], paths=[])
            step = {
                "rate": rate,
                "accepted": found.accepted,
                "refused": found.refused,
                "unanswered": found.unanswered,
                "p50_ms": percentile(found.accept_ms, 0.5),
                "p99_ms": percentile(found.accept_ms, 0.99),
                "generator_cpu": round(done.cpu_share, 2),
            }
            steps.append(step)
            p99 = step["p99_ms"]
            if found.accepted < len(done.sent) or p99 is None or p99 > _P99_MS:
                break
    return _result(steps)


def _result(steps: list[dict[str, float | None]]) -> Result:
    kept = [step for step in steps if step["p99_ms"] is not None and step["p99_ms"] <= _P99_MS]
    best = kept[-1] if kept else steps[-1]
    rate = (best["rate"] or 0) if kept else 0
    return Result(
        case="accept",
        what="accept with rings on, one API process",
        must="1,500/s, p99 ≤ 60 ms",
        aim="3,000/s",
        measured=f"{rate:,.0f}/s at p50 {best['p50_ms']} / p99 {best['p99_ms']} ms",
        ok=rate >= 1500,
        figures={"steps": steps},
    )
