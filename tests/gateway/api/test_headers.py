import pytest

from vouchpost_gateway.api.headers import pick_headers
from vouchpost_gateway.api.refusals import MalformedRequest
from vouchpost_gateway.domain.errors import NotAuthenticated


def test_only_the_headers_that_matter_are_picked() -> None:
    picked = pick_headers([(b"host", b"x"), (b"authorization", b"Bearer k"), (b"idempotency-key", b"one")])

    assert (picked.authorization, picked.content_type, picked.idempotency_key) == (b"Bearer k", None, "one")


@pytest.mark.parametrize("name", [b"content-type", b"content-encoding", b"idempotency-key"])
def test_a_header_that_stands_twice_is_refused_even_when_both_agree(name: bytes) -> None:
    with pytest.raises(MalformedRequest, match=name.decode()):
        pick_headers([(name, b"x"), (name, b"x")])


def test_two_authorizations_are_none() -> None:
    with pytest.raises(NotAuthenticated):
        pick_headers([(b"authorization", b"x"), (b"authorization", b"x")])


def test_other_headers_may_repeat() -> None:
    assert pick_headers([(b"via", b"1"), (b"via", b"2")]).authorization is None
