"""Whether the host of a domain takes mail for one mailbox, asked by SMTP without sending any.

The address itself first; a random control address of the same domain only when the answer needs one: after a yes, to
tell a mailbox from a catch-all, and after a no that might not be about the mailbox. Off unless enabled.
"""

import asyncio
import random
import string
import sys
import time
from collections import OrderedDict
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from vouchpost_gateway.checks.mx import MailHost
from vouchpost_gateway.checks.operators import Operator, operator_of
from vouchpost_gateway.checks.replies import Meaning, Phase, Reading, Reply, hinted_delay_s, read_reply
from vouchpost_gateway.checks.smtp import Dialogue, DialogueEnded, Manners, Refused, Trouble
from vouchpost_gateway.checks.syntax import Mailbox
from vouchpost_gateway.checks.traffic import Egress, Traffic
from vouchpost_gateway.domain.verification import Finding

_CATCH_ALL_KEPT_S: Final = 3600.0
_MOST_CATCH_ALLS: Final = 50_000
_CROWD_S: Final = 30
_TRY_WITHOUT_TLS = frozenset({Trouble.TLS_FAILED})
_NO_CONNECTION = frozenset({Trouble.CONNECT_TIMED_OUT, Trouble.CONNECTION_REFUSED, Trouble.UNREACHABLE})


@dataclass(frozen=True, slots=True)
class Answer:
    """What one host said about one recipient, and at which phase."""

    reading: Reading
    reply: Reply
    phase: Phase = Phase.RECIPIENT


def random_local_part() -> str:
    """Looks like a name, and is nobody's."""
    letters = "".join(random.choices(string.ascii_lowercase, k=14))  # noqa: S311  it must be unlikely, not secret
    return f"{letters}{random.randint(100, 999)}"  # noqa: S311


