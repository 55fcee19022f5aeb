"""The rulings as a table: the first one found decides, and nothing uncertain is ever definite."""

import pytest

from vouchpost_gateway.checks.policy import Policy, default_policy
from vouchpost_gateway.domain.tenant_policy import AMENDABLE, TenantPolicy
from vouchpost_gateway.domain.verification import Finding, ReasonCode, Status


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


@pytest.mark.parametrize(
    ("amendment", "codes", "status", "reason"),
    [
        ({"role_account": Status.VALID}, ["role_account", "accepts_mail"], Status.VALID, "domain_accepts_mail"),
        ({"role_account": Status.INVALID}, ["role_account", "accepts_mail"], Status.INVALID, "denied_by_policy"),
        ({"role_account": Status.INVALID}, ["role_account", "catch_all"], Status.INVALID, "denied_by_policy"),
        ({"free_provider": Status.RISKY}, ["free_provider", "accepts_mail"], Status.RISKY, "free_provider"),
        ({"free_provider": Status.RISKY}, ["free_provider", "mailbox_full"], Status.RISKY, "mailbox_full"),
        ({"alias_relay": Status.INVALID}, ["alias_relay", "accepts_mail"], Status.INVALID, "denied_by_policy"),
        ({"role_account": Status.VALID}, ["role_account", "disposable"], Status.RISKY, "disposable"),
        ({"free_provider": Status.INVALID}, ["free_provider", "dns_timeout"], Status.UNKNOWN, "dns_timeout"),
        ({"accepts_mail": Status.RISKY}, ["accepts_mail"], Status.RISKY, "domain_accepts_mail"),
        ({"accepts_mail": Status.RISKY}, ["accepts_mail", "mailbox_exists"], Status.VALID, "mailbox_exists"),
        ({"gibberish": Status.RISKY}, ["gibberish", "mailbox_exists"], Status.RISKY, "gibberish"),
    ],
)
def test_a_tenant_may_amend_what_is_a_matter_of_taste(
    amendment: dict[str, Status], codes: list[str], status: Status, reason: str
) -> None:
    policy = default_policy().amended(TenantPolicy(amendment))

    ruling = policy.judge(Finding("some", code) for code in ("well_formed", *codes))

    assert (ruling.status, ruling.reason.value) == (status, reason)
    assert 0 <= ruling.score <= (0.0 if status is Status.INVALID else 1.0)


def test_a_policy_that_amends_nothing_is_the_default_one_and_another_has_a_version_of_its_own() -> None:
    amended = default_policy().amended(TenantPolicy({"role_account": Status.VALID}))
    other = default_policy().amended(TenantPolicy({"role_account": Status.INVALID}))

    assert default_policy().amended(TenantPolicy()) is default_policy()
    assert len({default_policy().version, amended.version, other.version}) == 3


def test_everything_amendable_can_be_amended_to_everything_it_may_be_called() -> None:
    for finding, statuses in AMENDABLE.items():
        for status in statuses:
            assert default_policy().amended(TenantPolicy({finding: status})).rulings


def test_no_amendment_makes_an_answer_of_not_knowing() -> None:
    """Whatever is amended, a temporary finding still decides before every matter of taste."""
    worst = TenantPolicy({finding: min(statuses) for finding, statuses in AMENDABLE.items()})
    policy = default_policy().amended(worst)

    for ruling in default_policy().rulings:
        if ruling.temporary:
            codes = [*AMENDABLE, ruling.finding]
            assert policy.judge(Finding("some", code) for code in codes).status is Status.UNKNOWN


def test_what_a_tenant_allows_is_not_held_against_the_address_and_what_is_known_still_is() -> None:
    assert _judged("well_formed", "disposable", "accepts_mail", "allowed")[0] is Status.VALID
    assert _judged("well_formed", "disposable", "mailbox_not_found", "allowed")[0] is Status.INVALID
    assert _judged("well_formed", "disposable", "greylisted", "allowed")[0] is Status.UNKNOWN


def test_what_a_tenant_denies_is_refused_whatever_else_was_found() -> None:
    assert _judged("well_formed", "not_asked", "denied") == (Status.INVALID, ReasonCode.DENIED_BY_POLICY)


def test_a_policy_with_a_word_that_is_none_is_refused() -> None:
    row = '[[ruling]]\nfinding = "x"\nstatus = "good"\nreason = "no_mx"\nscore = 1.0'

    with pytest.raises(ValueError, match="good"):
        Policy.parse(f'version = "1"\n{row}\n[discounts]')
