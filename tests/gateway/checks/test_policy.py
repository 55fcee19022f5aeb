"""The rulings as a table: the first one found decides, and nothing uncertain is ever definite."""

import pytest

from vouchpost_gateway.checks.policy import Policy, default_policy
from vouchpost_gateway.domain.verification import Finding, Flags, ReasonCode, Status, Verdict


def _judged(*codes: str) -> tuple[Status, ReasonCode]:
    ruling = default_policy().judge(Finding("some", code) for code in codes)
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
    for ruling in default_policy().rulings:
        assert 0 <= ruling.score <= 1
        if ruling.temporary:
            assert ruling.status is Status.UNKNOWN
        if ruling.status is Status.INVALID:
            assert ruling.score < 0.1


def test_valid_at_depth_domain_scores_higher_than_at_depth_syntax() -> None:
    syntax = default_policy().judge([Finding("syntax", "well_formed")])
    domain = default_policy().judge([Finding("syntax", "well_formed"), Finding("mx", "accepts_mail")])

    assert syntax.score < domain.score < 1


def _verdict(*codes: str) -> Verdict:
    findings = tuple(Finding("some", code) for code in codes)
    ruling = default_policy().judge(findings)
    return Verdict(
        ruling.status,
        ruling.reason,
        ruling.score,
        Flags(),
        findings,
        "j@b.net",
        "b.net",
        f"{default_policy().version}+l1",
    )


@pytest.mark.parametrize(
    ("amendment", "codes", "status", "reason"),
    [
        ({"role_account": Status.VALID}, ["role_account", "accepts_mail"], Status.VALID, "domain_accepts_mail"),
        ({"role_account": Status.INVALID}, ["role_account", "accepts_mail"], Status.INVALID, "denied_by_policy"),
        ({"free_provider": Status.RISKY}, ["free_provider", "accepts_mail"], Status.RISKY, "free_provider"),
        ({"alias_relay": Status.INVALID}, ["alias_relay", "accepts_mail"], Status.INVALID, "denied_by_policy"),
        ({"role_account": Status.VALID}, ["role_account", "disposable"], Status.RISKY, "disposable"),
        ({"free_provider": Status.INVALID}, ["free_provider", "dns_timeout"], Status.UNKNOWN, "dns_timeout"),
    ],
)
def test_a_tenant_may_amend_what_is_a_matter_of_taste(
    amendment: dict[str, Status], codes: list[str], status: Status, reason: str
) -> None:
    policy = default_policy().amended("t1", amendment)

    again = policy.judge_again(_verdict("well_formed", *codes))

    assert (again.status, again.reason_code.value) == (status, reason)
    assert again.policy_version == f"{default_policy().version}~t1+l1"


@pytest.mark.parametrize("finding", ["dns_timeout", "no_domain", "malformed", "accepts_mail", "greylisted", "nonsense"])
def test_what_is_not_known_or_cannot_be_delivered_is_no_matter_of_taste(finding: str) -> None:
    with pytest.raises(ValueError, match="cannot be amended"):
        default_policy().amended("t1", {finding: Status.VALID})


@pytest.mark.parametrize("status", [Status.UNKNOWN, Status.PENDING])
def test_a_finding_cannot_be_amended_into_not_knowing(status: Status) -> None:
    with pytest.raises(ValueError, match="cannot be amended"):
        default_policy().amended("t1", {"role_account": status})


def test_a_policy_with_a_word_that_is_none_is_refused() -> None:
    row = '[[ruling]]\nfinding = "x"\nstatus = "good"\nreason = "no_mx"\nscore = 1.0'

    with pytest.raises(ValueError, match="good"):
        Policy.parse(f'version = "1"\n{row}\n[discounts]')
