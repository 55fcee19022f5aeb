# ruff: noqa: RUF001 - look-alike characters are the input here

from urllib.parse import urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.address import parse_networks
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.url import UrlPolicy, check_headers, parse_url

LIVE = UrlPolicy()
TEST = UrlPolicy(allow_loopback_http=True)
INTERNAL = UrlPolicy(ports=frozenset({443, 9443}), allow_networks=parse_networks(["10.1.0.0/16", "fd00::/8"]))


def refusal(text: str, policy: UrlPolicy = LIVE) -> str:
    with pytest.raises(InvalidField) as refused:
        parse_url(text, policy=policy)
    assert refused.value.field == "url"
    return refused.value.reason


@pytest.mark.parametrize(
    ("text", "canonical"),
    [
        ("https://example.com", "https://example.com/"),
        ("HTTPS://Example.COM:443/A/b?x=1&y=%2F", "https://example.com/A/b?x=1&y=%2F"),
        ("https://example.com:8443/hook", "https://example.com:8443/hook"),
        ("https://example.com?x", "https://example.com/?x"),
        ("https://bücher.example/é?q=ü", "https://xn--bcher-kva.example/%C3%A9?q=%C3%BC"),
        ('https://example.com/<"{|}>', "https://example.com/%3C%22%7B%7C%7D%3E"),
        ("https://8.8.8.8/", "https://8.8.8.8/"),
        ("https://[2606:4700:4700::1111]/", "https://[2606:4700:4700::1111]/"),
        ("https://example.com./%20", "https://example.com/%20"),
    ],
)
def test_a_good_url_is_kept_in_its_canonical_form(text: str, canonical: str) -> None:
    assert parse_url(text, policy=LIVE) == canonical
    assert parse_url(canonical, policy=LIVE) == canonical


@pytest.mark.parametrize(
    "text",
    [
        *(
            "http://example.com/",
            "ftp://example.com/",
            "file:///etc/passwd",
            "gopher://example.com/",
            "javascript:alert(1)",
        ),
        *(
            "data:text/plain,x",
            "//example.com/",
            "example.com",
            "https:example.com",
            "https:/example.com",
            "https://",
            "",
        ),
        *("https:///x", "httpss://example.com/", "https://?x"),
    ],
)
def test_only_absolute_https_urls_are_accepted(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "port", ["22", "25", "80", "1024", "6379", "0", "65536", "99999", "007", "https", "", "-1", "４43"]
)
def test_only_the_ports_of_the_list_are_accepted(port: str) -> None:
    refusal(f"https://example.com:{port}/")


@pytest.mark.parametrize(
    "text",
    [
        *("https://exam\tple.com/", "https://example.com/\r\nX: y", "https://example.com/a b", " https://example.com/"),
        *(
            "https://example.com/\n",
            "https://example.com/\x00",
            "https://example.com/%00",
            "https://example.com/%0d%0A",
        ),
        *("https://example.com/?%7f", "https://example.com/%", "https://example.com/%zz", "https://example.com/\x85"),
        *(
            "https://example.com\\@127.0.0.1/",
            "https://example.com/\u2028",
            "https://example.com/\u202e",
            "https://\ud800/",
        ),
        *("https://example.com/\u00a0", "https://exam%70le.com/", "https://example.com#f", "https://example.com/#"),
    ],
)
def test_text_that_parsers_read_differently_is_refused(text: str) -> None:
    refusal(text)


@pytest.mark.parametrize(
    "text",
    [
        *(
            "https://user@example.com/",
            "https://user:pw@example.com/",
            "https://@example.com/",
            "https://a@b@example.com/",
        ),
        *("https://127.0.0.1%2f@example.com/", "https://example.com@127.0.0.1/"),
    ],
)
def test_a_user_name_is_refused(text: str) -> None:
    assert "user name" in refusal(text)


@pytest.mark.parametrize(
    "host",
    [
        *("127.0.0.1", "127.1", "127.0.0.1.", "2130706433", "0x7f000001", "0x7f.1", "0177.0.0.1", "017700000001"),
        *("0300.0250.1.1", "0", "0.0.0.0", "①②⑦.⓪.⓪.①", "１２７.0.0.1", "127。0。0。1", "localhost", "LOCALHOST."),
        *("a.localhost", "ｌｏｃａｌｈｏｓｔ", "10.0.0.1", "169.254.169.254", "192.168.1.1", "168.63.129.16"),
        *("[::1]", "[::]", "[::ffff:127.0.0.1]", "[::FFFF:7F00:1]", "[0:0:0:0:0:0:0:1]", "[fe80::1%lo]"),
        *("[fe80::1%25lo]", "[fd00:ec2::254]", "[FD00:EC2::254]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]"),
    ],
)
@pytest.mark.parametrize("scheme", ["https", "http"])
def test_addresses_that_are_not_public_are_refused_in_every_spelling(scheme: str, host: str) -> None:
    refusal(f"{scheme}://{host}/")


