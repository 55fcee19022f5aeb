"""Whoever is told to stop hears it, and is not ended by hearing it again."""

import asyncio
import os
import signal
import subprocess
import sys
import textwrap

import pytest

from vouchpost_gateway.cli.stopping import Signals, heeded

_NUMBERS = [signal.SIGTERM, signal.SIGINT, signal.SIGHUP]


def told(signals: Signals) -> asyncio.Event:
    event = asyncio.Event()
    signals.call(event.set)
    return event


@pytest.mark.parametrize("number", _NUMBERS, ids=lambda number: number.name)
def test_a_signal_wakes_a_loop_that_waits(number: signal.Signals) -> None:
    async def main(signals: Signals) -> None:
        event = told(signals)
        asyncio.get_running_loop().call_later(0.05, os.kill, os.getpid(), number)
        await asyncio.wait_for(event.wait(), 10)

    with heeded() as signals:
        asyncio.run(main(signals))


def test_a_signal_that_came_before_the_loop_is_heard_in_it() -> None:
    async def main(signals: Signals) -> None:
        await asyncio.wait_for(told(signals).wait(), 10)

    with heeded() as signals:
        os.kill(os.getpid(), signal.SIGTERM)
        asyncio.run(main(signals))


@pytest.mark.parametrize("number", _NUMBERS, ids=lambda number: number.name)
def test_a_signal_after_the_loop_does_not_cut_the_cleaning_short(number: signal.Signals) -> None:
    async def main(signals: Signals) -> None:
        told(signals)

    with heeded() as signals:
        asyncio.run(main(signals))
        os.kill(os.getpid(), number)


def test_what_was_done_about_signals_before_is_done_again_after() -> None:
    before = [signal.getsignal(number) for number in _NUMBERS]

    with heeded():
        pass

    assert [signal.getsignal(number) for number in _NUMBERS] == before


def test_nohup_keeps_what_it_is_for() -> None:
    code = """
        import os, signal
        from vouchpost_gateway.cli.stopping import heeded
        with heeded() as signals:
            os.kill(os.getpid(), signal.SIGHUP)
            print(signals._told)
    """

    command = ["nohup", sys.executable, "-c", textwrap.dedent(code)]
    said = subprocess.run(command, capture_output=True, text=True, check=True)

    assert said.stdout.strip() == "0"
