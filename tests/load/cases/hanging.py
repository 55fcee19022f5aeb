"""What hanging subscribers cost the others: the p99 with them over the p99 without them."""

from dataclasses import dataclass
from functools import reduce
from operator import add

from tests.load.joined import Joined, join
from tests.load.percentiles import percentile, tail
from tests.load.plan import Stream
from tests.load.report import Result
from tests.load.stage import Stage, stage, verification
from tests.rig.product import Tenant

_LIMIT = 1.2
_SAMPLES = 10_100
_PATIENCE_S = 60
_ROUNDS = 6
_SETTLING_S = 10
"""Until a crowd that hangs is in the slow class, and as long until what it held is gone."""


@dataclass(frozen=True)
class Pair:
    """The same load on the same healthy subscriptions, without and with the hanging ones."""

    without: Joined
    with_them: Joined

    @property
    def ratio(self) -> float | None:
        """How many times the tail; a millisecond is added on both sides so that noise near zero does not count."""
        before, after = tail(self.without.received_ms), tail(self.with_them.received_ms)
        if before is None or after is None or before[0] != after[0]:
            return None
        return round((after[1] + 1) / (before[1] + 1), 2)

    @property
    def sound(self) -> bool:
        return self.without.sound and self.with_them.sound

    def __add__(self, other: "Pair") -> "Pair":
        """Two runs as one."""
        return Pair(self.without + other.without, self.with_them + other.with_them)


def one_of_twenty(seconds: float) -> Result:
    """Nineteen healthy subscriptions of a tenant, and one that never answers."""
    healthy = [f"/ok/{n}" for n in range(19)]
    rate = max(30, _SAMPLES / len(healthy) / max(seconds, 10))
    with stage({"PUSH_TIMEOUT_S": "5"}) as built:
        built.start_all()
        tenant = built.tenant("acme")
        for path in healthy:
            built.subscribe(tenant, path)
        before = _offer(built, tenant, "before", rate=rate, seconds=seconds, paths=healthy)
        built.subscribe(tenant, "/hang/1")
        _offer(built, tenant, "settling", rate=rate, seconds=7, paths=healthy)
        after = _offer(built, tenant, "after", rate=rate, seconds=seconds, paths=healthy)
    pair = Pair(before, after)
    return Result(
        case="hanging_one",
        what="1 of 20 subscriptions hanging: the others' p99",
        must="≤ 1.2 times",
        aim="1.05 times",
        measured=f"{pair.ratio} times{_p99s(pair)}",
        ok=pair.sound and pair.ratio is not None and pair.ratio <= _LIMIT,
        figures=_figures(same=pair),
    )


def three_hundred(seconds: float) -> Result:
    """Three hundred hanging subscriptions of one tenant; its healthy one and another tenant's are watched, and judged.

    They come and go six times, for half of the time each: a spell of a shared machine weighs on both sides alike.
    """
    with stage({"PUSH_TIMEOUT_S": "5", "MAX_MATCHES": "500"}) as built:
        built.start_all()
        loud, quiet = built.tenant("loud"), built.tenant("quiet")
        for tenant, path in ((loud, "/ok/loud"), (quiet, "/ok/quiet")):
            built.subscribe(tenant, path)
        rounds = [_round(built, loud, quiet, number, seconds=seconds / 2) for number in range(_ROUNDS)]
    same, other = reduce(add, (one[0] for one in rounds)), reduce(add, (one[1] for one in rounds))
    ratios = [one[1].ratio for one in rounds]
    return Result(
        case="hanging_300",
        what="300 hanging of one tenant: another tenant's p99 / the tail of its own healthy one",
        must="≤ 1.2 times",
        aim="1.05 times",
        measured=f"{other.ratio} times{_p99s(other)} / {same.ratio} times",
        ok=same.sound
        and other.sound
        and all(pair.ratio is not None and pair.ratio <= _LIMIT for pair in (same, other)),
        figures=_figures(same=same, other=other) | {"ratios": ratios},
    )


def _round(built: Stage, loud: Tenant, quiet: Tenant, number: int, *, seconds: float) -> tuple[Pair, Pair]:
    """The loud tenant's own and the quiet one's: without the hanging ones, then with them. They are gone at the end."""
    built.rewrite_log()
    before = _both(built, loud, quiet, f"before-{number}", seconds=seconds)
    hanging = [loud.subscribe(built.farm.url(f"/hang/{path}"))["id"] for path in range(300)]
    _both(built, loud, quiet, f"settling-{number}", seconds=_SETTLING_S)
    during = _both(built, loud, quiet, f"during-{number}", seconds=seconds)
    for subscription_id in hanging:
        loud.unsubscribe(str(subscription_id))
    _both(built, loud, quiet, f"recovering-{number}", seconds=_SETTLING_S)
    return Pair(before[0], during[0]), Pair(before[1], during[1])


def _both(built: Stage, loud: Tenant, quiet: Tenant, name: str, *, seconds: float) -> tuple[Joined, Joined]:
    """A little load on the loud tenant, each event for all of its subscriptions, and more load on the other."""
    streams = [
        Stream(f"loud-{name}", 10, loud.key, verification(f"loud-{name}")),
        Stream(f"quiet-{name}", 300, quiet.key, verification(f"quiet-{name}")),
    ]
    done = built.generate(streams, seconds=seconds)
    built.farm.wait_for(sum(one.status == 202 for one in done.sent), limit_s=_PATIENCE_S)
    records = built.farm.records()
    built.farm.reset()
    mine = join(done.of(f"loud-{name}"), records, paths=["/ok/loud"])
    theirs = join(done.of(f"quiet-{name}"), records, paths=["/ok/quiet"])
    return mine, theirs


def _offer(built: Stage, tenant: Tenant, name: str, *, rate: float, seconds: float, paths: list[str]) -> Joined:
    done = built.generate([Stream(name, rate, tenant.key, verification(name))], seconds=seconds)
    built.farm.wait_for(sum(one.status == 202 for one in done.sent) * len(paths), limit_s=_PATIENCE_S)
    found = join(done.sent, built.farm.records(), paths=paths)
    built.farm.reset()
    return found


def _p99s(pair: Pair) -> str:
    """Before and after, where there are samples enough to tell."""
    before, after = (percentile(found.received_ms, 0.99) for found in (pair.without, pair.with_them))
    return "" if before is None or after is None else f" ({before} → {after} ms)"


def _figures(**pairs: Pair) -> dict[str, object]:
    return {
        name: {
            "ratio": pair.ratio,
            "tail_before_ms": tail(pair.without.received_ms),
            "tail_after_ms": tail(pair.with_them.received_ms),
            "p50_before_ms": percentile(pair.without.received_ms, 0.5),
            "p50_after_ms": percentile(pair.with_them.received_ms, 0.5),
            "lost": pair.without.lost + pair.with_them.lost,
            "samples": len(pair.with_them.received_ms),
        }
        for name, pair in pairs.items()
    }
