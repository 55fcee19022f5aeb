"""From findings to the parts of a verdict that no policy decides: flags, what was skipped, when to ask again."""

from collections.abc import Sequence
from typing import Final

from vouchpost_gateway.domain.verification import Depth, Finding, Flags

# Findings of the mailbox check that say why nobody was asked.
_DID_NOT_ASK: Final = frozenset(
    {
        "egress_closed", "mx_resting", "mx_crowded", "daily_cap_reached", "proxy_failed", "mailbox_not_enabled",
        "mailbox_without_route", "not_asked",
    }
)  # fmt: skip
_MX_NOT_ASKED: Final = frozenset({"outside_sandbox", "not_asked"})
# Nobody was asked, and it cost nobody anything: to be done later, and no check.
_PUT_OFF: Final = frozenset({"mx_crowded"})
# Nobody was asked for reasons of our own, which a later day may end.
_DEGRADED: Final = frozenset({"egress_closed", "daily_cap_reached"})


def flags_of(findings: Sequence[Finding]) -> Flags:
    codes = {finding.code for finding in findings}
    return Flags(
        disposable=bool(codes & {"disposable", "disposable_mail_host"}),
        role="role_account" in codes,
        free=bool(codes & {"free_provider", "played_free_provider"}),
        catch_all=True if "catch_all" in codes else False if "mailbox_exists" in codes else None,
        alias_relay=bool(codes & {"alias_relay", "played_alias_relay"}),
    )


def skipped(depth: Depth, findings: Sequence[Finding]) -> tuple[str, ...]:
    """Checks that the depth asks for and that did not run; the finding of each says why."""
    codes = {finding.code for finding in findings}
    if depth is Depth.SYNTAX or any(finding.check == "sandbox" for finding in findings):
        return ()
    names = ("mx",) if codes & _MX_NOT_ASKED else ()
    ran = any(finding.check == "mailbox" and finding.code not in _DID_NOT_ASK for finding in findings)
    return (*names, "mailbox") if depth is Depth.MAILBOX and not ran else names


def is_put_off(finding: str) -> bool:
    """Whether the finding that decided means that it was not our turn, so that no check was made."""
    return finding in _PUT_OFF


def is_degraded(finding: str) -> bool:
    """Whether the finding that decided means that a full check could have told."""
    return finding in _DEGRADED


def retry_after_s(findings: Sequence[Finding]) -> float | None:
    """What a host hinted, as a floor for the next check."""
    hints = (finding.facts.get("retry_after_s") for finding in findings)
    return next((float(hint) for hint in hints if hint), None)
