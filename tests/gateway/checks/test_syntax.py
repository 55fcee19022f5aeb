"""The one syntax module, judged by corpora of others; each disagreement is named, with the rule that decides."""

import json
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import email_validator
import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.checks.syntax import Flaw, Mailbox, Malformed, normalise, parseable, well_formed

CORPORA = Path(__file__).parents[2] / "corpora"

Row = dict[str, Any]


def _rows(name: str) -> list[Row]:
    return [json.loads(line) for line in (CORPORA / name).read_text("utf-8").splitlines()]


def _disagreements(rows: Iterable[Row], judged: Callable[[Row], bool], ours: Callable[[str], bool]) -> set[str]:
    return {row["address"] for row in rows if ours(row["address"]) is not judged(row)}


def _accepted(address: str) -> bool:
    return isinstance(normalise(address), Mailbox)


def _allowed(address: str) -> bool:
    return well_formed(address, rare_forms=True)


def test_is_email_plain_addresses_all_agree() -> None:
    """email-validator's best mode reaches the same."""
    rows = _rows("syntax_is_email.jsonl")

    assert _disagreements(rows, lambda row: row["plain_ok"], well_formed) == set()


def test_is_email_all_of_rfc5321_agrees() -> None:
    """email-validator's best mode disagrees with 3: the empty quoted string, quotes in the length, quoted non-ASCII."""
    rows = _rows("syntax_is_email.jsonl")

    assert _disagreements(rows, lambda row: row["rfc5321_ok"], _allowed) == set()


def test_what_is_accepted_differs_from_is_email_only_in_names_without_a_dot() -> None:
    rows = _rows("syntax_is_email.jsonl")

    # ICANN forbade dotless domains in 2013, and none takes mail.
    assert _disagreements(rows, lambda row: row["plain_ok"], _accepted) == {"test@io"}
    assert normalise("test@io") == Malformed(Flaw.DOMAIN_WITHOUT_DOT)


def test_hapi_agrees_but_for_symbols_in_domains() -> None:
    """email-validator's best mode disagrees with 2."""
    rows = [row for row in _rows("syntax_hapi.jsonl") if row["options"] is None]

    (only,) = _disagreements(rows, lambda row: row["valid"], _accepted)

    # RFC 5892 2.6: symbols, emoji among them, are DISALLOWED in IDNA 2008 labels.
    assert only.startswith("test@\U0001f606")


def test_egulias_invalid_addresses_are_refused_but_for_a_box_drawing() -> None:
    """email-validator's best mode disagrees with the same one."""
    rows = [row for row in _rows("syntax_egulias.jsonl") if "Invalid" in row["provider"]]

    # RFC 6531 3.3 allows every non-ASCII character that UTF-8 can write in a local part.
    assert _disagreements(rows, lambda _: False, _allowed) == {"examp\u2551le@symfony.com"}


# What egulias accepts, and the rule by which RFC 5321 does not.
EGULIAS_ONLY = {
    "example@faked(fake).co.uk": "comments are of RFC 5322; RFC 5321 4.1.2 has none",
    "example(examplecomment)@invalid.example.com": "the same",
    "example @invalid.example.com": "white space likewise",
    '"\t"@invalid.example.com': "RFC 5321 4.1.2 qtextSMTP is printable; a tab is of RFC 5322's obsolete syntax",
}


def test_egulias_valid_addresses_are_in_the_grammar_or_carry_the_warning_that_egulias_gives() -> None:
    """email-validator's best single mode accepts 20 of these 25."""
    rows = [row for row in _rows("syntax_egulias.jsonl") if "Invalid" not in row["provider"]]

    refused = _disagreements(rows, lambda _: True, _allowed)

    # RFC 5321 4.5.3.1.1: 64 octets. egulias gives its warning "LocalTooLong", we the flaw of that name.
    too_long = {address for address in refused if normalise(address) == Malformed(Flaw.LOCAL_PART_TOO_LONG)}
    assert refused - too_long == set(EGULIAS_ONLY)
    assert len(too_long) == 2


# What the union of the sets says about non-ASCII addresses, and the rule by which we differ.
EAI_OTHERWISE = {
    '"s\u0323\u0307" <s\u0323\u0307@nfc.tld>': "a display name is of RFC 5322, not part of an address",
    "examp\u2551le@symfony.com": "RFC 6531 3.3, as above",
}


def test_addresses_beyond_ascii_agree_with_the_union_of_the_sets() -> None:
    """email-validator's best mode disagrees with 3."""
    rows = [row for row in _rows("syntax_eai.jsonl") if row["expect"] is not None]

    found = _disagreements(rows, lambda row: row["expect"] == "valid", _accepted)

    symbols_in_domain = {address for address in found if "\U0001f606" in address}  # RFC 5892 2.6, as above
    assert found - symbols_in_domain == set(EAI_OTHERWISE)
    assert len(symbols_in_domain) == 1


