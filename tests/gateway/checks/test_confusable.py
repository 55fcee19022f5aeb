"""Names that look like others are told by the name they look like."""

import pytest

from vouchpost_gateway.checks.confusable import twin_of
from vouchpost_gateway.checks.syntax import Mailbox, normalise


def test_a_domain_of_cyrillic_twins_looks_like_the_latin_one() -> None:
    """The name from the 2017 reports of it, as it comes: in Punycode."""
    mailbox = normalise("jane@xn--80ak6aa92e.com")

    assert isinstance(mailbox, Mailbox)
    assert twin_of(mailbox.display_domain) == "apple.com"


@pytest.mark.parametrize(
    "domain",
    ["apple.com", "b\u00fccher.example", "\u043f\u0438\u0441\u044c\u043c\u043e.\u0440\u0444", "\u4f8b\u3048.test", ""],
)
def test_other_names_look_like_themselves(domain: str) -> None:
    assert twin_of(domain) is None
