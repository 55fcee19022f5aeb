"""From findings to a verdict, by a table: `data/policy.toml`, which tenants may amend."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any, Self

from vouchpost_gateway.domain.verification import Finding, ReasonCode, Status, Verdict


@dataclass(frozen=True, slots=True)
class Ruling:
    """What a finding means when nothing above it was found. `temporary`: asking again may tell more."""

    finding: str
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

    @classmethod
    def parse(cls, text: str) -> Self:
        """From TOML; ValueError for a status or reason that is none, KeyError for what is missing."""
        table = tomllib.loads(text)
        rulings = tuple(_ruling(row) for row in table["ruling"])
        return cls(table["version"], rulings, tuple(table["discounts"].items()))

    def judge(self, findings: Iterable[Finding]) -> Ruling:
        """The deciding ruling, its score discounted. Pure: of the same findings always the same."""
        codes = {finding.code for finding in findings}
        ranks = [self._ranks[code] for code in codes if code in self._ranks]
        ruling = self.rulings[min(ranks)] if ranks else _UNTOLD
        score = ruling.score
        for code, factor in self.discounts:
            if code in codes:
                score *= factor
        return ruling if score == ruling.score else replace(ruling, score=round(score, 4))

    def judge_again(self, verdict: Verdict) -> Verdict:
        """A stored verdict as this policy has it, by its findings and without another check."""
        ruling = self.judge(verdict.findings)
        _, plus, lists = verdict.policy_version.partition("+")
        return replace(
            verdict,
            status=ruling.status,
            reason_code=ruling.reason,
            score=ruling.score,
            policy_version=f"{self.version}{plus}{lists}",
        )

    def amended(self, name: str, statuses: Mapping[str, Status]) -> Self:
        """The same policy with other statuses for some findings: role accounts valid, free providers risky.

        Only what is certain of the address can be amended: ValueError where nothing is known or nothing can be
        delivered, since unknown must never become an answer, nor an address that is none a good one.
        """
        kept = tuple(ruling for ruling in self.rulings if ruling.finding not in statuses)
        amended = tuple(_amended(finding, status, self._ranks, self.rulings) for finding, status in statuses.items())
        first_good = next(place for place, ruling in enumerate(kept) if ruling.status is Status.VALID)
        # A finding that is made good no longer decides: the ruling that would have followed does.
        bad = tuple(ruling for ruling in amended if ruling.status is not Status.VALID)
        return replace(self, version=f"{self.version}~{name}", rulings=(*kept[:first_good], *bad, *kept[first_good:]))

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {ruling.finding: rank for rank, ruling in enumerate(self.rulings)}


def _ruling(row: Mapping[str, Any]) -> Ruling:
    status, reason = Status(row["status"]), ReasonCode(row["reason"])
    return Ruling(row["finding"], status, reason, row["score"], row.get("temporary", False))


# No check said anything a policy knows: not told is not "no".
_UNTOLD = Ruling("untold", Status.UNKNOWN, ReasonCode.CHECK_SKIPPED, 0.4)

# Findings that decide nothing by default and may be made to.
_AMENDABLE = {
    "free_provider": Ruling("free_provider", Status.RISKY, ReasonCode.FREE_PROVIDER, 0.5),
    "alias_relay": Ruling("alias_relay", Status.RISKY, ReasonCode.ALIAS_RELAY, 0.5),
    "gibberish": Ruling("gibberish", Status.RISKY, ReasonCode.GIBBERISH, 0.4),
    "idn_confusable": Ruling("idn_confusable", Status.RISKY, ReasonCode.TYPO_SUSPECTED, 0.3),
}


def _amended(finding: str, status: Status, ranks: Mapping[str, int], rulings: tuple[Ruling, ...]) -> Ruling:
    ruling = rulings[ranks[finding]] if finding in ranks else _AMENDABLE.get(finding)
    if ruling is None or ruling.status is not Status.RISKY:
        raise ValueError(f"cannot be amended: {finding}")
    if status not in (Status.VALID, Status.RISKY, Status.INVALID):
        raise ValueError(f"cannot be amended to: {status}")
    reason = ReasonCode.DENIED_BY_POLICY if status is Status.INVALID else ruling.reason
    return replace(ruling, status=status, reason=reason, score=0.0 if status is Status.INVALID else ruling.score)


@cache
def default_policy() -> Policy:
    return Policy.parse(resources.files("vouchpost_gateway.checks").joinpath("data", "policy.toml").read_text("utf-8"))