@pytest.mark.parametrize(
    ("address", "flaw"),
    [
        ("jane", Flaw.NO_AT_SIGN),
        ("@b.example", Flaw.LOCAL_PART_EMPTY),
        ("jane@", Flaw.DOMAIN_EMPTY),
        ("j" * 65 + "@b.example", Flaw.LOCAL_PART_TOO_LONG),
        ("\u00e9" * 33 + "@b.example", Flaw.LOCAL_PART_TOO_LONG),
        ("ja ne@b.example", Flaw.LOCAL_PART),
        ("jane..doe@b.example", Flaw.LOCAL_PART),
        ("a@b@c.example", Flaw.LOCAL_PART),
        ("<a@b.com>", Flaw.LOCAL_PART),
        ("a@b.com>", Flaw.DOMAIN),
        ("a(b)@c.d", Flaw.LOCAL_PART),
        ("user%internal@relay", Flaw.DOMAIN_WITHOUT_DOT),
        ("a@localhost", Flaw.DOMAIN_WITHOUT_DOT),
        ("a..b@c..d", Flaw.LOCAL_PART),
        ("a@-x.com", Flaw.DOMAIN),
        ("a@a..b", Flaw.DOMAIN),
        ("a@" + "b" * 64 + ".example", Flaw.DOMAIN),
        ("a@127.0.0.1", Flaw.DOMAIN),
        ("a@[127.0.0.1]", Flaw.DOMAIN_LITERAL),
        ("a@[IPv6:::1]", Flaw.DOMAIN_LITERAL),
        ('"x"@b.com', Flaw.LOCAL_PART_QUOTED),
        ('""@b.com', Flaw.LOCAL_PART_QUOTED),
        ('"a b"@b.com', Flaw.LOCAL_PART_QUOTED),
        ("a\u202e@b.example", Flaw.LOCAL_PART),
        ("a@b.example\r\nRCPT TO:<x@y>", Flaw.UNPARSEABLE),
    ],
)
def test_a_bad_address_is_told_its_flaw(address: str, flaw: Flaw) -> None:
    assert normalise(address) == Malformed(flaw)


@pytest.mark.parametrize(
    "address",
    ["=cmd|'/C calc'!A0@x.com", "<script>@x.com", "${jndi:ldap://x}@x.com", "'; DROP TABLE--@x", "{{7*7}}@x.com\n"],
)
def test_injections_for_other_programs_are_no_addresses(address: str) -> None:
    assert isinstance(normalise(address), Malformed)


@pytest.mark.parametrize(
    "text",
    [
        "a@b.com\r\nRCPT TO:<x@y>", '"a\r\nDATA"@ex.com', "a@ex.com\n", "\x00@b.example", "a@b.example\u2028",
        "a\t@b.example", "a\x7f@b.example", "a\x85@b.example", "\ud800@b.example", "a" * 243 + "@example.com",
        "\u00e9" * 128, None, 7, b"a@b.example",
    ],
)  # fmt: skip
def test_what_no_mail_system_could_read_is_not_parseable(text: object) -> None:
    assert not parseable(text)


@pytest.mark.parametrize(
    "text", ["", "jane", "a@@b", "a" * 242 + "@example.com", "ja ne@b.example", "\u00e9" * 127, "<a@b>"]
)
def test_a_bad_address_is_still_parseable(text: str) -> None:
    assert parseable(text)


def test_the_domain_is_kept_as_a_labels_in_lower_case_and_shown_as_unicode() -> None:
    mailbox = normalise("Jane@B\u00dcCHER.Example")

    # RFC 3492's own spelling of b\u00fccher.
    assert mailbox == Mailbox("Jane", "xn--bcher-kva.example", "b\u00fccher.example", needs_smtputf8=False)


def test_a_local_part_beyond_ascii_needs_smtputf8_and_is_composed() -> None:
    mailbox = normalise("s\u0323\u0307@nfc.tld")

    assert mailbox == Mailbox("\u1e69", "nfc.tld", "nfc.tld", needs_smtputf8=True)


def test_names_that_rfc2142_reserves_lose_their_case() -> None:
    mailbox = normalise("PostMaster@b.example")

    assert isinstance(mailbox, Mailbox)
    assert mailbox.address == "postmaster@b.example"


@given(st.one_of(st.text(max_size=300), st.from_regex(r"[^@]{0,70}@[^@]{0,70}", fullmatch=True), st.emails()))
def test_normal_form_is_stable_and_nothing_else_is_ever_raised(text: str) -> None:
    mailbox = normalise(text)

    if isinstance(mailbox, Mailbox):
        again = normalise(mailbox.address)
        assert isinstance(again, Mailbox)
        assert again.address == mailbox.address
        assert parseable(mailbox.address)


@given(st.emails())
def test_what_rfc5322_says_of_usual_addresses_is_accepted_as_the_library_does(address: str) -> None:
    try:
        email_validator.validate_email(address, check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError:
        assert not _accepted(address)
    else:
        assert _accepted(address)


_ODD = st.text(alphabet="aB1.@+-_!'\"<> \u00e9\u212a\uff0e", max_size=12)


@given(
    st.one_of(
        st.emails(),
        st.builds("{}@{}".format, _ODD, st.sampled_from(["b.net", "B\u00fc.NET", "xn--b-eha.net", "b"])),
        _ODD,
    )
)
def test_the_short_way_for_usual_addresses_ends_where_the_librarys_does(address: str) -> None:
    try:
        whole = email_validator.validate_email(address, check_deliverability=False, strict=True)
    except email_validator.EmailNotValidError:
        assert not _accepted(address)
        return
    mailbox = normalise(address)

    too_long = len(whole.local_part.encode()) > 64  # which the library counts in characters
    assert too_long or mailbox == Mailbox(whole.local_part, whole.ascii_domain, whole.domain, whole.smtputf8)


@pytest.mark.parametrize(
    "text",
    [
        "a@" + "\u0660" * 5000,
        "a@" + "xn--" * 5000,
        "a" + "\u0301" * 50_000 + "@b.example",
        "@" * 254,
        '"' * 254,
        "\ufdfa" * 84 + "@b",
    ],
    ids=range(6),
)
def test_hostile_input_takes_no_time(text: str) -> None:
    started = time.process_time()

    assert isinstance(normalise(text), Malformed)

    assert time.process_time() - started < 0.05
