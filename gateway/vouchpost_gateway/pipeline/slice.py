"""One slice of draining a lane: claim a few, work on them concurrently, settle and refill in the same turn.

A slice knows nothing of what the work is. It holds the lane's bell; each turn tells the ledger that it is still there.
When it ends it hands the lane on and leaves at once: work still running is settled when it is done, without the lane.
"""

import asyncio
from collections.abc import Awaitable, Callable

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.domain.lane import (
    BellState,
    Claim,
    Lane,
    LaneLimits,
    LaneNews,
    NextStep,
    Settlement,
    SettlementKind,
    Turn,
)
from vouchpost_gateway.pipeline.work import Done, Means

_AGAIN_MS = 1000
_STUCK_MS = 100


class Slice:
    """One slice: the tasks that run, what has ended since the last turn, and when to go."""

    def __init__(
        self, means: Means, lane: Lane, generation: int, limits: LaneLimits, woken: asyncio.Event, *, slow: bool
    ) -> None:
        self._means = means
        self._lane = lane
        self._generation = generation
        self._limits = limits
        self._slow = slow
        self._clock = asyncio.get_running_loop().time
        self._ends = self._clock() + means.pace.slice_s
        self._woken = woken
        self._running: dict[asyncio.Task[None], float] = {}
        self._ended: list[Done] = []
        self._left = False

    async def run(self) -> None:
        step = NextStep.HOLD
        while True:
            turn = await self._settle_and_claim(step)
            if turn.bell is not BellState.HELD:
                break
            step = await self._pause(turn)
        self._left = True
        await self._settle_rest()

    async def _settle_and_claim(self, step: NextStep) -> Turn:
        """Settles what has ended and claims as much as there is room for."""
        want = 0 if step is NextStep.END else self._share()
        ended, self._ended = self._ended, []
        self._woken.clear()
        self._means.room.used += want  # ours until the answer says how much of it is needed
        try:
            turn = await self._ask_ledger(want, ended, step)
        finally:
            self._means.room.used -= want
        self._means.ring(turn.rings)
        for claim in turn.claims:
            self._start(claim, turn)
        await self._means.work.after_turn(self._lane, turn)
        return turn

    def _share(self) -> int:
        """How much this lane may claim: no more than it leaves, or lanes that hang would fill the room between them."""
        share = self._means.room.free - len(self._running)
        return max(0, min(self._means.pace.batch, (share + 1) // 2))

    async def _ask_ledger(self, want: int, ended: list[Done], step: NextStep) -> Turn:
        return await self._patiently(
            lambda: self._means.lanes.turn(
                self._lane,
                self._generation,
                limits=self._limits,
                want=want,
                settlements=_settlements(ended),
                news=self._news(ended, step),
                next_step=step,
            ),
            worth_waiting=bool(ended),
        )

    def _news(self, ended: list[Done], step: NextStep) -> LaneNews:
        news = _merged_news(ended)
        if step is NextStep.END and not self._slow and self._too_slow():
            return LaneNews(
                news.delivered, news.failed, slow=True, throttle_ms=news.throttle_ms, slowdowns=news.slowdowns
            )
        return news

    def _start(self, claim: Claim, turn: Turn) -> None:
        room = self._means.room
        room.used += 1
        task = asyncio.create_task(self._do(claim, turn))
        self._running[task] = self._clock()
        room.stragglers.add(task)
        task.add_done_callback(self._finished)

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._means.room.used -= 1
        self._means.room.stragglers.discard(task)
        self._running.pop(task, None)

    async def _do(self, claim: Claim, turn: Turn) -> None:
        """Works on one item. Whatever goes wrong, the item is still ours until its lease ends, and then due again."""
        try:
            done = await self._means.work(self._lane, claim, turn)
        except LedgerUnavailable:
            done = Done(_later(claim))
        except Exception as error:  # noqa: BLE001  one item's trouble must not stop the lane
            self._means.report.failed("work", f"{self._lane.id}:{claim.item}", error)
            return
        self._ended.append(done)
        if self._left:
            await self._settle_rest()
        else:
            self._woken.set()

    async def _settle_rest(self) -> None:
        """Settles what ended after the slice, without holding the lane."""
        ended, self._ended = self._ended, []
        settlements = _settlements(ended)
        if not settlements:
            return
        news = _merged_news(ended)
        try:
            turn = await self._patiently(
                lambda: self._means.lanes.turn(self._lane, 0, limits=self._limits, settlements=settlements, news=news),
                worth_waiting=True,
            )
        except LedgerUnavailable as error:
            self._means.report.failed("settle", self._lane.id, error)
            return
        self._means.ring(turn.rings)
        await self._means.work.after_turn(self._lane, turn)

    async def _pause(self, turn: Turn) -> NextStep:
        """Waits until there is something to settle or to claim; decides whether this slice goes on."""
        if self._must_leave():
            return NextStep.END
        idle_since = self._clock()
        await asyncio.sleep(self._means.pace.turn_gap_s if turn.claims or self._running else 0)
        if not self._ended and not self._woken.is_set():
            await self._wait(turn)
        if self._must_leave():
            return NextStep.END
        waited = self._clock() - idle_since
        nothing = not self._running and not self._ended and not turn.claims and not self._woken.is_set()
        due = turn.next_due_ms is not None and turn.next_due_ms <= turn.now_ms + waited * 1000
        return NextStep.END if nothing and not due else NextStep.HOLD

    async def _wait(self, turn: Turn) -> None:
        pace = self._means.pace
        if not self._running:
            limit = self._linger_s()
        elif self._slow:  # full with its one probe: nobody is rung for it, and a turn without an outcome is for nothing
            limit = self._limits.lease_ms / 1000
        else:
            limit = min(max(self._ends - self._clock(), 0), pace.heartbeat_s)
        if turn.next_due_ms is not None:
            stuck = turn.next_due_ms <= turn.now_ms and not turn.claims  # due, and no room for it: not ours to hurry
            limit = min(limit, max(turn.next_due_ms - turn.now_ms, _STUCK_MS if stuck else 5) / 1000)
        if pace.slow_after_s is not None and self._running and not self._slow:
            oldest = min(self._running.values())
            limit = min(limit, max(oldest + pace.slow_after_s - self._clock(), 0.01))
        try:
            async with asyncio.timeout(limit):
                await self._woken.wait()
        except TimeoutError:
            return

    def _linger_s(self) -> float:
        room = self._means.room
        return self._means.pace.linger_s if room.slices <= room.lingering else 0.0

    def _must_leave(self) -> bool:
        if self._means.room.stopping or self._too_slow():
            return True
        if self._slow and any(done.news.slow is False for done in self._ended):
            return True
        return self._clock() >= self._ends

    def _too_slow(self) -> bool:
        """Whether this lane belongs to the slow class: something ran out of time, or is about to."""
        if any(done.news.slow for done in self._ended):
            return not self._slow
        slow_after = self._means.pace.slow_after_s
        if slow_after is None or self._slow:
            return False
        now = self._clock()
        return any(now - started >= slow_after for started in self._running.values())

    async def _patiently(self, step: Callable[[], Awaitable[Turn]], *, worth_waiting: bool) -> Turn:
        """Repeats a turn until the ledger answers: what was sent out must not be forgotten because Redis restarts."""
        gives_up = self._clock() + self._means.pace.patience_s
        delay = 0.05
        while True:
            try:
                return await step()
            except LedgerUnavailable:
                if self._clock() >= gives_up or not (worth_waiting or self._running):
                    raise
                await asyncio.sleep(delay)
                delay = min(delay * 2, 1.0)


def _later(claim: Claim) -> Settlement:
    """Back in line as it came: the ledger did not answer, which is no fault of the item."""
    return Settlement(
        SettlementKind.LATER,
        claim.item,
        claim.token,
        delay_ms=_AGAIN_MS,
        progress=claim.progress,
        note=claim.note,
    )


def _settlements(ended: list[Done]) -> list[Settlement]:
    return [done.settlement for done in ended if done.settlement is not None]


def _merged_news(ended: list[Done]) -> LaneNews:
    """The news of several items as one: throttling and slowness win over their absence."""
    slow = [done.news.slow for done in ended if done.news.slow is not None]
    slowdowns = [done.news.slowdowns for done in ended if done.news.slowdowns is not None]
    return LaneNews(
        delivered=sum(done.news.delivered for done in ended),
        failed=sum(done.news.failed for done in ended),
        slow=any(slow) if slow else None,
        throttle_ms=max((done.news.throttle_ms for done in ended), default=0),
        slowdowns=max(slowdowns, default=None),
    )
