"""From findings to a verdict, as data: the first ruling whose code was found decides. Read it from the top."""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from functools import cached_property

from vouchpost_gateway.domain.verification import Finding, ReasonCode, Status


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a finding means when nothing above it was found. `temporary`: asking again may tell more."""

    code: str
    status: Status
    reason: ReasonCode
    score: float
    temporary: bool = False


@dataclass(frozen=True)
class Policy:
    """Rulings in order of precedence, and what lowers the score of a good address without deciding anything."""

    version: str
    rulings: tuple[Ruling, ...]
    discounts: tuple[tuple[str, float], ...]

    def judge(self, findings: Iterable[Finding]) -> Ruling:
        """The deciding ruling, its score discounted. Pure: stored findings can be judged again under another policy."""
        codes = {finding.code for finding in findings}
        ranks = [self._ranks[code] for code in codes if code in self._ranks]
        ruling = self.rulings[min(ranks)] if ranks else _UNTOLD
        score = ruling.score
        for code, factor in self.discounts:
            if code in codes:
                score *= factor
        return ruling if score == ruling.score else replace(ruling, score=round(score, 4))

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {ruling.code: rank for rank, ruling in enumerate(self.rulings)}


# No check said anything a policy knows: not told is not "no".
_UNTOLD = Ruling("untold", Status.UNKNOWN, ReasonCode.CHECK_SKIPPED, 0.4)

DEFAULT_POLICY = Policy(
    version="2026-11.3",
    rulings=(
        # Certain, and nothing can outweigh it.
        Ruling("malformed", Status.INVALID, ReasonCode.INVALID_SYNTAX, 0.0),
        Ruling("reserved_domain", Status.INVALID, ReasonCode.RESERVED_DOMAIN, 0.0),
        Ruling("no_domain", Status.INVALID, ReasonCode.NO_DOMAIN, 0.0),
        Ruling("null_mx", Status.INVALID, ReasonCode.NULL_MX, 0.0),
        Ruling("unsafe_mx", Status.INVALID, ReasonCode.UNSAFE_MX, 0.0),
        Ruling("no_mx", Status.INVALID, ReasonCode.NO_MX, 0.02),
        Ruling("takes_no_mail", Status.INVALID, ReasonCode.NULL_MX, 0.0),
        Ruling("no_such_domain", Status.INVALID, ReasonCode.NO_DOMAIN, 0.02),
        Ruling("mailbox_not_found", Status.INVALID, ReasonCode.MAILBOX_NOT_FOUND, 0.02),
        Ruling("mailbox_gone", Status.INVALID, ReasonCode.MAILBOX_NOT_FOUND, 0.02),
        Ruling("mailbox_disabled", Status.INVALID, ReasonCode.MAILBOX_DISABLED, 0.05),
        # Not known. Above the risks, so that it is asked again and never taken for an answer.
        Ruling("dns_timeout", Status.UNKNOWN, ReasonCode.DNS_TIMEOUT, 0.4, temporary=True),
        Ruling("dns_failure", Status.UNKNOWN, ReasonCode.DNS_FAILURE, 0.4, temporary=True),
        Ruling("timed_out", Status.UNKNOWN, ReasonCode.TIMED_OUT, 0.4, temporary=True),
        Ruling("greylisted", Status.UNKNOWN, ReasonCode.GREYLISTED, 0.5, temporary=True),
        Ruling("temporary", Status.UNKNOWN, ReasonCode.GREYLISTED, 0.5, temporary=True),
        Ruling("blocked_for_now", Status.UNKNOWN, ReasonCode.BLOCKED_BY_POLICY, 0.5, temporary=True),
        Ruling("mx_resting", Status.UNKNOWN, ReasonCode.MX_UNREACHABLE, 0.5, temporary=True),
        Ruling("mx_unreachable", Status.UNKNOWN, ReasonCode.MX_UNREACHABLE, 0.4, temporary=True),
        Ruling("connection_dropped", Status.UNKNOWN, ReasonCode.CONNECTION_DROPPED, 0.4, temporary=True),
        Ruling("smtp_timed_out", Status.UNKNOWN, ReasonCode.TIMED_OUT, 0.4, temporary=True),
        Ruling("catch_all_untold", Status.UNKNOWN, ReasonCode.NOT_PROBATIVE, 0.6, temporary=True),
        Ruling("refusal_untold", Status.UNKNOWN, ReasonCode.BLANKET_REJECT, 0.3, temporary=True),
        # Not known, and no other day will tell: the host does not say, or not to us.
        Ruling("egress_closed", Status.UNKNOWN, ReasonCode.CHECK_SKIPPED, 0.5),
        Ruling("blocked_by_policy", Status.UNKNOWN, ReasonCode.BLOCKED_BY_POLICY, 0.5),
        Ruling("tls_required", Status.UNKNOWN, ReasonCode.BLOCKED_BY_POLICY, 0.5),
        Ruling("smtputf8_unsupported", Status.UNKNOWN, ReasonCode.PROTOCOL_ERROR, 0.4),
        Ruling("protocol_error", Status.UNKNOWN, ReasonCode.PROTOCOL_ERROR, 0.4),
        Ruling("blanket_reject", Status.UNKNOWN, ReasonCode.BLANKET_REJECT, 0.3),
        Ruling("not_probative", Status.UNKNOWN, ReasonCode.NOT_PROBATIVE, 0.6),
        Ruling("accepts_unseen", Status.UNKNOWN, ReasonCode.NOT_PROBATIVE, 0.6),
        Ruling("outside_sandbox", Status.UNKNOWN, ReasonCode.CHECK_SKIPPED, 0.4),
        # Works, but not like a person's own mailbox.
        Ruling("typo_suspected", Status.RISKY, ReasonCode.TYPO_SUSPECTED, 0.1),
        Ruling("disposable", Status.RISKY, ReasonCode.DISPOSABLE, 0.2),
        Ruling("disposable_mail_host", Status.RISKY, ReasonCode.DISPOSABLE, 0.25),
        Ruling("role_account", Status.RISKY, ReasonCode.ROLE_ACCOUNT, 0.5),
        Ruling("mailbox_full", Status.RISKY, ReasonCode.MAILBOX_FULL, 0.3),
        Ruling("mailbox_moved", Status.RISKY, ReasonCode.MAILBOX_MOVED, 0.2),
        Ruling("catch_all", Status.RISKY, ReasonCode.CATCH_ALL, 0.5),
        # Good, as far as the question went.
        Ruling("mailbox_exists", Status.VALID, ReasonCode.MAILBOX_EXISTS, 0.97),
        Ruling("mailbox_busy", Status.VALID, ReasonCode.MAILBOX_EXISTS, 0.9),
        Ruling("accepts_mail", Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL, 0.8),
        Ruling("well_formed", Status.VALID, ReasonCode.SYNTAX_OK, 0.6),
    ),
    discounts=(
        ("alias_relay", 0.9),
        ("free_provider", 0.95),
        ("idn_confusable", 0.5),
    ),
)
