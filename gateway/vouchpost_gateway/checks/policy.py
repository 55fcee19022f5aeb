"""From findings to a verdict, by a table: `data/policy.toml`, which tenants may amend."""

import tomllib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, replace
from functools import cache, cached_property
from importlib import resources
from typing import Any, Self

from vouchpost_gateway.domain.tenant_policy import DEGRADED, TenantPolicy
from vouchpost_gateway.domain.value import value
from vouchpost_gateway.domain.verification import Finding, ReasonCode, Status


@value(frozen=True, slots=True)
class Ruling:
    """What a finding means when nothing above it was found. `temporary`: asking again may tell more."""

    finding: str
    status: Status
    reason: ReasonCode
    score: float
    temporary: bool = False


@dataclass(frozen=True)
class Policy:
    """Rulings in order of precedence, and what lowers the score of a good address without deciding anything.

    `outweighed` is what is not held against an address that the tenant itself allows.
    """

    version: str
    rulings: tuple[Ruling, ...]
    discounts: tuple[tuple[str, float], ...]
    outweighed: frozenset[str] = frozenset()

    @classmethod
    def parse(cls, text: str) -> Self:
        """From TOML; ValueError for an unknown status or reason, KeyError for what is missing."""
        table = tomllib.loads(text)
        rulings = tuple(_ruling(row) for row in table["ruling"])
        outweighed = frozenset(table.get("allowed", {}).get("outweighs", ()))
        return cls(table["version"], rulings, tuple(table["discounts"].items()), outweighed)

    def judge(self, findings: Iterable[Finding]) -> Ruling:
        """The deciding ruling, its score discounted. Pure: of the same findings always the same."""
        codes = {finding.code for finding in findings}
        if "allowed" in codes:
            codes -= self.outweighed
        ranks = [self._ranks[code] for code in codes if code in self._ranks]
        ruling = self.rulings[min(ranks)] if ranks else _UNTOLD
        score = ruling.score
        for code, factor in self.discounts:
            if code in codes:
                score *= factor
        return ruling if score == ruling.score else replace(ruling, score=round(score, 4))

    def finding_for(self, reason: ReasonCode) -> str:
        """A finding that alone comes to this reason: one that is only played, or else the first that does."""
        codes = [ruling.finding for ruling in self.rulings if ruling.reason is reason]
        return next((code for code in codes if code.startswith("played_")), codes[0])

    def amended(self, tenant: TenantPolicy) -> Self:
        """The same policy with the tenant's statuses for matters of taste: role accounts valid, say."""
        if not tenant.version:
            return self
        statuses = {finding: status for finding, status in tenant.statuses.items() if finding != DEGRADED}
        good = frozenset(ruling.finding for ruling in self.rulings if ruling.status is Status.VALID)
        # A ruling that is good by default is amended in its place. Any other is taken out: called risky it comes back
        # before the first valid one, called invalid before the first risky one, and called valid it decides no more.
        rulings = [
            _called(ruling, statuses[ruling.finding]) if ruling.finding in good & statuses.keys() else ruling
            for ruling in self.rulings
            if ruling.finding in good or ruling.finding not in statuses
        ]
        for status, like in ((Status.RISKY, Status.VALID), (Status.INVALID, Status.RISKY)):
            moved = [
                self._ruling_of(name) for name, called in statuses.items() if called is status and name not in good
            ]
            place = next(place for place, ruling in enumerate(rulings) if ruling.status is like)
            rulings[place:place] = [_called(ruling, status) for ruling in sorted(moved, key=self._rank)]
        return replace(self, version=f"{self.version}~{tenant.version}", rulings=tuple(rulings))

    def _rank(self, ruling: Ruling) -> int:
        return self._ranks.get(ruling.finding, len(self.rulings))

    def _ruling_of(self, finding: str) -> Ruling:
        return self.rulings[self._ranks[finding]] if finding in self._ranks else _AMENDED[finding]

    @cached_property
    def _ranks(self) -> dict[str, int]:
        return {ruling.finding: rank for rank, ruling in enumerate(self.rulings)}


def _ruling(row: Mapping[str, Any]) -> Ruling:
    status, reason = Status(row["status"]), ReasonCode(row["reason"])
    return Ruling(row["finding"], status, reason, row["score"], row.get("temporary", False))


# No check said anything a policy knows: not told is not "no".
_UNTOLD = Ruling("untold", Status.UNKNOWN, ReasonCode.CHECK_SKIPPED, 0.4)

# Findings that decide nothing by default and may be made to.
_AMENDED = {
    "free_provider": Ruling("free_provider", Status.RISKY, ReasonCode.FREE_PROVIDER, 0.5),
    "alias_relay": Ruling("alias_relay", Status.RISKY, ReasonCode.ALIAS_RELAY, 0.5),
    "gibberish": Ruling("gibberish", Status.RISKY, ReasonCode.GIBBERISH, 0.4),
    "idn_confusable": Ruling("idn_confusable", Status.RISKY, ReasonCode.TYPO_SUSPECTED, 0.3),
}


def _called(ruling: Ruling, status: Status) -> Ruling:
    """The ruling with the tenant's status. One that the tenant refuses gets a reason that says so."""
    if status is Status.INVALID:
        return replace(ruling, status=status, reason=ReasonCode.DENIED_BY_POLICY, score=0.0)
    return replace(ruling, status=status, score=min(ruling.score, 0.5) if status is Status.RISKY else ruling.score)


@cache
def default_policy() -> Policy:
    return Policy.parse(resources.files("vouchpost_gateway.checks").joinpath("data", "policy.toml").read_text("utf-8"))
