"""How a verification is shown, the same in every answer that holds one."""

from typing import Any

from vouchpost_gateway.checks.canonical import canonical_of
from vouchpost_gateway.domain.event import timestamp_text
from vouchpost_gateway.domain.ids import verification_id
from vouchpost_gateway.domain.verification import CheckRun, Finding, Verdict, Verification


def verification_view(verification: Verification) -> dict[str, Any]:
    """The request, then the verdict (null while there is none), then the evidence."""
    return {
        "id": verification_id(verification.stem),
        "status": verification.status,
        "email": verification.address,
        "subject_id": verification.subject_id,
        "sequence": verification.sequence,
        "revision": verification.revision,
        "depth": verification.depth,
        "priority": verification.priority,
        "time_budget_s": verification.time_budget_s,
        "metadata": dict(verification.metadata),
        "created_at": timestamp_text(verification.created_ms),
        "checked_at": None if verification.checked_ms is None else timestamp_text(verification.checked_ms),
        "email_hash": verification.email_hash,
        "dead_letter": verification.dead,
        "verdict": None if verification.verdict is None else _verdict(verification.verdict),
        "check_runs": [_run(run) for run in verification.runs],
    }


def _verdict(verdict: Verdict) -> dict[str, Any]:
    flags = verdict.flags
    return {
        "status": verdict.status,
        "reason_code": verdict.reason_code,
        "score": round(verdict.score, 4),
        "degraded": verdict.degraded,
        "checks_skipped": list(verdict.checks_skipped),
        "flags": {
            "disposable": flags.disposable,
            "role": flags.role,
            "free": flags.free,
            "catch_all": flags.catch_all,
            "alias_relay": flags.alias_relay,
        },
        "normalised": verdict.normalised,
        "canonical": canonical_of(verdict.normalised),
        "domain": verdict.domain,
        "provider": verdict.provider,
        "policy_version": verdict.policy_version,
        "findings": [_finding(finding) for finding in verdict.findings],
    }


def _run(run: CheckRun) -> dict[str, Any]:
    return {
        "number": run.number,
        "at": timestamp_text(run.at_ms),
        "duration_ms": run.duration_ms,
        "reason_code": run.reason_code,
        "error": run.error,
        "findings": [_finding(finding) for finding in run.findings],
    }


def _finding(finding: Finding) -> dict[str, Any]:
    return {"check": finding.check, "code": finding.code, "facts": dict(finding.facts)}
