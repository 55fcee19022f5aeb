"""How often and how long checks may be tried before the answer is `unknown`. Values in, times out."""

from dataclasses import dataclass

from vouchpost_gateway.domain.retry import next_check_delay_s
from vouchpost_gateway.domain.verification import Verdict, Verification

_PATIENCE_WINDOWS = 4
"""For how many windows of checks a verification may be put off because it was never its turn at a mail operator."""

_LEAST_S = 1.0
"""What one check is given, however late it comes to its turn: enough for a warm cache and an answer."""


@dataclass(frozen=True, slots=True)
class CheckRules:
    """At most `max_checks` checks within `window_s`, each at most `timeout_s` long.

    A caller's time budget cuts all of them short.
    """

    max_checks: int
    window_s: float
    timeout_s: float

    def limit_s(self, verification: Verification, now_ms: int) -> float:
        """Of one check: its own, or what the caller's time budget has left of it."""
        left_s = budget_left_s(verification, now_ms)
        return self.timeout_s if left_s is None else max(_LEAST_S, min(self.timeout_s, left_s))

    def may_be_put_off(self, verification: Verification, now_ms: int) -> bool:
        """Whether it may go back in line without counting as a check, because the mail operator had no turn for it."""
        left_s = budget_left_s(verification, now_ms)
        if left_s is not None and left_s <= 0:
            return False
        since_ms = verification.checked_ms or verification.created_ms
        return now_ms - since_ms < _PATIENCE_WINDOWS * self.window_s * 1000

    def next_check_s(self, verification: Verification, verdict: Verdict, now_ms: int, *, random: float) -> float | None:
        """Seconds until the next check of what could not be told; None for no more."""
        # A recheck has a round of checks of its own: those before the verdict, or of an earlier round, do not count.
        # Before the first verdict all of them do, or in a line that is slow it would never come.
        since = verification.checked_ms or 0
        if verification.verdict is not None:
            since = max(since, now_ms - round(self.window_s * 1000) - 1)
        runs = [run for run in verification.runs if run.at_ms > since]
        delay_s = next_check_delay_s(
            checks_made=len(runs) + 1,
            first_check_ms=runs[0].at_ms if runs else now_ms,
            now_ms=now_ms,
            retry_after_s=verdict.retry_after_s,
            random=random,
            max_checks=self.max_checks,
            window_s=self.window_s,
        )
        left_s = budget_left_s(verification, now_ms)
        return None if left_s is not None and delay_s is not None and delay_s > left_s else delay_s


def budget_left_s(verification: Verification, now_ms: int) -> float | None:
    """Of the time that the caller gave; None where it gave none, and once there is a first verdict."""
    if verification.time_budget_s is None or verification.verdict is not None:
        return None
    return verification.time_budget_s - (now_ms - verification.created_ms) / 1000
