"""Whether the host of a domain takes mail for one mailbox, asked by SMTP without sending any.

The address itself first; a random control address of the same domain only when the answer needs one: after a yes, to
tell a mailbox from a catch-all, and after a no that might not be about the mailbox. Off unless enabled.
"""

import asyncio
import random
import string
import time
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Self

from vouchpost_gateway.checks.mailbox_answers import (
    HostAnswer,
    as_known,
    finding_of,
    is_no,
    is_worth_another_connection,
    is_yes,
    of_all_hosts,
    refusal,
    says_of_mailbox,
    sends_us_on,
    wants_control,
)
from vouchpost_gateway.checks.mx import MailHost
from vouchpost_gateway.checks.operators import Operator, operator_of
from vouchpost_gateway.checks.replies import Phase
from vouchpost_gateway.checks.sessions import Parking, Session
from vouchpost_gateway.checks.smtp import Dialogue, DialogueEnded, Manners, Refused, Trouble
from vouchpost_gateway.checks.syntax import Mailbox
from vouchpost_gateway.checks.traffic import Egress, NoTurn, OneProcess, Traffic
from vouchpost_gateway.domain.traffic import Admission, Admittance
from vouchpost_gateway.domain.verification import Finding

_TRY_WITHOUT_TLS = frozenset({Trouble.TLS_FAILED})
_NO_CONNECTION = frozenset({Trouble.CONNECT_TIMED_OUT, Trouble.CONNECTION_REFUSED, Trouble.UNREACHABLE})
_NOBODY_ASKED = {
    Admittance.RESTING: "mx_resting",
    Admittance.BUSY: "mx_crowded",
    Admittance.CAPPED: "daily_cap_reached",
}
_BAD_FOR_TRAFFIC = frozenset({"mx_unreachable", "connection_dropped", "smtp_timed_out", "blocked_by_policy"})


@dataclass(frozen=True, slots=True)
class _Place:
    """A domain and the mail hosts that it has now: what is remembered of a catch-all is true of both together."""

    key: str
    hosts: int

    @classmethod
    def of(cls, domain: str, mx_set: Sequence[str]) -> Self:
        return cls(sha256("\n".join([domain, *sorted(mx_set)]).encode()).hexdigest()[:32], len(set(mx_set)))


def random_local_part() -> str:
    """Looks like a name, and is nobody's."""
    letters = "".join(random.choices(string.ascii_lowercase, k=14))  # noqa: S311  it must be unlikely, not secret
    return f"{letters}{random.randint(100, 999)}"  # noqa: S311


def _one_process() -> Traffic:
    return Traffic(OneProcess())


