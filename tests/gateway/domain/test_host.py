# ruff: noqa: RUF001, RUF003 - look-alike characters are the input here

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.host import MalformedHostError, parse_host


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("example.com", "example.com"),
        ("EXAMPLE.Com.", "example.com"),
        ("localhost", "localhost"),
        ("my_service", "my_service"),
        ("a--b.example", "a--b.example"),
        ("8.8.8.8", "8.8.8.8"),
        ("8.8.8.8.", "8.8.8.8"),
        ("①②⑦.⓪.⓪.①", "127.0.0.1"),
        ("１２７.0.0.1", "127.0.0.1"),
        ("127。0。0。1", "127.0.0.1"),
        ("[::1]", "[::1]"),
        ("[2606:4700:4700:0:0:0:0:1111]", "[2606:4700:4700::1111]"),
        ("[::FFFF:127.0.0.1]", "[::ffff:7f00:1]"),
        # Of UTS 46, "IdnaTestV2", non-transitional: ß stays, the Cyrillic а is shown for what it is.
        ("faß.de", "xn--fa-hia.de"),
        ("аpple.com", "xn--pple-43d.com"),
        ("xn--80ak6aa92e.com", "xn--80ak6aa92e.com"),
        ("Bücher.example", "xn--bcher-kva.example"),
        ("a" * 63 + ".com", "a" * 63 + ".com"),
    ],
)
def test_a_host_has_one_spelling(text: str, canonical: str) -> None:
    host = parse_host(text)

    assert host.replace("::ffff:127.0.0.1", "::ffff:7f00:1") == canonical


@pytest.mark.parametrize(
    "text",
    [
        *("", ".", "..", "x..y", ".x", "-x.com", "x-.com", "a b", "a%20b", "a@b", "a/b", "a:b", "a\n", "a\x00b"),
        *("127.1", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001", "0300.0250.1.1", "0", "0x"),
        *("1.2.3.4.5", "256.1.1.1", "8.8.8.08", "example.1", "example.0x1", "４２"),
        *("[", "[]", "[::1", "[::1]]", "[127.0.0.1]", "[fe80::1%lo]", "[fe80::1%25lo]", "[v1.x]"),
        *("a" * 64 + ".com", "a." * 130 + "com", "xn--", "xn--" * 50 + ".com", "xn--a.com", "٠" * 5000, "a" * 5000),
    ],
)
def test_anything_else_is_no_host(text: str) -> None:
    with pytest.raises(MalformedHostError):
        parse_host(text)


@given(st.text(max_size=80))
def test_every_text_is_a_host_or_an_error_of_our_own(text: str) -> None:
    try:
        host = parse_host(text)
    except MalformedHostError:
        return
    assert host.isascii()
    assert parse_host(host) == host
