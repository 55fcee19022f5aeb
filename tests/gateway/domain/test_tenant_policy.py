"""What a tenant may decide for itself, and how it is told what it may not."""

import pytest

from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.tenant_policy import NO_POLICY, TenantPolicy
from vouchpost_gateway.domain.verification import Status


def _made(
    statuses: dict[str, Status] | None = None, allow: tuple[str, ...] = (), deny: tuple[str, ...] = ()
) -> TenantPolicy:
    return TenantPolicy.made(statuses=statuses or {}, allow=allow, deny=deny)


@pytest.mark.parametrize(
    "finding", ["dns_timeout", "no_domain", "malformed", "greylisted", "mailbox_exists", "nonsense"]
)
def test_what_is_not_known_or_cannot_be_delivered_is_no_matter_of_taste(finding: str) -> None:
    with pytest.raises(InvalidField, match="statuses"):
        _made({finding: Status.VALID})


@pytest.mark.parametrize(
    ("finding", "status"),
    [
        ("role_account", Status.UNKNOWN),
        ("role_account", Status.PENDING),
        ("mailbox_full", Status.VALID),
        ("accepts_mail", Status.INVALID),
        ("gibberish", Status.INVALID),
        ("degraded", Status.VALID),
        ("degraded", Status.INVALID),
    ],
)
def test_a_finding_may_be_called_only_what_makes_sense_of_it(finding: str, status: Status) -> None:
    with pytest.raises(InvalidField, match=finding):
        _made({finding: status})


@pytest.mark.parametrize("entry", ["", "com", "@b.test", "a b.test", "b..test", "x" * 250 + ".test", "b\n.test"])
def test_an_entry_that_is_neither_domain_nor_address_is_refused(entry: str) -> None:
    with pytest.raises(InvalidField, match="allow"):
        _made(allow=(entry,))


def test_nothing_is_both_allowed_and_denied() -> None:
    with pytest.raises(InvalidField, match="deny"):
        _made(allow=("b.test",), deny=("B.test.",))


@pytest.mark.parametrize(
    ("address", "says"),
    [
        ("jane@b.test", "denied"),
        ("jane@sub.b.test", "denied"),
        ("boss@b.test", "allowed"),
        ("jane@good.b.test", "allowed"),
        ("jane@notb.test", None),
        ("Jane@xn--bcher-kva.test", "denied"),
    ],
)
def test_the_nearest_word_counts(address: str, says: str | None) -> None:
    policy = _made(allow=("boss@b.test", "good.b.test"), deny=("b.test", "bücher.test"))

    assert policy.says_of(address, address.rpartition("@")[2]) == says


def test_the_version_is_of_the_contents() -> None:
    one = _made({"role_account": Status.VALID}, deny=("a.test", "b.test"))
    same = _made({"role_account": Status.VALID}, deny=("B.test", "a.test."))
    other = _made({"role_account": Status.VALID}, allow=("a.test", "b.test"))

    assert one.version == same.version != other.version
    assert NO_POLICY.version == ""


def test_a_degraded_verdict_is_unknown_unless_the_tenant_calls_it_risky() -> None:
    assert NO_POLICY.degraded_status is Status.UNKNOWN
    assert _made({"degraded": Status.RISKY}).degraded_status is Status.RISKY
