"""The four signals of a domain's health, as findings. None of them decides anything about a mailbox.

Each can say that it was not told: a failure of a name server is no missing record, and DKIM keys can be proven, since a
selector may be found, but never disproven, since selectors cannot be listed.
"""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final

from vouchpost_gateway.checks.dns import DnsOutcome, Lookup
from vouchpost_gateway.checks.health.dmarc import Untold, find_dmarc
from vouchpost_gateway.checks.health.spf import SpfVerdict, check_host
from vouchpost_gateway.checks.health.spf_record import SpfResult
from vouchpost_gateway.checks.health.texts import text_of
from vouchpost_gateway.checks.mx import Facts, Lookups
from vouchpost_gateway.domain.verification import Finding

# RFC 5737: nobody sends from it, so every term of a record is gone through, and what remains is said of strangers.
_STRANGER: Final = "192.0.2.1"
# The defaults of the providers that most domains send through.
SELECTORS: Final = ("google", "selector1", "k1", "s1", "default", "mail")

Signal = Callable[[str, Lookups], Awaitable[Finding]]


async def health_findings(domain: str, resolver: Lookups, *, limit_s: float) -> list[Finding]:
    """All signals, asked for at once; one that is not there in time was not told."""
    return list(
        await asyncio.gather(*(_in_time(name, ask(domain, resolver), limit_s) for name, ask in SIGNALS.items()))
    )


async def _in_time(name: str, signal: Awaitable[Finding], limit_s: float) -> Finding:
    try:
        async with asyncio.timeout(limit_s):
            return await signal
    except TimeoutError:
        return Finding(name, f"{name}_untold", {"detail": "timed_out"})


async def spf_finding(domain: str, resolver: Lookups) -> Finding:
    """Whether the record is sound, and what it says of strangers."""
    verdict = await check_host(resolver, address=_STRANGER, domain=domain)
    code = _SPF_CODES.get(verdict.result, "spf_sound")
    return Finding("spf", code, _spf_facts(verdict))


_SPF_CODES = {
    SpfResult.NONE: "spf_missing",
    SpfResult.PERMERROR: "spf_broken",
    SpfResult.TEMPERROR: "spf_untold",
    SpfResult.PASS: "spf_passes_anybody",
}


def _spf_facts(verdict: SpfVerdict) -> Facts:
    if verdict.result in (SpfResult.PERMERROR, SpfResult.TEMPERROR):
        return {"detail": verdict.flaw, "lookups": verdict.terms}
    return {} if verdict.result is SpfResult.NONE else {"strangers": verdict.result.value, "lookups": verdict.terms}


async def dmarc_finding(domain: str, resolver: Lookups) -> Finding:
    try:
        found = await find_dmarc(domain, resolver)
    except Untold:
        return Finding("dmarc", "dmarc_untold")
    if found is None:
        return Finding("dmarc", "dmarc_missing")
    where, testing, reports = found.published_at, found.testing, found.reports
    facts: Facts = {"policy": found.policy, "published_at": where, "testing": testing, "reports": reports}
    return Finding("dmarc", "dmarc_found", facts)


async def dkim_finding(domain: str, resolver: Lookups) -> Finding:
    """RFC 6376 3.6.1. Where the common parent does not exist, nothing under it does (RFC 8020), and nobody is asked."""
    parent = await resolver.lookup(f"_domainkey.{domain}", "TXT")
    if parent.outcome is DnsOutcome.NO_NAME:
        return Finding("dkim", "dkim_not_provable", {"selectors_tried": 0})
    found = await asyncio.gather(*(resolver.lookup(f"{name}._domainkey.{domain}", "TXT") for name in SELECTORS))
    selectors = [name for name, lookup in zip(SELECTORS, found, strict=True) if _holds_key(lookup)]
    if selectors:
        return Finding("dkim", "dkim_found", {"selectors": ", ".join(selectors)})
    return Finding("dkim", "dkim_not_provable", {"selectors_tried": len(SELECTORS)})


def _holds_key(lookup: Lookup) -> bool:
    """A key that is not revoked: `p=` with something behind it."""
    tags = [tag.strip().replace(" ", "") for record in lookup.records for tag in text_of(record).split(";")]
    return any(tag.startswith("p=") and len(tag) > len("p=") for tag in tags)


async def mta_sts_finding(domain: str, resolver: Lookups) -> Finding:
    """RFC 8461 3.1: exactly one record. It announces a policy; which one, only its web server would tell."""
    found = await resolver.lookup(f"_mta-sts.{domain}", "TXT")
    if not found.outcome.definite:
        return Finding("mta_sts", "mta_sts_untold", {"detail": found.outcome.value})
    records = [text for text in map(text_of, found.records) if text.replace(" ", "").startswith("v=STSv1;")]
    if len(records) != 1:
        return Finding("mta_sts", "mta_sts_missing")
    return Finding("mta_sts", "mta_sts_announced", {"policy": "not_fetched"})


SIGNALS: Final[dict[str, Signal]] = {
    "spf": spf_finding,
    "dmarc": dmarc_finding,
    "dkim": dkim_finding,
    "mta_sts": mta_sts_finding,
}
