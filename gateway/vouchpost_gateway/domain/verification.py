"""A verification: what is asked of an address, what the checks saw, and the verdict."""

from collections.abc import Mapping
from dataclasses import field
from enum import StrEnum

from vouchpost_gateway.domain.value import value


class Status(StrEnum):
    PENDING = "pending"
    VALID = "valid"
    RISKY = "risky"
    INVALID = "invalid"
    UNKNOWN = "unknown"


class Depth(StrEnum):
    """How far the checks go."""

    SYNTAX = "syntax"
    DOMAIN = "domain"
    MAILBOX = "mailbox"


class Priority(StrEnum):
    HIGH = "high"
    NORMAL = "normal"
    LOW = "low"


class ReasonCode(StrEnum):
    """Why a verdict is what it is: one closed list, in the order of how much is known."""

    MAILBOX_EXISTS = "mailbox_exists"
    DOMAIN_ACCEPTS_MAIL = "domain_accepts_mail"
    SYNTAX_OK = "syntax_ok"
    INVALID_SYNTAX = "invalid_syntax"
    RESERVED_DOMAIN = "reserved_domain"
    NO_DOMAIN = "no_domain"
    NO_MX = "no_mx"
    NULL_MX = "null_mx"
    UNSAFE_MX = "unsafe_mx"
    MAILBOX_NOT_FOUND = "mailbox_not_found"
    MAILBOX_DISABLED = "mailbox_disabled"
    MAILBOX_FULL = "mailbox_full"
    MAILBOX_MOVED = "mailbox_moved"
    CATCH_ALL = "catch_all"
    DISPOSABLE = "disposable"
    ALIAS_RELAY = "alias_relay"
    ROLE_ACCOUNT = "role_account"
    FREE_PROVIDER = "free_provider"
    GIBBERISH = "gibberish"
    TYPO_SUSPECTED = "typo_suspected"
    DENIED_BY_POLICY = "denied_by_policy"
    GREYLISTED = "greylisted"
    BLOCKED_BY_POLICY = "blocked_by_policy"
    BLANKET_REJECT = "blanket_reject"
    NOT_PROBATIVE = "not_probative"
    PROTOCOL_ERROR = "protocol_error"
    CONNECTION_DROPPED = "connection_dropped"
    MX_UNREACHABLE = "mx_unreachable"
    DNS_TIMEOUT = "dns_timeout"
    DNS_FAILURE = "dns_failure"
    TIMED_OUT = "timed_out"
    PROVIDER_UNAVAILABLE = "provider_unavailable"
    CHECK_SKIPPED = "check_skipped"
    POISONED = "poisoned"


@value(frozen=True, slots=True)
class Finding:
    """What one check saw: evidence, not just the verdict. `facts` holds short, JSON-ready values, never the address."""

    check: str
    code: str
    facts: Mapping[str, str | int | float | bool | None] = field(default_factory=dict)


@value(frozen=True, slots=True)
class Flags:
    """Properties of the address; None where nothing could tell."""

    disposable: bool | None = None
    role: bool | None = None
    free: bool | None = None
    catch_all: bool | None = None
    alias_relay: bool | None = None


@value(frozen=True, slots=True)
class Verdict:
    """What was found. `temporary` means that the same checks may tell more when they are run again later.

    `put_off` means that no check was made at all, because it was not our turn yet.
    """

    status: Status
    reason_code: ReasonCode
    score: float
    flags: Flags
    findings: tuple[Finding, ...]
    normalised: str | None
    domain: str | None
    policy_version: str
    degraded: bool = False
    checks_skipped: tuple[str, ...] = ()
    temporary: bool = False
    put_off: bool = False
    retry_after_s: float | None = None
    provider: str | None = None


@value(frozen=True, slots=True)
class CheckRun:
    """One run of all the checks, kept as evidence: when, how it ended, and what it saw."""

    number: int
    at_ms: int
    duration_ms: int
    reason_code: ReasonCode
    findings: tuple[Finding, ...]
    error: str | None = None


@value(frozen=True, slots=True)
class NewVerification:
    """A request as accepted from a caller.

    After its time budget, in seconds, no check is begun any more: the verdict then is what is known.
    """

    address: str
    depth: Depth = Depth.DOMAIN
    priority: Priority = Priority.NORMAL
    subject_id: str | None = None
    metadata: Mapping[str, str] = field(default_factory=dict)
    time_budget_s: int | None = None


@value(frozen=True, slots=True)
class Verification:
    """A verification as read back: the request, its place in the subject's order, and the latest verdict if any."""

    stem: str
    sequence: int
    address: str
    depth: Depth
    priority: Priority
    subject_id: str | None
    metadata: Mapping[str, str]
    created_ms: int
    revision: int = 0
    verdict: Verdict | None = None
    checked_ms: int | None = None
    email_hash: str | None = None
    runs: tuple[CheckRun, ...] = ()
    dead: bool = False
    time_budget_s: int | None = None

    @property
    def status(self) -> Status:
        return self.verdict.status if self.verdict else Status.PENDING


@value(frozen=True, slots=True)
class Accepted:
    """A kept promise: the stem and sequence of the verification, and whether the idempotency key was seen before."""

    stem: str
    sequence: int
    repeated: bool
