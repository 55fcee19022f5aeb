import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.api.caller import Caller
from vouchpost_gateway.api.query import parse_query
from vouchpost_gateway.api.refusals import InvalidFields, MalformedRequest

KNOWN = frozenset({"a", "b"})


def test_parameters_are_read_by_name() -> None:
    assert parse_query(b"a=1&b=x%20y", known=KNOWN) == {"a": "1", "b": "x y"}
    assert parse_query(b"", known=KNOWN) == {}
    assert parse_query(b"a=", known=KNOWN) == {"a": ""}


@pytest.mark.parametrize("raw", [b"a=%ff", b"a=\xff", b"&".join([b"a=1"] * 21)], ids=["not UTF-8", "not ASCII", "many"])
def test_what_cannot_be_read_is_malformed(raw: bytes) -> None:
    with pytest.raises(MalformedRequest):
        parse_query(raw, known=KNOWN)


@given(st.binary(max_size=100) | st.text(alphabet="ab=&%f0;+", max_size=40).map(str.encode))
def test_no_bytes_lead_to_any_other_error(raw: bytes) -> None:
    with contextlib.suppress(MalformedRequest, InvalidFields):
        parse_query(raw, known=KNOWN)


@pytest.mark.parametrize("path", ["/v1/verifications?", "/v1/dead-letters?kind=delivery&"])
@pytest.mark.parametrize(
    ("query", "field"),
    [
        ("since=yesterday", "since"),
        ("since=", "since"),
        ("since=1795341600", "since"),
        ("since=2026-11-22", "since"),
        ("since=2026-11-22T10:00:00", "since"),
        ("since=2026-11-22T10:00:00+00:00", "since"),  # a plus sign in a query stands for a space
        ("since=2026-02-30T10:00:00Z", "since"),
        ("since=1969-12-31T23:59:59Z", "since"),
        ("since=%D9%A2026-11-22T10:00:00Z", "since"),
        ("since=2026-11-22T10:00:00Z%00", "since"),
        ("until=tomorrow", "until"),
        ("since=2026-11-22T10:00:00Z&until=2026-11-22T10:00:00Z", "until"),
        ("since=2026-11-22T10:00:00Z&until=2026-11-22T11:00:00%2B02:00", "until"),
        ("since=2026-11-22T10:00:00Z&since=2026-11-22T10:00:00Z", "since"),
    ],
)
def test_a_time_that_is_none_is_refused_by_name(caller: Caller, path: str, query: str, field: str) -> None:
    response = caller.get(path + query)

    assert response.status == 422
    assert [error["field"] for error in response.json()["errors"]] == [field]


@pytest.mark.parametrize(
    ("query", "is_within"),
    [
        ("since=2026-11-22T10:00:00.123Z", True),
        ("since=2026-11-22T10:00:00.124Z", False),
        ("until=2026-11-22T10:00:00.123Z", False),
        ("until=2026-11-22T10:00:00.124Z", True),
        ("since=2026-11-22T12:00:00%2B02:00&until=9999-12-31T23:59:59Z", True),
    ],
)
def test_a_list_is_of_a_stretch_of_time(caller: Caller, query: str, *, is_within: bool) -> None:
    """Everything here is made at 10:00:00.123."""
    caller.post("/v1/verifications", {"email": "ada@example.org"})
    subscription = caller.post("/v1/subscriptions", {"url": "https://example.com/"}).json()["id"]
    caller.post(f"/v1/subscriptions/{subscription}/test")

    for path in ("/v1/verifications", f"/v1/subscriptions/{subscription}/deliveries"):
        assert bool(caller.get(f"{path}?{query}").json()["items"]) is is_within


def test_an_unreadable_query_is_a_400(caller: Caller) -> None:
    assert caller.get("/v1/verifications?subject_id=%ff").status == 400
