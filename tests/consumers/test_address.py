"""What is certainly a typing mistake is turned away at once; what is doubtful is the gateway's to say."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost.address import is_plausible


@pytest.mark.parametrize(
    "address",
    [
        "ann@example.com",
        "ann+tag@mail.example.co.uk",
        "o'brien@example.ie",
        "用户@例え.テスト",
        "ann@xn--bcher-kva.example",
        "ann@例え。テスト",
        "user@हिन्दी.भारत",
        "user@உதாரணம்.இலங்கை",
        "user@උදාහරණ.ලංකා",
        "user@বাংলা.ভারত",
        "user@เว็บ.ไทย",
        "ann@bu\u0308cher.example",
        "user@نامه\u200c\u0627ی.\u0627یر\u0627ن",
        "ann@col·legi.cat",
        "ann@under_score.example",
        "ann@" + "a" * 63 + ".com",
        "a" * 64 + "@example.com",
        "odd!#$%&'*/=?^_`{|}~@example.com",
    ],
)
def test_what_may_be_good_is_let_through(address: str) -> None:
    assert is_plausible(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "ann",
        "@example.com",
        "ann@",
        "ann@localhost",
        "ann@example..com",
        "ann@-example.com",
        "ann@example-.com",
        "ann@_example.com",
        "ann@example_.com",
        "ann@exa,mple.com",
        "ann@exa!mple.com",
        "ann@127.0.0.1",
        "ann@[127.0.0.1]",
        "ann@example.com ",
        "ann @example.com",
        "ann@example.com\r\nBcc: x",
        "ann\x00@example.com",
        "ann@example.com\u2028",
        "ann@\ud800.com",
        "a" * 65 + "@example.com",
        "ann@" + "a" * 64 + ".com",
        "ann@" + "a." * 150 + "com",
    ],
)
def test_what_cannot_be_good_is_turned_away(address: str) -> None:
    assert not is_plausible(address)


@given(st.text())
def test_nothing_that_is_typed_raises(address: str) -> None:
    assert is_plausible(address) in {True, False}
