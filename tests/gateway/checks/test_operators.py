"""Who runs a mail host: the measure that we keep with it is for all of its hosts, and for nobody else's."""

import pytest

from vouchpost_gateway.checks.operators import operator_of


@pytest.mark.parametrize(
    ("host", "name"),
    [
        ("gmail-smtp-in.l.google.com", "google"),
        ("b-test.mail.protection.outlook.com", "microsoft_business"),
        ("b-test.olc.protection.outlook.com", "microsoft_consumer"),
        ("mx1.b.net", "b.net"),
        ("mx.a.co.uk", "a.co.uk"),
        ("mx.b.co.uk", "b.co.uk"),
        ("mx1.sandbox.example", "sandbox.example"),
        ("notgoogle.com", "notgoogle.com"),
    ],
)
def test_a_host_is_its_operators(host: str, name: str) -> None:
    assert operator_of(host).name == name


def test_providers_whose_yes_proves_nothing_are_never_believed() -> None:
    hosts = ("mta5.am0.yahoodns.net", "x.mail.protection.outlook.com", "mxs.mail.ru", "eu-smtp.mimecast.com")

    assert not any(operator_of(host).acceptance_proves for host in hosts)
