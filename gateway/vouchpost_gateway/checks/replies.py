"""What an SMTP reply means, decided by phase, reply code, enhanced code, operator and text: tables, no code.

The rules stand in `data/smtp_replies.toml`, each with its source. What a reply says about *us* is decided before what
it says about the mailbox, and what it says before RCPT is never about the mailbox at all.
"""

import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any, Self

_ADDRESS = re.compile(r"<[^<>]{0,320}>|[^\s@]{1,320}@\S*")
_HOST_OR_LINK = re.compile(r"https?://\S+|\b[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63}){1,9}\b(?!\.\d)|[\[(][0-9a-f.:]+[\])]")
# Where a line of a reply goes on in the next: the code, and perhaps the enhanced code, are said again.
_AGAIN = re.compile(r"(?:^|[\r\n]+|(?<=\s))[245]\d\d[- ]#?(?:[245]\.\d{1,3}\.\d{1,3}\b)?")
_CODE = re.compile(r"\s*([245]\d\d)(?![\d.])")
_ENHANCED = re.compile(r"(?<![\d.])([245])\.(\d{1,3})\.(\d{1,3})(?![\d.])")
_BARE_JIS = re.compile(r"\x1b?(\$B[!-~]{2,200}?)\x1b?\(B")
_MOST_TEXT = 4096


class Phase(StrEnum):
    """Of the dialogue: which command the reply answers."""

    GREETING = "greeting"
    HELLO = "hello"
    SENDER = "sender"
    RECIPIENT = "recipient"


class Meaning(StrEnum):
    """What the host says; the findings of the mailbox check carry these as their codes."""

    ACCEPTED = "accepted"
    ACCEPTS_UNSEEN = "accepts_unseen"
    NOT_FOUND = "mailbox_not_found"
    DISABLED = "mailbox_disabled"
    GONE = "mailbox_gone"
    MOVED = "mailbox_moved"
    FULL = "mailbox_full"
    BUSY = "mailbox_busy"
    NO_DOMAIN = "no_such_domain"
    TAKES_NO_MAIL = "takes_no_mail"
    GREYLISTED = "greylisted"
    TEMPORARY = "temporary"
    BLOCKED = "blocked_by_policy"
    TLS_REQUIRED = "tls_required"
    UTF8_UNSUPPORTED = "smtputf8_unsupported"
    PROTOCOL = "protocol_error"
    BARE = "bare_refusal"


@dataclass(frozen=True, slots=True)
class Reply:
    """An SMTP reply: its code, its enhanced code if it has one (RFC 2034), and all of its text."""

    code: int
    enhanced: str | None
    text: str

    @classmethod
    def parse(cls, text: str) -> Self:
        """From its lines, with or without line ends between them. A text without a code has code 0."""
        text = text[:_MOST_TEXT]
        code = _CODE.match(text)
        enhanced = _ENHANCED.search(text)
        return cls(int(code[1]) if code else 0, enhanced[0] if enhanced else None, text)

    @property
    def kind(self) -> int:
        """2, 4 or 5; 0 for none of these."""
        return self.code // 100 if self.code // 100 in (2, 4, 5) else 0


@dataclass(frozen=True, slots=True)
class Reading:
    """What a reply was read as. Not `sure`: it counts only if a random address is answered otherwise."""

    meaning: Meaning
    rule: str
    detail: str = ""
    sure: bool = True


@dataclass(frozen=True, slots=True)
class Rule:
    """One row of the table; every condition that is given must hold."""

    id: str
    meaning: Meaning
    source: str
    detail: str
    sure: bool
    codes: frozenset[int]
    classes: frozenset[int]
    enhanced: re.Pattern[str] | None
    unless_enhanced: re.Pattern[str] | None
    phrases: re.Pattern[str] | None
    unless: re.Pattern[str] | None
    operator: str | None
    with_hosts: bool
    without_enhanced: bool

    def fits(self, reply: Reply, operator: str | None, words: str, words_and_hosts: str) -> bool:
        text = words_and_hosts if self.with_hosts else words
        return (
            self._fits_codes(reply)
            and (self.operator is None or self.operator == operator)
            and (self.phrases is None or self.phrases.search(text) is not None)
            and (self.unless is None or self.unless.search(text) is None)
        )

    def _fits_codes(self, reply: Reply) -> bool:
        enhanced = reply.enhanced or ""
        return (
            not (self.codes and reply.code not in self.codes)
            and not (self.classes and reply.kind not in self.classes)
            and not (self.without_enhanced and enhanced)
            and not (self.enhanced and not self.enhanced.fullmatch(enhanced))
            and not (self.unless_enhanced and self.unless_enhanced.fullmatch(enhanced))
        )


