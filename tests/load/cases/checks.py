"""The checks by themselves: addresses a second of one core, with and without a world that takes 50 ms to answer."""

import asyncio
import subprocess
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TypeVar

from tests.load.percentiles import quantile
from tests.load.report import Result
from vouchpost_gateway.checks.mailbox import MailboxCheck
from vouchpost_gateway.checks.smtp import Manners
from vouchpost_gateway.checks.traffic import OneProcess, Traffic
from vouchpost_gateway.checks.verifier import Verifier
from vouchpost_gateway.domain.question import Question
from vouchpost_gateway.domain.traffic import Limits
from vouchpost_gateway.domain.verification import Depth, ReasonCode
from vouchpost_gateway.domain.world import Mode

_DELAY_S = 0.05
_AT_ONCE = 200

T = TypeVar("T")


def syntax(_: float) -> Result:
    questions = [_question(f"jane{number}", number % 1000, Depth.SYNTAX) for number in range(20_000)]
    rate = asyncio.run(_alone(questions))
    return _result("checks_syntax", "syntax and lists, a core", rate, must=8000)


def warm(_: float) -> Result:
    """Every domain's records are in the cache already."""
    questions = [_question(f"jane{number}", number % 100, Depth.DOMAIN) for number in range(10_000)]
    rate = _with_farm(lambda verifier: _warm(verifier, questions))
    return _result("checks_warm", "depth domain with a warm cache, a core", rate, must=3000)


def cold(_: float) -> Result:
    """No two addresses share a domain, and each answer of a name server takes 50 ms."""
    questions = [_question("jane", number, Depth.DOMAIN) for number in range(1000)]
    cpu_s, latencies = _with_farm(lambda verifier: _all(verifier, questions, at_once=_AT_ONCE))
    return _result(
        "checks_cold",
        "depth domain, 1,000 domains never seen, name servers 50 ms away",
        len(questions) / cpu_s,
        extra=f", p50 {quantile(latencies, 0.5) * 1000:.0f} ms",
    )


def mailbox(_: float) -> Result:
    """At most three conversations at once with one operator; of one domain, several addresses share a connection."""
    many = [_question("jane", number, Depth.MAILBOX) for number in range(1000)]
    one = [_question(f"nobody{number}", 0, Depth.MAILBOX) for number in range(60)]
    cpu_s, latencies = _with_farm(lambda verifier: _all(verifier, many, at_once=_AT_ONCE))
    started = time.monotonic()
    _with_farm(lambda verifier: _all(verifier, one, at_once=_AT_ONCE))
    return _result(
        "checks_mailbox",
        "depth mailbox, hosts 50 ms away: 1,000 domains",
        len(many) / cpu_s,
        extra=f", p50 {quantile(latencies, 0.5):.2f} s; one domain {len(one) / (time.monotonic() - started):.1f}/s",
    )


def hanging(_: float) -> Result:
    """A tenth of the addresses are of a domain whose mail host never says a word."""
    good = [_question("jane", number, Depth.MAILBOX) for number in range(600)]
    bad = [Question(f"jane{number}@hang.net", Depth.MAILBOX, Mode.LIVE) for number in range(60)]
    _, alone = _with_farm(lambda verifier: _all(verifier, good, at_once=100))
    others = _with_farm(lambda verifier: _beside(verifier, good, bad))
    ratio = quantile(others, 0.99) / quantile(alone, 0.99)
    return Result(
        case="checks_hanging",
        what="depth mailbox beside a mail host that hangs: the others' p99",
        must="≤ 1.2 x",
        aim="1.05 x",
        measured=f"{ratio:.2f} x ({quantile(others, 0.99):.2f} s)",
        ok=ratio <= 1.2,
        figures={"ratio": ratio, "p99_s": quantile(others, 0.99), "p99_alone_s": quantile(alone, 0.99)},
    )


async def _alone(questions: Sequence[Question]) -> float:
    verifier = Verifier.open(dns_servers=["127.0.0.1:9"])
    return await _rate(verifier, questions)


async def _warm(verifier: Verifier, questions: Sequence[Question]) -> float:
    await asyncio.gather(*(verifier.verify(question) for question in questions[:100]))
    return await _rate(verifier, questions)


async def _rate(verifier: Verifier, questions: Sequence[Question]) -> float:
    """By this process's own time, so that a busy machine does not count."""
    await verifier.verify(questions[0])
    started = time.process_time()
    for question in questions:
        await verifier.verify(question)
    return len(questions) / (time.process_time() - started)


async def _all(verifier: Verifier, questions: Sequence[Question], *, at_once: int) -> tuple[float, list[float]]:
    """CPU seconds of this process, and how long each took; every one of them must end as it should."""
    slots = asyncio.Semaphore(at_once)
    started = time.process_time()
    latencies = await asyncio.gather(*(_timed(verifier, question, slots) for question in questions))
    return time.process_time() - started, list(latencies)


async def _beside(verifier: Verifier, good: Sequence[Question], bad: Sequence[Question]) -> list[float]:
    hanging = asyncio.gather(*(verifier.verify(question) for question in bad))
    _, latencies = await _all(verifier, good, at_once=100)
    hanging.cancel()
    await asyncio.gather(hanging, return_exceptions=True)
    return latencies


async def _timed(verifier: Verifier, question: Question, slots: asyncio.Semaphore) -> float:
    async with slots:
        started = time.monotonic()
        verdict = await verifier.verify(question)
        assert verdict.reason_code in _EXPECTED, verdict
        return time.monotonic() - started


_EXPECTED = {ReasonCode.DOMAIN_ACCEPTS_MAIL, ReasonCode.MAILBOX_EXISTS, ReasonCode.MAILBOX_NOT_FOUND}


def _question(name: str, number: int, depth: Depth) -> Question:
    return Question(f"{name}@d{number}.customer{number}.net", depth, Mode.LIVE)


def _with_farm(use: Callable[[Verifier], Awaitable[T]]) -> T:
    with _farm() as (names, mail):
        return asyncio.run(_opened(names, mail, use))


async def _opened(names: int, mail: int, use: Callable[[Verifier], Awaitable[T]]) -> T:
    manners = Manners("probe.vouchpost.test", "probe@vouchpost.test", port=mail)
    verifier = Verifier.open(dns_servers=[f"127.0.0.1:{names}"], is_public=lambda _: True, mailbox=_mailbox(manners))
    try:
        return await use(verifier)
    finally:
        await verifier.aclose()


def _mailbox(manners: Manners) -> MailboxCheck:
    """As fast as three conversations at a time are; nobody is put off."""
    return MailboxCheck(manners, traffic=Traffic(OneProcess(), Limits(per_minute=1_000_000), patience_s=60))


@contextmanager
def _farm() -> Iterator[tuple[int, int]]:
    command = [sys.executable, "-m", "tests.load.mail_farm", "--delay-s", str(_DELAY_S)]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as farm:
        assert farm.stdout is not None
        try:
            names, mail = farm.stdout.readline().split()
            yield int(names), int(mail)
        finally:
            farm.kill()


def _result(case: str, what: str, rate: float, *, must: int = 0, extra: str = "") -> Result:
    return Result(
        case=case,
        what=what,
        must=f"{must:,}/s" if must else "",
        aim="",
        measured=f"{rate:,.0f}/s{extra}",
        ok=rate >= must,
        figures={"per_cpu_s": rate},
    )
