"""Signing secrets: what is one, how it is shown, and how it is replaced."""

import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.errors import Conflict
from vouchpost_gateway.domain.secret import MalformedSecretError, SigningSecret, parse_secret, rotate

NOW_MS = 1_795_341_600_000
OVERLAP_MS = 86_400_000


def test_the_secret_of_the_reference_vector_is_24_bytes() -> None:
    key = parse_secret("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")

    assert key.hex() == "31f290f6bf06298aab4f08d43c3f082cf648a362da2da4b0"


@given(st.binary(min_size=24, max_size=64))
def test_a_secret_is_shown_as_it_is_read(key: bytes) -> None:
    assert parse_secret(SigningSecret(key).text) == key


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("", id="empty"),
        pytest.param("whsec_", id="prefix alone"),
        pytest.param("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", id="no prefix"),
        pytest.param("whsec_" + base64.b64encode(bytes(23)).decode(), id="23 bytes"),
        pytest.param("whsec_" + base64.b64encode(bytes(65)).decode(), id="65 bytes"),
        pytest.param("whsec_" + "!" * 32, id="not base64"),
        pytest.param("whsec_" + "A" * 31, id="no padding"),
        pytest.param("whsec_" + "é" * 32, id="not ASCII"),
    ],
)
def test_what_is_no_secret_is_refused_without_showing_it(text: str) -> None:
    with pytest.raises(MalformedSecretError) as refused:
        parse_secret(text)

    assert len(text) < 10 or text not in str(refused.value)


def test_a_secret_never_shows_in_a_representation() -> None:
    secret = SigningSecret(b"k" * 24)

    assert secret.text not in repr(secret)
    assert "kkkk" not in repr(secret)


def test_the_old_secret_signs_until_its_overlap_ends() -> None:
    new, old = rotate((SigningSecret(b"a" * 24),), new_key=b"b" * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    assert (new.key, new.retires_ms) == (b"b" * 24, None)
    assert old.signs_at(NOW_MS + OVERLAP_MS - 1)
    assert not old.signs_at(NOW_MS + OVERLAP_MS)


Rotations = st.lists(st.tuples(st.integers(1, 100), st.integers(0, 100)), max_size=12)


@given(Rotations)
def test_every_secret_signs_until_its_own_overlap_ends(rotations: list[tuple[int, int]]) -> None:
    """However often it is rotated meanwhile; more at a time than may be is refused, and changes nothing."""
    secrets: tuple[SigningSecret, ...] = (SigningSecret(bytes(24)),)
    promised, current, now_ms = dict[bytes, int](), bytes(24), 0
    for number, (overlap_ms, pause_ms) in enumerate(rotations, 1):
        key, live = bytes([number]) * 24, {k for k, until_ms in promised.items() if until_ms > now_ms} | {current}
        try:
            secrets = rotate(secrets, new_key=key, now_ms=now_ms, overlap_ms=overlap_ms)
        except Conflict:
            assert len(live) == 5
        else:
            promised[current], current = now_ms + overlap_ms, key
        now_ms += pause_ms

        signing = {secret.key for secret in secrets if secret.signs_at(now_ms)}
        assert signing == {k for k, until_ms in promised.items() if until_ms > now_ms} | {current}


def test_a_sixth_secret_at_a_time_is_refused_and_the_refusal_says_what_to_do() -> None:
    secrets: tuple[SigningSecret, ...] = (SigningSecret(b"a" * 24),)
    for letter in (b"b", b"c", b"d", b"e"):
        secrets = rotate(secrets, new_key=letter * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    with pytest.raises(Conflict, match="overlap_s of 0"):
        rotate(secrets, new_key=b"f" * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    assert rotate(secrets, new_key=b"f" * 24, now_ms=NOW_MS, overlap_ms=0) == (SigningSecret(b"f" * 24),)


def test_rotating_back_makes_the_retiring_secret_the_current_one() -> None:
    once = rotate((SigningSecret(b"a" * 24),), new_key=b"b" * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    back = rotate(once, new_key=b"a" * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    assert back == (SigningSecret(b"a" * 24), SigningSecret(b"b" * 24, retires_ms=NOW_MS + OVERLAP_MS))


def test_rotating_to_the_same_secret_again_changes_nothing() -> None:
    """Else a repeat would end the secret that receivers still verify with."""
    once = rotate((SigningSecret(b"a" * 24),), new_key=b"b" * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    assert rotate(once, new_key=b"b" * 24, now_ms=NOW_MS + 5, overlap_ms=OVERLAP_MS) == once


def test_rotating_to_the_same_secret_without_an_overlap_ends_the_one_before() -> None:
    once = rotate((SigningSecret(b"a" * 24),), new_key=b"b" * 24, now_ms=NOW_MS, overlap_ms=OVERLAP_MS)

    assert rotate(once, new_key=b"b" * 24, now_ms=NOW_MS, overlap_ms=0) == (SigningSecret(b"b" * 24),)


def test_without_an_overlap_the_old_secret_ends_at_once() -> None:
    secrets = rotate((SigningSecret(b"a" * 24),), new_key=b"b" * 24, now_ms=NOW_MS, overlap_ms=0)

    assert secrets == (SigningSecret(b"b" * 24),)
