"""The rulings as a table: the first one found decides, and nothing uncertain is ever definite."""

import pytest

from vouchpost_gateway.checks.policy import DEFAULT_POLICY
from vouchpost_gateway.domain.verification import Finding, ReasonCode, Status


def _judged(*codes: str) -> tuple[Status, ReasonCode]:
    ruling = DEFAULT_POLICY.judge(Finding("some", code) for code in codes)
    return ruling.status, ruling.reason


@pytest.mark.parametrize(
    ("codes", "status", "reason"),
    [
        (["well_formed"], Status.VALID, ReasonCode.SYNTAX_OK),
        (["well_formed", "accepts_mail"], Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL),
        (["well_formed", "free_provider", "accepts_mail"], Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL),
        (["well_formed", "alias_relay", "accepts_mail"], Status.VALID, ReasonCode.DOMAIN_ACCEPTS_MAIL),
        (["well_formed", "disposable", "accepts_mail"], Status.RISKY, ReasonCode.DISPOSABLE),
        (["well_formed", "disposable", "role_account", "accepts_mail"], Status.RISKY, ReasonCode.DISPOSABLE),
        (["well_formed", "role_account", "accepts_mail"], Status.RISKY, ReasonCode.ROLE_ACCOUNT),
        (["well_formed", "disposable", "dns_timeout"], Status.UNKNOWN, ReasonCode.DNS_TIMEOUT),
        (["well_formed", "role_account", "dns_failure"], Status.UNKNOWN, ReasonCode.DNS_FAILURE),
        (["well_formed", "disposable", "no_domain"], Status.INVALID, ReasonCode.NO_DOMAIN),
        (["well_formed", "timed_out"], Status.UNKNOWN, ReasonCode.TIMED_OUT),
        (["malformed"], Status.INVALID, ReasonCode.INVALID_SYNTAX),
        ([], Status.UNKNOWN, ReasonCode.CHECK_SKIPPED),
        (["a_code_of_a_later_release"], Status.UNKNOWN, ReasonCode.CHECK_SKIPPED),
    ],
)
def test_the_first_ruling_found_decides(codes: list[str], status: Status, reason: ReasonCode) -> None:
    assert _judged(*codes) == (status, reason)
    assert _judged(*reversed(codes)) == (status, reason)


def test_what_may_change_is_unknown_and_what_is_unknown_scores_between_no_and_yes() -> None:
    for ruling in DEFAULT_POLICY.rulings:
        assert 0 <= ruling.score <= 1
        if ruling.temporary:
            assert ruling.status is Status.UNKNOWN
        if ruling.status is Status.INVALID:
            assert ruling.score < 0.1


def test_valid_at_depth_domain_scores_higher_than_at_depth_syntax() -> None:
    syntax = DEFAULT_POLICY.judge([Finding("syntax", "well_formed")])
    domain = DEFAULT_POLICY.judge([Finding("syntax", "well_formed"), Finding("mx", "accepts_mail")])

    assert syntax.score < domain.score < 1
