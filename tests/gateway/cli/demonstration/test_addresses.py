"""The demo's list reaches nobody, and has something of everything."""

from vouchpost_gateway.checks.syntax import Mailbox, normalise
from vouchpost_gateway.cli.demonstration.addresses import addresses, masked
from vouchpost_gateway.embedded.dns import SANDBOX_DOMAINS


def domains() -> set[str]:
    return {address.rpartition("@")[2] for address in addresses() if isinstance(normalise(address), Mailbox)}


def test_there_are_some_two_hundred() -> None:
    assert 190 <= len(addresses()) <= 210


def test_every_address_is_at_a_domain_of_the_sandbox() -> None:
    assert domains() <= SANDBOX_DOMAINS.keys()


def test_every_verdict_that_the_sandbox_knows_is_in_it() -> None:
    reasons = {(domain.status, domain.reason) for domain in SANDBOX_DOMAINS.values()}

    assert {(SANDBOX_DOMAINS[domain].status, SANDBOX_DOMAINS[domain].reason) for domain in domains()} == reasons


def test_some_are_no_addresses_and_some_stand_twice() -> None:
    assert any(not isinstance(normalise(address), Mailbox) for address in addresses())
    assert len(set(addresses())) < len(addresses())


def test_a_masked_address_has_one_character_of_the_person() -> None:
    assert masked("pim.plum@valid.example") == "p…@valid.example"
    assert masked("pim@plum@valid.example") == "p…@valid.example"
    assert masked("nobody") == "n…"
