import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.outcome import Failure
from vouchpost_gateway.domain.url import UrlPolicy, parse_url
from vouchpost_gateway.transport.address_guard import Reach
from vouchpost_gateway.transport.failed import AttemptFailed
from vouchpost_gateway.transport.target import Origin, parse_target


@pytest.mark.parametrize(
    ("url", "test_mode", "origin", "first_lines"),
    [
        (
            "https://example.com/",
            False,
            Origin("example.com", 443, tls=True, reach=Reach.PUBLIC),
            b"POST / HTTP/1.1\r\nHost: example.com\r\n",
        ),
        (
            "https://example.com:8443/a?b=%2F&c=d:e@f",
            True,
            Origin("example.com", 8443, tls=True, reach=Reach.PUBLIC_AND_LOOPBACK),
            b"POST /a?b=%2F&c=d:e@f HTTP/1.1\r\nHost: example.com:8443\r\n",
        ),
        (
            "http://[::1]:5000/hook",
            True,
            Origin("::1", 5000, tls=False, reach=Reach.LOOPBACK),
            b"POST /hook HTTP/1.1\r\nHost: [::1]:5000\r\n",
        ),
        (
            "http://127.0.0.1/",
            True,
            Origin("127.0.0.1", 80, tls=False, reach=Reach.LOOPBACK),
            b"POST / HTTP/1.1\r\nHost: 127.0.0.1\r\n",
        ),
    ],
)
def test_a_registered_url_has_an_origin_and_a_head(
    *, url: str, test_mode: bool, origin: Origin, first_lines: bytes
) -> None:
    target = parse_target(url, allow_loopback=test_mode)

    assert target.origin == origin
    assert target.head.startswith(first_lines)


def test_live_and_test_mode_share_no_origin() -> None:
    live = parse_target("https://example.com/", allow_loopback=False)
    test = parse_target("https://example.com/", allow_loopback=True)

    assert live.origin != test.origin


@pytest.mark.parametrize("url", ["http://127.0.0.1:5000/", "http://example.com/"])
def test_plain_http_is_refused_in_live_mode(url: str) -> None:
    with pytest.raises(AttemptFailed) as failed:
        parse_target(url, allow_loopback=False)
    assert failed.value.failure is Failure.ADDRESS_REFUSED


@pytest.mark.parametrize(
    "url",
    [
        *("", "https://example.com", "HTTPS://example.com/", "ftp://example.com/", "https://user@example.com/"),
        *("https://example.com/a b", "https://example.com/\r\n", "https://example.com/#x", "https://é.example/"),
        *("https://example.com:443x/", "https://[::1/", "https://[::1%25lo]/", "https://example.com/é"),
    ],
)
def test_what_registration_would_not_have_kept_is_not_sent(url: str) -> None:
    with pytest.raises(AttemptFailed):
        parse_target(url, allow_loopback=True)


@pytest.mark.parametrize("port", ["0", "65536", "99999"])
def test_there_is_no_such_port(port: str) -> None:
    with pytest.raises(AttemptFailed):
        parse_target(f"https://example.com:{port}/", allow_loopback=True)


@given(st.from_regex(r"\Ahttps?://[a-zA-Z0-9\[\]:.-]{1,20}/.{0,40}\Z"))
def test_whatever_registration_keeps_has_a_target(text: str) -> None:
    try:
        url = parse_url(text, policy=UrlPolicy(allow_loopback_http=True))
    except InvalidField:
        return
    head = parse_target(url, allow_loopback=True).head
    assert head.count(b"\r\n") == 4
