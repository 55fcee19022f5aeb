"""What the answers of one host come to: that about a mailbox, and that about a random address where one was needed.

Values in, values out; the conversation itself is in `mailbox.py`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from vouchpost_gateway.checks.mx import MailHost
from vouchpost_gateway.checks.operators import Operator
from vouchpost_gateway.checks.replies import Meaning, Phase, Reading, Reply, hinted_delay_s, read_reply
from vouchpost_gateway.checks.smtp import Refused
from vouchpost_gateway.domain.verification import Finding


@dataclass(frozen=True, slots=True)
class HostAnswer:
    """What one host said about one recipient, and at which phase."""

    reading: Reading
    reply: Reply
    phase: Phase = Phase.RECIPIENT


_NO = frozenset({Meaning.NOT_FOUND, Meaning.DISABLED, Meaning.GONE, Meaning.BARE})


def is_yes(answer: HostAnswer) -> bool:
    return answer.reading.meaning is Meaning.ACCEPTED


def is_no(answer: HostAnswer) -> bool:
    return answer.reading.meaning in _NO and answer.reply.kind == 5


def as_known(*, known: bool) -> HostAnswer:
    meaning = Meaning.ACCEPTED if known else Meaning.NOT_FOUND
    return HostAnswer(Reading(meaning, "known"), Reply(250 if known else 550, None, ""))


def refusal(refused: Refused, operator: Operator) -> HostAnswer:
    reading = read_reply(refused.reply, phase=refused.phase, operator=operator.name)
    return HostAnswer(reading, refused.reply, refused.phase)


def wants_control(first: HostAnswer, operator: Operator) -> bool:
    """After a yes that could prove something, and after a no that could be about anything."""
    if first.phase is not Phase.RECIPIENT:
        return False
    if first.reading.meaning is Meaning.ACCEPTED:
        return operator.acceptance_proves
    return first.reading.meaning is Meaning.BARE or not first.reading.sure


_OF_THE_MAILBOX = frozenset(
    {
        *(Meaning.ACCEPTED, Meaning.ACCEPTS_UNSEEN, Meaning.NOT_FOUND, Meaning.DISABLED, Meaning.GONE, Meaning.MOVED),
        *(Meaning.FULL, Meaning.BUSY, Meaning.BARE),
    }
)


def says_of_mailbox(answer: HostAnswer) -> bool:
    """Whether the host answered the question, so that it may be asked another."""
    return answer.phase is Phase.RECIPIENT and answer.reading.meaning in _OF_THE_MAILBOX


def is_worth_another_connection(answer: HostAnswer) -> bool:
    """Whether an answer may be about the conversation: too many recipients, enough of us, or no transaction at all."""
    about_us = answer.reading.meaning in (Meaning.BLOCKED, Meaning.PROTOCOL)
    ended = answer.reply.code == 421 or answer.phase is not Phase.RECIPIENT
    return ended or about_us or answer.reading.detail == "too_many_recipients"


_SENT_ON = frozenset({"takes_no_mail", "temporary", "greylisted", "blocked_for_now"})


def sends_us_on(finding: Finding) -> bool:
    """Whether the host would not talk to us at all, for now or for good: RFC 5321 5.1 has us try the next one."""
    return finding.facts.get("phase") != Phase.RECIPIENT.value and finding.code in _SENT_ON


def of_all_hosts(findings: Sequence[Finding], *, hosts: int) -> Finding:
    """That no host takes mail is true only when every one says so (RFC 7504 3); otherwise what another said counts."""
    others = [finding for finding in findings if finding.code != "takes_no_mail"]
    if others:
        return others[-1]
    if findings and len(findings) >= hosts:
        return findings[0]
    return Finding("mailbox", "mx_unreachable", {"hosts": hosts, "asked": len(findings)})


def finding_of(first: HostAnswer, second: HostAnswer | None, host: MailHost, operator: Operator) -> Finding:
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


def _code(first: HostAnswer, second: HostAnswer | None, operator: Operator) -> str:
    """The one place where two answers become one finding."""
    meaning = first.reading.meaning
    if meaning is Meaning.ACCEPTED:
        return _code_of_yes(second, operator)
    if meaning is Meaning.BLOCKED and first.reply.kind == 4:
        return "blocked_for_now"
    if meaning is Meaning.BARE or not first.reading.sure:
        return _code_of_doubtful_no(first, second)
    return meaning.value


def _code_of_yes(second: HostAnswer | None, operator: Operator) -> str:
    if not operator.acceptance_proves:
        return "not_probative"
    if second is not None and is_yes(second):
        return "catch_all"
    return "mailbox_exists" if second is not None and is_no(second) else "catch_all_untold"


def _code_of_doubtful_no(first: HostAnswer, second: HostAnswer | None) -> str:
    """A refusal counts for the mailbox only when the host answers nobody's address in another way."""
    if second is None or second.phase is not Phase.RECIPIENT or second.reply.kind not in (2, 5):
        return "refusal_untold"
    return "blanket_reject" if _same(first.reply, second.reply) else Meaning.NOT_FOUND.value


def _same(one: Reply, other: Reply) -> bool:
    return (one.code, one.enhanced) == (other.code, other.enhanced)