def read_reply(reply: Reply, *, phase: Phase = Phase.RECIPIENT, operator: str | None = None) -> Reading:
    """The meaning of a reply. Before RCPT no refusal is about the mailbox, whatever it says."""
    if reply.kind == 2:
        # RFC 5321 4.3.2: any other yes answers another command, so that host and we are out of step.
        return Reading(_YES.get(reply.code, Meaning.PROTOCOL), "accepted")
    words_and_hosts = _words(reply.text)
    words = _HOST_OR_LINK.sub(" ", words_and_hosts)
    rule = next(rule for rule in _rules() if rule.fits(reply, operator, words, words_and_hosts))
    reading = Reading(rule.meaning, rule.id, rule.detail, rule.sure)
    return reading if phase is Phase.RECIPIENT else _before_recipient(reading, reply, phase)


_YES = {250: Meaning.ACCEPTED, 251: Meaning.ACCEPTED, 252: Meaning.ACCEPTS_UNSEEN}
_OF_THE_HOST = frozenset({Meaning.GREYLISTED, Meaning.BLOCKED, Meaning.TLS_REQUIRED, Meaning.PROTOCOL})


def hinted_delay_s(reply: Reply) -> int | None:
    """How long the host asks to wait, where it does: `in 300 seconds`, `5 minutes`, `00:05:00`. At most 2 h."""
    for pattern, seconds in _HINTS:
        if match := pattern.search(reply.text.lower()):
            return min(int(match[1]) * seconds, _LONGEST_HINT_S)
    return None


_LONGEST_HINT_S = 7200
_HINTS = (
    (re.compile(r"\b00:0?(\d{1,2}):\d{2}\b"), 60),
    (re.compile(r"\b(\d{1,4}) ?s(?:ec(?:ond)?s?)?\b"), 1),
    (re.compile(r"\b(\d{1,3}) ?m(?:in(?:ute)?s?)?\b"), 60),
    (re.compile(r"\b(\d{1,2}) ?h(?:ours?)?\b"), 3600),
)


def _before_recipient(reading: Reading, reply: Reply, phase: Phase) -> Reading:
    if reading.meaning in _OF_THE_HOST:
        return reading
    if phase is Phase.GREETING and reply.code in (521, 556):
        return Reading(Meaning.TAKES_NO_MAIL, "no-mail-host")  # RFC 7504: only there, and for every recipient
    if reply.kind == 4:
        return Reading(Meaning.TEMPORARY, f"before-recipient:{reading.rule}")
    return Reading(Meaning.BLOCKED, f"before-recipient:{reading.rule}", "refused_before_recipient")


def _words(text: str) -> str:
    """Lower case, one space between words, without what the sender of the command could have put there."""
    text = _BARE_JIS.sub(_decoded, text).lower()
    return " ".join(_ADDRESS.sub(" ", _AGAIN.sub(" ", text)).split())


def _decoded(match: re.Match[str]) -> str:
    """Japanese whose escape characters were lost on the way, as Domino sends it."""
    try:
        return f"\x1b{match[1]}\x1b(B".encode("ascii").decode("iso2022_jp")
    except UnicodeError:
        return match[0]


@cache
def _rules() -> tuple[Rule, ...]:
    text = resources.files("vouchpost_gateway.checks").joinpath("data", "smtp_replies.toml").read_text("utf-8")
    table = tomllib.loads(text)
    rules = [_rule(dict(row), table["phrases"]) for row in table["rule"]]
    # What no row fits (a reply that is none) is the host not keeping to the protocol.
    rules.append(_rule({"id": "no-reply", "meaning": "protocol_error", "source": "RFC 5321 section 4.2"}, {}))
    return tuple(rules)


def _rule(row: dict[str, Any], named: Mapping[str, Sequence[str]]) -> Rule:
    """A row as read; an unknown key fails the start."""
    phrases = row.pop("phrases", ())
    ends = row.pop("ends", False)
    rule = Rule(
        id=row.pop("id"),
        meaning=Meaning(row.pop("meaning")),
        source=row.pop("source"),
        detail=row.pop("detail", ""),
        sure=row.pop("sure", True),
        codes=frozenset(row.pop("codes", ())),
        classes=frozenset(row.pop("classes", ())),
        enhanced=_codes_pattern(row.pop("enhanced", ())),
        unless_enhanced=_codes_pattern(row.pop("unless_enhanced", ())),
        phrases=_phrases_pattern(named[phrases] if isinstance(phrases, str) else phrases, ends=ends),
        unless=_phrases_pattern(row.pop("unless", ())),
        operator=row.pop("operator", None),
        with_hosts=row.pop("with_hosts", False),
        without_enhanced=row.pop("without_enhanced", False),
    )
    if row:
        raise ValueError(f"rule {rule.id} has keys that are none: {sorted(row)}")
    return rule


def _codes_pattern(patterns: Sequence[str]) -> re.Pattern[str] | None:
    if not patterns:
        return None
    return re.compile("|".join(re.escape(pattern).replace(r"\*", r"\d+") for pattern in patterns))


def _phrases_pattern(phrases: Sequence[str], *, ends: bool = False) -> re.Pattern[str] | None:
    """Phrases begin where a word of Latin letters does; they may end within one."""
    if not phrases:
        return None
    alternatives = "|".join(re.escape(phrase) for phrase in phrases)
    return re.compile(rf"(?<![a-z0-9])(?:{alternatives})" + (r"\W*$" if ends else ""))
