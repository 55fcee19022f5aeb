"""One person, many spellings: only by rules that the provider itself has published."""

import pytest

from vouchpost_gateway.checks.canonical import canonical
from vouchpost_gateway.checks.syntax import Mailbox, normalise


@pytest.mark.parametrize(
    ("address", "expected"),
    [
        ("Jane.Doe+news@GMail.com", "janedoe@gmail.com"),
        ("j.a.n.e@googlemail.com", "jane@gmail.com"),
        ("Jane+news@outlook.com", "jane@outlook.com"),
        ("jane.doe@outlook.com", "jane.doe@outlook.com"),
        ("jane-news@yahoo.com", "jane@yahoo.com"),
        ("jane+news@yahoo.com", "jane+news@yahoo.com"),
        ("jane.doe+x@proton.me", "janedoe@proton.me"),
        ("+news@gmail.com", "+news@gmail.com"),
        ("Jane+news@hotmail.fr", "jane@hotmail.fr"),
        ("jane-news@yahoo.es", "jane@yahoo.es"),
        ("jane+news@hotmail.somebodys.net", "jane+news@hotmail.somebodys.net"),
        ("jane-news@yahoo.vouchpost.com", "jane-news@yahoo.vouchpost.com"),
        ("Jane.Doe+news@b.example", "Jane.Doe+news@b.example"),
    ],
)
def test_the_canonical_form_is_the_providers(address: str, expected: str) -> None:
    mailbox = normalise(address)

    assert isinstance(mailbox, Mailbox)
    assert canonical(mailbox) == expected
