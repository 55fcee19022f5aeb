from email.utils import formatdate

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.http_date import parse_http_date

# The three spellings of one moment in RFC 9110, 5.6.7; the number is that of `date -u -d '1994-11-06 08:49:37' +%s`.
NOVEMBER_1994 = 784111777
NOW_S = 1795341600.0  # 2026-11-22


@pytest.mark.parametrize(
    "text",
    ["Sun, 06 Nov 1994 08:49:37 GMT", "Sunday, 06-Nov-94 08:49:37 GMT", "Sun Nov  6 08:49:37 1994"],
    ids=["IMF-fixdate", "RFC 850", "asctime"],
)
def test_the_three_forms_of_the_standard_name_the_same_moment(text: str) -> None:
    assert parse_http_date(text, now_s=NOW_S) == NOVEMBER_1994


@pytest.mark.parametrize(("year", "meant"), [("94", 1994), ("26", 2026), ("76", 2076), ("77", 1977), ("00", 2000)])
def test_two_digits_of_a_year_are_never_more_than_fifty_years_ahead(year: str, meant: int) -> None:
    short = parse_http_date(f"Sunday, 06-Nov-{year} 08:49:37 GMT", now_s=NOW_S)

    assert short == parse_http_date(f"Sun, 06 Nov {meant} 08:49:37 GMT", now_s=NOW_S)


def test_a_leap_second_is_read() -> None:
    assert parse_http_date("Sat, 31 Dec 2016 23:59:60 GMT", now_s=NOW_S) == 1483228799


@pytest.mark.parametrize(
    "text",
    [
        "",
        "Sun, 31 Feb 2027 08:49:37 GMT",
        "Sun, 06 Nov 1994 24:49:37 GMT",
        "Sun, 06 Nov 1994 08:60:37 GMT",
        "Sun, 06 Nov 1994 08:49:61 GMT",
        "Sun, 06 Nov 0000 08:49:37 GMT",
        "Sun, 06 Nov 1994 08:49:37 UTC",
        "Sun, 06 Nov 1994 08:49:37 +0100",
        "Sun, 06 Nov 1994 08:49:37 GMT ",
        "sun, 06 nov 1994 08:49:37 gmt",
        "Sun, ٠٦ Nov 1994 08:49:37 GMT",
        "1994-11-06T08:49:37Z",
        "Sun, 06 Nov 99999 08:49:37 GMT",
    ],
)
def test_anything_else_is_no_date(text: str) -> None:
    assert parse_http_date(text, now_s=NOW_S) is None


@given(st.integers(min_value=0, max_value=253402300799))
def test_what_the_standard_library_writes_is_read_back(moment: int) -> None:
    assert parse_http_date(formatdate(moment, usegmt=True), now_s=NOW_S) == moment


@given(st.text(max_size=64))
def test_no_text_makes_it_raise(text: str) -> None:
    parse_http_date(text, now_s=NOW_S)
