"""Asks that come while a lot is on its way go together in the next one, and each gets its own answer or error."""

import asyncio
from collections.abc import Coroutine, Sequence
from typing import Any, TypeVar

import pytest

from vouchpost_gateway.domain.errors import LedgerUnavailable
from vouchpost_gateway.ledger.connection import LedgerRefused
from vouchpost_gateway.ledger.lots import Lots

T = TypeVar("T")


class Doubling:
    """Answers each number with its double, when it is let; keeps what was sent."""

    def __init__(self) -> None:
        self.sent: list[tuple[str, list[int]]] = []
        self.open = asyncio.Event()
        self.open.set()
        self.fails_with: list[BaseException] = []

    async def __call__(self, place: str, asks: Sequence[int]) -> list[int]:
        self.sent.append((place, list(asks)))
        await self.open.wait()
        if self.fails_with:
            raise self.fails_with.pop(0)
        return [2 * ask for ask in asks]


def run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


def test_what_is_asked_meanwhile_goes_together_in_order() -> None:
    async def asked() -> None:
        send = Doubling()
        send.open.clear()
        lots = Lots(send, most=3)
        first = asyncio.create_task(lots.ask("a", 1))
        await asyncio.sleep(0.01)
        others = [asyncio.create_task(lots.ask("a", number)) for number in (2, 3, 4, 5)]
        await asyncio.sleep(0.01)
        send.open.set()

        assert list(await asyncio.gather(first, *others)) == [2, 4, 6, 8, 10]
        assert send.sent == [("a", [1]), ("a", [2, 3, 4]), ("a", [5])]

    run(asked())


def test_no_place_waits_for_another() -> None:
    async def asked() -> None:
        send = Doubling()
        lots = Lots(send, most=3)

        assert list(await asyncio.gather(lots.ask("a", 1), lots.ask("b", 2))) == [2, 4]
        assert sorted(send.sent) == [("a", [1]), ("b", [2])]

    run(asked())


def test_a_ledger_that_does_not_answer_is_told_to_all_who_wait_by_then() -> None:
    """Whoever came behind has waited as long; the next lot would make it twice the limit of an answer."""

    async def asked() -> list[object]:
        send = Doubling()
        send.open.clear()
        send.fails_with = [LedgerUnavailable("gone")]
        lots = Lots(send, most=1)
        waiting = [asyncio.create_task(lots.ask("a", number)) for number in (1, 2, 3)]
        await asyncio.sleep(0.01)
        send.open.set()
        failed = await asyncio.gather(*waiting, return_exceptions=True)
        assert await lots.ask("a", 4) == 8
        assert [lot for _, lot in send.sent] == [[1], [4]]
        return list(failed)

    assert [str(error) for error in run(asked())] == ["gone", "gone", "gone"]


def test_what_the_ledger_refused_is_no_one_elses_trouble() -> None:
    async def asked() -> list[object]:
        send = Doubling()
        send.fails_with = [LedgerRefused("OOM no room")]
        lots = Lots(send, most=1)
        return list(await asyncio.gather(lots.ask("a", 1), lots.ask("a", 2), return_exceptions=True))

    refused, answered = run(asked())
    assert isinstance(refused, LedgerRefused)
    assert refused.code == "OOM"
    assert answered == 4


def test_who_gives_up_leaves_the_others_their_answers() -> None:
    async def asked() -> int:
        send = Doubling()
        send.open.clear()
        lots = Lots(send, most=3)
        leaving, staying = (asyncio.create_task(lots.ask("a", number)) for number in (1, 2))
        await asyncio.sleep(0.01)
        leaving.cancel()
        send.open.set()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        return await staying

    assert run(asked()) == 4


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")
def test_nobody_waits_for_ever_for_a_lot_that_failed_otherwise() -> None:
    async def asked() -> None:
        asyncio.get_running_loop().set_exception_handler(lambda *_: None)
        send = Doubling()
        send.fails_with = [ValueError("a bug")]
        with pytest.raises(LedgerUnavailable):
            await Lots(send, most=1).ask("a", 1)

    run(asked())


def test_those_who_come_soon_after_a_lot_go_together() -> None:
    async def asked() -> None:
        send = Doubling()
        lots = Lots(send, most=3)
        await lots.ask("a", 1)
        second = asyncio.create_task(lots.ask("a", 2))
        await asyncio.sleep(0)
        third = asyncio.create_task(lots.ask("a", 3))

        assert list(await asyncio.gather(second, third)) == [4, 6]
        assert send.sent == [("a", [1]), ("a", [2, 3])]

    run(asked())


def test_whole_lots_that_wait_follow_each_other_at_once() -> None:
    async def asked() -> float:
        lots = Lots(Doubling(), most=1)
        began = asyncio.get_running_loop().time()
        await asyncio.gather(*(lots.ask("a", number) for number in range(500)))
        return asyncio.get_running_loop().time() - began

    assert run(asked()) < 0.5