@dataclass(slots=True)
class MailboxCheck:
    """Asks mail hosts. One per process: it remembers catch-alls, and how each operator has treated us."""

    manners: Manners
    total_s: float = 25.0
    now: Callable[[], float] = time.monotonic
    control: Callable[[], str] = random_local_part
    # The sandbox's one host, in place of the addresses that its zone gives.
    only_host: str | None = None
    traffic: Traffic = field(init=False)
    egress: Egress = field(init=False)
    _catch_all: OrderedDict[tuple[str, str], tuple[float, bool]] = field(default_factory=OrderedDict)

    def __post_init__(self) -> None:
        # In the sandbox refusals are played on purpose, and everybody is at one operator.
        self.traffic = Traffic(self.now, at_once=100, patience=sys.maxsize) if self.only_host else Traffic(self.now)
        self.egress = Egress(self.now)

    async def ask(self, mailbox: Mailbox, hosts: Sequence[MailHost]) -> Finding:
        """What the first host that can be talked to says. Never raises, and ends within `total_s`."""
        operator = operator_of(hosts[0].name)
        if self.egress.closed:
            return Finding("mailbox", "egress_closed", {"port": self.manners.port})
        resting_s = self.traffic.resting_s(operator.name)
        if resting_s > 0:
            return Finding("mailbox", "mx_resting", {"operator": operator.name, "retry_after_s": round(resting_s) + 1})
        got_a_turn = False
        try:
            async with asyncio.timeout(self.total_s), self.traffic.turn(operator.name):
                got_a_turn = True
                finding = await self._ask_hosts(mailbox, hosts)
        except TimeoutError:
            if not got_a_turn:  # our own crowd, and nothing of the operator's doing
                return Finding("mailbox", "mx_resting", {"operator": operator.name, "retry_after_s": _CROWD_S})
            finding = Finding("mailbox", "smtp_timed_out", {"operator": operator.name})
        self.traffic.told(operator.name, good=finding.code not in _BAD_FOR_TRAFFIC)
        return finding

    async def _ask_hosts(self, mailbox: Mailbox, hosts: Sequence[MailHost]) -> Finding:
        """The next host only when there was no talking to this one: what a host said, it said for all of them."""
        finding = Finding("mailbox", "mx_unreachable")
        for host in hosts:
            try:
                finding = await self._ask_host(mailbox, host)
                self.egress.reached()
                return finding  # noqa: TRY300  it reads as it happens
            except DialogueEnded as ended:
                self._note(host, ended.trouble)
                code = "mx_unreachable" if ended.trouble in _NO_CONNECTION else "connection_dropped"
                finding = Finding("mailbox", code, {"host": host.name, "trouble": ended.trouble.value})
        return finding

    def _note(self, host: MailHost, trouble: Trouble) -> None:
        if trouble is Trouble.CONNECT_TIMED_OUT:
            self.egress.silent(operator_of(host.name).name)
        elif trouble is not Trouble.UNREACHABLE:
            self.egress.reached()

    async def _ask_host(self, mailbox: Mailbox, host: MailHost) -> Finding:
        operator = operator_of(host.name)
        control = Mailbox(self.control(), mailbox.domain, mailbox.display_domain, needs_smtputf8=False)
        first, second = await self._converse(mailbox, control, host, operator)
        return _finding(first, second, host, operator)

    async def _converse(
        self, mailbox: Mailbox, control: Mailbox, host: MailHost, operator: Operator
    ) -> tuple[Answer, Answer | None]:
        """The answer about the mailbox, and about the control where one was needed."""
        dialogue = await self._opened(host)
        if isinstance(dialogue, Answer):
            return dialogue, None
        try:
            first = await self._one(dialogue, mailbox, operator, opens=True)
            if not _wants_control(first, operator):
                return first, None
            known = self._known_catch_all(mailbox.domain, host)
            if known is not None and first.reading.meaning is Meaning.ACCEPTED:
                return first, _as_known(known=known)
            if not operator.own_connection:
                return first, self._learn(mailbox.domain, host, await self._second(dialogue, control, operator))
        finally:
            await dialogue.aclose()
        return first, self._learn(mailbox.domain, host, await self._apart(control, host, operator))

    async def _opened(self, host: MailHost) -> Dialogue | Answer:
        """A dialogue, without TLS where TLS is broken; or the refusal to have one."""
        address = self.only_host or host.addresses[0]
        try:
            try:
                return await Dialogue.open(address, host=host.name, manners=self.manners)
            except DialogueEnded as ended:
                if ended.trouble not in _TRY_WITHOUT_TLS:
                    raise
                return await Dialogue.open(address, host=host.name, manners=self.manners, tls=False)
        except Refused as refused:
            return _refusal(refused, operator_of(host.name))

    async def _one(self, dialogue: Dialogue, mailbox: Mailbox, operator: Operator, *, opens: bool) -> Answer:
        if mailbox.needs_smtputf8 and not dialogue.takes_utf8:
            return Answer(Reading(Meaning.UTF8_UNSUPPORTED, "not-offered"), Reply(0, None, ""))
        try:
            if opens:
                await dialogue.sender(utf8=mailbox.needs_smtputf8)
        except Refused as refused:
            return _refusal(refused, operator)
        reply = await dialogue.recipient(mailbox.address)
        return Answer(read_reply(reply, operator=operator.name), reply)

    async def _second(self, dialogue: Dialogue, control: Mailbox, operator: Operator) -> Answer | None:
        """The control on the same connection; a host that hangs up on it has said nothing by that."""
        try:
            return await self._one(dialogue, control, operator, opens=False)
        except DialogueEnded:
            return None

    async def _apart(self, control: Mailbox, host: MailHost, operator: Operator) -> Answer | None:
        try:
            dialogue = await self._opened(host)
            if isinstance(dialogue, Answer):
                return dialogue
            try:
                return await self._one(dialogue, control, operator, opens=True)
            finally:
                await dialogue.aclose()
        except DialogueEnded:
            return None

    def _known_catch_all(self, domain: str, host: MailHost) -> bool | None:
        held = self._catch_all.get((domain, host.name))
        return held[1] if held and self.now() < held[0] else None

    def _learn(self, domain: str, host: MailHost, control: Answer | None) -> Answer | None:
        """Keeps what a control told for sure."""
        if control and control.phase is Phase.RECIPIENT and (_is_yes(control) or _is_no(control)):
            self._catch_all[domain, host.name] = (self.now() + _CATCH_ALL_KEPT_S, _is_yes(control))
            if len(self._catch_all) > _MOST_CATCH_ALLS:
                self._catch_all.popitem(last=False)
        return control