@pytest.mark.parametrize(
    ("text", "accepted"),
    [
        ("http://127.0.0.1:5000/hook", True),
        ("http://localhost:5000/hook", True),
        ("http://app.localhost:5000/hook", True),
        ("http://[::1]:5000/hook", True),
        ("https://localhost:5000/hook", True),
        ("https://example.com/hook", True),
        ("http://example.com/hook", False),
        ("http://8.8.8.8/hook", False),
        ("http://10.0.0.1:5000/hook", False),
        ("https://10.0.0.1/hook", False),
        ("https://example.com:5000/hook", False),
        ("http://localhost:25/hook", False),
        ("http://localhost:65536/hook", False),
        ("http://127.1:5000/hook", False),
        ("http://localhost.example.com:5000/hook", False),
    ],
)
def test_test_mode_may_push_to_this_machine_and_nowhere_else_without_tls(*, text: str, accepted: bool) -> None:
    if accepted:
        assert parse_url(text, policy=TEST) == text
    else:
        refusal(text, TEST)


@pytest.mark.parametrize(
    "host",
    [
        *("metadata.google.internal", "METADATA.google.Internal.", "printer.local", "router.home.arpa", "a.invalid"),
        *("expyuzz4wqqyqhjn.onion", "name.alt", "crm", "com.", "ｍｅｔａｄａｔａ.google.internal"),
    ],
)
def test_names_that_mean_something_within_a_network_only_are_for_operators_who_opened_one(host: str) -> None:
    refusal(f"https://{host}/", LIVE)
    refusal(f"https://{host}/", TEST)

    assert parse_url(f"https://{host}/", policy=INTERNAL).startswith("https://")


@pytest.mark.parametrize("host", ["internal.example.com", "local.com", "notinternal.com", "my-local.net"])
def test_names_that_only_look_like_those_are_names_like_any_other(host: str) -> None:
    assert parse_url(f"https://{host}/", policy=LIVE) == f"https://{host}/"


def test_an_operator_may_open_networks_and_ports() -> None:
    assert parse_url("https://10.1.2.3:9443/", policy=INTERNAL) == "https://10.1.2.3:9443/"
    assert parse_url("https://[fd00::1]/", policy=INTERNAL) == "https://[fd00::1]/"
    refusal("https://10.2.0.1/", INTERNAL)
    refusal("https://example.com:8443/", INTERNAL)
    refusal("http://10.1.2.3/", INTERNAL)


def test_a_url_may_have_2048_characters_and_not_one_more() -> None:
    longest = "https://example.com/" + "a" * 2028

    assert parse_url(longest, policy=LIVE) == longest
    refusal(longest + "a")
    refusal("https://example.com/" + "é" * 1000)


@given(st.text(max_size=60) | st.from_regex(r"\Ahttps?://.{0,60}\Z"))
def test_every_text_is_a_canonical_url_or_an_error_of_our_own(text: str) -> None:
    try:
        url = parse_url(text, policy=TEST)
    except InvalidField:
        return
    assert url.isascii()
    assert parse_url(url, policy=TEST) == url
    assert urlsplit(url).scheme in {"http", "https"}
    assert urlsplit(url).username is None


class TestHeaders:
    def test_headers_of_its_own_are_kept(self) -> None:
        headers = {"X-Team": "crm", "x-api-key": "abc DEF=/+"}

        assert check_headers(headers) == headers

    @pytest.mark.parametrize(
        "name",
        [
            *(
                "Host",
                "Content-Length",
                "Transfer-Encoding",
                "Connection",
                "Proxy-Authorization",
                "webhook-id",
                "Cookie",
            ),
            *(
                "Authorization",
                "Content-Type",
                "X",
                "X-",
                "X_Team",
                "X-Té",
                "X-A\r\nB",
                "X-A:",
                "X-A ",
                "X-" + "a" * 61,
                "",
            ),
            *(
                "X-Forwarded-For",
                "x-forwarded-host",
                "X-Real-IP",
                "X-HTTP-Method-Override",
                "X-Original-URL",
                "X-Accel-Redirect",
            ),
        ],
    )
    def test_names_that_mean_something_to_somebody_are_refused(self, name: str) -> None:
        with pytest.raises(InvalidField) as refused:
            check_headers({name: "value"})
        assert refused.value.field == f"headers.{name}"

    @pytest.mark.parametrize("value", ["", " ", " a", "a ", "a\r\nHost: b", "a\nb", "a\x00", "a\tb", "é", "a" * 1025])
    def test_values_that_are_not_one_line_of_ascii_are_refused(self, value: str) -> None:
        with pytest.raises(InvalidField) as refused:
            check_headers({"X-Good": "a", "X-Team": value})
        assert refused.value.field == "headers.X-Team"

    def test_there_are_at_most_twenty_and_no_name_twice(self) -> None:
        assert len(check_headers({f"X-{n}": "a" for n in range(20)})) == 20
        with pytest.raises(InvalidField):
            check_headers({f"X-{n}": "a" for n in range(21)})
        with pytest.raises(InvalidField):
            check_headers({"X-Team": "a", "x-team": "b"})
