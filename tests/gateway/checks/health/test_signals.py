"""Domain health as findings: each can say that it was not told, and DKIM that it cannot be."""

import asyncio
from collections.abc import Mapping, Sequence

import pytest

from vouchpost_gateway.checks.dns import Lookup, RecordType
from vouchpost_gateway.checks.health.signals import SELECTORS, health_findings
from vouchpost_gateway.domain.verification import Finding

from .zone import Zone, quoted

GOOD: dict[str, dict[str, list[str]]] = {
    "b.test": {"TXT": [quoted("v=spf1 include:spf.mail.test ", "-all"), quoted("something else")]},
    "spf.mail.test": {"TXT": [quoted("v=spf1 ip4:198.51.100.0/24 ?all")]},
    "_dmarc.b.test": {"TXT": [quoted("v=DMARC1; p=reject; rua=mailto:d@b.test")]},
    "_domainkey.b.test": {},
    "s1._domainkey.b.test": {"TXT": [quoted("v=DKIM1; k=rsa; p=MIGf")]},
    "_mta-sts.b.test": {"TXT": [quoted("v=STSv1; id=20261125;")]},
}


def _ask(records: Mapping[str, Mapping[str, Sequence[str]]]) -> dict[str, Finding]:
    findings = asyncio.run(health_findings("b.test", Zone(records), limit_s=1))
    return {finding.check: finding for finding in findings}


def test_a_domain_that_looks_after_its_mail_has_all_four() -> None:
    found = _ask(GOOD)

    assert {check: finding.code for check, finding in found.items()} == {
        "spf": "spf_sound",
        "dmarc": "dmarc_found",
        "dkim": "dkim_found",
        "mta_sts": "mta_sts_announced",
    }
    assert found["spf"].facts == {"strangers": "fail", "lookups": 1}
    assert found["dkim"].facts == {"selectors": "s1"}


def test_a_domain_that_does_not_has_none_and_dkim_cannot_be_proven() -> None:
    found = _ask({"b.test": {"MX": ["10 mx.b.test."]}})

    assert [finding.code for finding in found.values()] == [
        "spf_missing",
        "dmarc_missing",
        "dkim_not_provable",
        "mta_sts_missing",
    ]


def test_keys_that_are_revoked_or_under_another_name_prove_nothing() -> None:
    revoked = {"TXT": [quoted("v=DKIM1; p=")]}
    records: dict[str, dict[str, list[str]]] = {"_domainkey.b.test": {}, "default._domainkey.b.test": revoked}

    assert _ask(records)["dkim"] == Finding("dkim", "dkim_not_provable", {"selectors_tried": len(SELECTORS)})


@pytest.mark.parametrize(
    ("texts", "code", "detail"),
    [
        (["v=spf1 -all", "v=spf1 ?all"], "spf_broken", "records"),
        (["v=spf1 include:b.test -all"], "spf_broken", "lookups"),
        (["v=spf1 a:x1.test a:x2.test a:x3.test -all"], "spf_broken", "void_lookups"),
        (["v=spf1 ipv4:192.0.2.1 -all"], "spf_broken", "syntax"),
        (["v=spf1 include:slow.test -all"], "spf_untold", "timed_out"),
    ],
)
def test_a_broken_policy_is_told_by_its_flaw(texts: list[str], code: str, detail: str) -> None:
    spf = [quoted(text) for text in texts]
    records: dict[str, dict[str, list[str]]] = {"b.test": {"TXT": spf}, "slow.test": {"TIMEOUT": []}}

    finding = _ask(records)["spf"]

    assert (finding.code, finding.facts["detail"]) == (code, detail)


def test_a_policy_that_lets_anybody_send_is_told_apart() -> None:
    assert _ask({"b.test": {"TXT": [quoted("v=spf1 +all")]}})["spf"].code == "spf_passes_anybody"


def test_failures_of_name_servers_are_nobodys_missing_records() -> None:
    names = ("b.test", "_dmarc.b.test", "_domainkey.b.test", "_mta-sts.b.test")
    silent: dict[str, dict[str, tuple[str, ...]]] = {name: {"TIMEOUT": ()} for name in names}

    codes = {finding.code for finding in _ask(silent).values()}

    assert codes == {"spf_untold", "dmarc_untold", "dkim_not_provable", "mta_sts_untold"}


def test_a_signal_that_is_not_there_in_time_was_not_told() -> None:
    class Never(Zone):
        async def lookup(self, name: str, kind: RecordType) -> Lookup:
            await asyncio.Event().wait()
            return await super().lookup(name, kind)

    findings = asyncio.run(health_findings("b.test", Never({}), limit_s=0.05))

    assert {finding.code for finding in findings} == {"spf_untold", "dmarc_untold", "dkim_untold", "mta_sts_untold"}