_BAD_FOR_TRAFFIC = frozenset({"mx_unreachable", "connection_dropped", "smtp_timed_out", "blocked_by_policy"})
_NO = frozenset({Meaning.NOT_FOUND, Meaning.DISABLED, Meaning.GONE, Meaning.BARE})


def _is_yes(answer: Answer) -> bool:
    return answer.reading.meaning is Meaning.ACCEPTED


def _is_no(answer: Answer) -> bool:
    return answer.reading.meaning in _NO and answer.reply.kind == 5


def _as_known(*, known: bool) -> Answer:
    meaning = Meaning.ACCEPTED if known else Meaning.NOT_FOUND
    return Answer(Reading(meaning, "known"), Reply(250 if known else 550, None, ""))


def _refusal(refused: Refused, operator: Operator) -> Answer:
    reading = read_reply(refused.reply, phase=refused.phase, operator=operator.name)
    return Answer(reading, refused.reply, refused.phase)


def _wants_control(first: Answer, operator: Operator) -> bool:
    """After a yes that could prove something, and after a no that could be about anything."""
    if first.phase is not Phase.RECIPIENT:
        return False
    if first.reading.meaning is Meaning.ACCEPTED:
        return operator.acceptance_proves
    return first.reading.meaning is Meaning.BARE or not first.reading.sure


def _finding(first: Answer, second: Answer | None, host: MailHost, operator: Operator) -> Finding:
    facts: dict[str, str | int | float | bool | None] = {
        "host": host.name,
        "operator": operator.name,
        "phase": first.phase.value,
        "smtp_code": first.reply.code,
        "enhanced": first.reply.enhanced,
        "rule": first.reading.rule,
    }
    if first.reading.detail:
        facts["detail"] = first.reading.detail
    if (hint := hinted_delay_s(first.reply)) and first.reply.kind == 4:
        facts["retry_after_s"] = hint
    return Finding("mailbox", _code(first, second, operator), facts)


def _code(first: Answer, second: Answer | None, operator: Operator) -> str:
    """The one place where two answers become one finding."""
    meaning = first.reading.meaning
    if meaning is Meaning.ACCEPTED:
        return _code_of_yes(second, operator)
    if meaning is Meaning.BLOCKED and first.reply.kind == 4:
        return "blocked_for_now"
    if meaning is Meaning.BARE or not first.reading.sure:
        return _code_of_doubtful_no(first, second)
    return meaning.value


def _code_of_yes(second: Answer | None, operator: Operator) -> str:
    if not operator.acceptance_proves:
        return "not_probative"
    if second is not None and _is_yes(second):
        return "catch_all"
    return "mailbox_exists" if second is not None and _is_no(second) else "catch_all_untold"


def _code_of_doubtful_no(first: Answer, second: Answer | None) -> str:
    """A refusal counts for the mailbox only when the host answers nobody's address in another way."""
    if second is None or second.phase is not Phase.RECIPIENT or second.reply.kind not in (2, 5):
        return "refusal_untold"
    return "blanket_reject" if _same(first.reply, second.reply) else Meaning.NOT_FOUND.value


def _same(one: Reply, other: Reply) -> bool:
    return (one.code, one.enhanced) == (other.code, other.enhanced)
