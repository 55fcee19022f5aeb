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


def test_an_unreadable_query_is_a_400(caller: Caller) -> None:
    assert caller.get("/v1/verifications?subject_id=%ff").status == 400
