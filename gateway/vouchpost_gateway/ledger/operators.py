"""What all workers agree on about mail operators: turns, rests, daily counts, and which domains take everybody.

All of it may be lost without harm: it paces us or saves us a question, and every key expires.
"""

from dataclasses import dataclass

from vouchpost_gateway.domain.traffic import Admission, Admittance, Limits
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.scripts import load
from vouchpost_gateway.ledger.store import Store

_ENTER = load("operator_enter")
_LEAVE = load("operator_leave")


@dataclass(frozen=True, slots=True)
class OperatorRecords:
    """The operators of mail hosts, as all worlds and all workers see them."""

    store: Store

    async def enter(self, operator: str, turn: str, limits: Limits) -> Admission:
        interval_ms = 60_000 / limits.per_minute
        answer, wait_ms = await self.store.run(
            _ENTER,
            [keys.operator_turns(operator), keys.operator(operator), keys.OPERATORS_DAY],
            [
                *(turn, round(limits.lease_s * 1000), limits.at_once, f"{interval_ms:.3f}"),
                *(limits.daily_cap, limits.total_daily_cap),
            ],
        )
        return Admission(Admittance(answer.decode()), int(wait_ms) / 1000)

    async def leave(self, operator: str, turn: str, limits: Limits, *, good: bool | None) -> None:
        came_of_it = {True: "good", False: "bad", None: ""}[good]
        await self.store.run(
            _LEAVE,
            [keys.operator_turns(operator), keys.operator(operator)],
            [turn, came_of_it, limits.patience, round(limits.rest_s * 1000)],
        )

    async def catch_all(self, place: str) -> bool | None:
        text = await self.store.call("GET", keys.catch_all(place))
        return None if text is None else bool(text == b"1")

    async def learn_catch_all(self, place: str, *, takes_all: bool, seconds: float) -> None:
        await self.store.call("SET", keys.catch_all(place), int(takes_all), "PX", round(seconds * 1000))