@dataclass(slots=True)
class MailboxCheck:
    """Asks mail hosts. One per process; what all processes must agree on is in its traffic."""

    manners: Manners
    total_s: float = 25.0
    traffic: Traffic = field(default_factory=_one_process)
    now: Callable[[], float] = time.monotonic
    control: Callable[[], str] = random_local_part
    # The sandbox's one host, in place of the addresses that its zone gives.
    only_host: str | None = None
    egress: Egress = field(init=False)
    _parking: Parking = field(default_factory=Parking)

    def __post_init__(self) -> None:
        self.egress = Egress(self.now)

    async def ask(self, mailbox: Mailbox, hosts: Sequence[MailHost], *, mx_set: Sequence[str] = ()) -> Finding:
        """What the first host that can be talked to says. Never raises, and ends soon after `total_s`."""
        operator = operator_of(hosts[0].name)
        if self.egress.closed:
            return Finding("mailbox", "egress_closed", {"port": self.manners.port})
        place = _Place.of(mailbox.domain, mx_set or [host.name for host in hosts])
        try:
            async with self.traffic.turn(operator.name, at_once=operator.at_once) as turn:
                finding = await self._in_time(mailbox, hosts, place, operator)
                if finding.facts.get("trouble") != Trouble.PROXY_FAILED:
                    turn.good = finding.code not in _BAD_FOR_TRAFFIC
                return finding
        except NoTurn as no_turn:
            return _not_asked(operator, no_turn.admission)

    async def aclose(self) -> None:
        await self._parking.aclose()

    async def _in_time(self, mailbox: Mailbox, hosts: Sequence[MailHost], place: _Place, operator: Operator) -> Finding:
        try:
            async with asyncio.timeout(self.total_s):
                return await self._ask_hosts(mailbox, hosts, place)
        except TimeoutError:
            return Finding("mailbox", "smtp_timed_out", {"operator": operator.name})

    async def _ask_hosts(self, mailbox: Mailbox, hosts: Sequence[MailHost], asked_at: _Place) -> Finding:
        """The next host only when this one cannot be talked to or sends us on: what a host said, it said for all."""
        sent_on: list[Finding] = []
        for host in hosts:
            try:
                finding = await self._ask_host(mailbox, host, asked_at.key)
                self.egress.reached()
                if not sends_us_on(finding):
                    return finding
            except DialogueEnded as ended:
                self._note(host, ended.trouble)
                code = _TROUBLES.get(ended.trouble, "connection_dropped")
                finding = Finding("mailbox", code, {"host": host.name, "trouble": ended.trouble.value})
            sent_on.append(finding)
        return of_all_hosts(sent_on, hosts=asked_at.hosts)

    def _note(self, host: MailHost, trouble: Trouble) -> None:
        if trouble is Trouble.CONNECT_TIMED_OUT:
            self.egress.silent(operator_of(host.name).name)
        elif trouble not in (Trouble.UNREACHABLE, Trouble.PROXY_FAILED):
            self.egress.reached()

    async def _ask_host(self, mailbox: Mailbox, host: MailHost, place: str) -> Finding:
        operator = operator_of(host.name)
        session, first = await self._first(mailbox, host, operator)
        try:
            second = await self._second(first, mailbox, host, session, place)
        finally:
            self._part(session, host, first)
        return finding_of(first, second, host, operator)

    async def _first(self, mailbox: Mailbox, host: MailHost, operator: Operator) -> tuple[Session | None, HostAnswer]:
        """The answer about the address itself, on a parked connection if there is one, else on a new one.

        What a parked connection answers counts only where it is about the mailbox, not about us or the connection.
        """
        left = self._parking.take(self._address(host), mailbox)
        if left is not None:
            try:
                answer = await _asked(left, mailbox)
                if not is_worth_another_connection(answer):
                    return left, answer
            except DialogueEnded:
                pass
            self._parking.close(left)
        opened = await self._opened(host, operator)
        if isinstance(opened, HostAnswer):
            return None, opened
        try:
            return opened, await _asked(opened, mailbox)
        except BaseException:
            await opened.dialogue.aclose()
            raise

    async def _second(
        self, first: HostAnswer, mailbox: Mailbox, host: MailHost, session: Session | None, place: str
    ) -> HostAnswer | None:
        """The answer about a random address, where one is needed and not known yet."""
        operator = operator_of(host.name)
        if session is None or not wants_control(first, operator):
            return None
        if is_yes(first):
            known = await self.traffic.known_catch_all(place)
            if known is not None:
                return as_known(known=known)
        control = Mailbox(self.control(), mailbox.domain, mailbox.display_domain, needs_smtputf8=False)
        answer = await _unless_it_ends(_asked(session, control)) if session.takes(control) else None
        if answer is None or is_worth_another_connection(answer):
            answer = await _unless_it_ends(self._apart(control, host, operator))
        if answer and answer.phase is Phase.RECIPIENT and (is_yes(answer) or is_no(answer)):
            await self.traffic.learn_catch_all(place, takes_all=is_yes(answer))
        return answer

    async def _apart(self, control: Mailbox, host: MailHost, operator: Operator) -> HostAnswer:
        opened = await self._opened(host, operator)
        if isinstance(opened, HostAnswer):
            return opened
        try:
            return await _asked(opened, control)
        finally:
            await opened.dialogue.aclose()

    async def _opened(self, host: MailHost, operator: Operator) -> Session | HostAnswer:
        """A conversation, without TLS where TLS is broken; or the refusal to have one."""
        address = self._address(host)
        try:
            try:
                dialogue = await Dialogue.open(address, host=host.name, manners=self.manners)
            except DialogueEnded as ended:
                if ended.trouble not in _TRY_WITHOUT_TLS:
                    raise
                dialogue = await Dialogue.open(address, host=host.name, manners=self.manners, tls=False)
        except Refused as refused:
            return refusal(refused, operator)
        return Session(dialogue, operator)

    def _part(self, session: Session | None, host: MailHost, first: HostAnswer) -> None:
        """Left for the next who waits, if the host spoke of the mailbox and of nothing else; closed otherwise."""
        if session is None:
            return
        wanted = self.traffic.is_wanted(session.operator.name)
        if wanted and session.has_room and says_of_mailbox(first):
            self._parking.keep(self._address(host), session)
        else:
            self._parking.close(session)

    def _address(self, host: MailHost) -> str:
        return self.only_host or host.addresses[0]


_TROUBLES = {**dict.fromkeys(_NO_CONNECTION, "mx_unreachable"), Trouble.PROXY_FAILED: "proxy_failed"}


async def _asked(session: Session, mailbox: Mailbox) -> HostAnswer:
    try:
        reading, reply = await session.ask(mailbox)
    except Refused as refused:
        return refusal(refused, session.operator)
    return HostAnswer(reading, reply)


async def _unless_it_ends(asking: Awaitable[HostAnswer]) -> HostAnswer | None:
    """A host that hangs up on the control has said nothing by that."""
    try:
        return await asking
    except DialogueEnded:
        return None


def _not_asked(operator: Operator, admission: Admission) -> Finding:
    code = _NOBODY_ASKED[admission.answer]
    return Finding("mailbox", code, {"operator": operator.name, "retry_after_s": round(admission.wait_s) + 1})
