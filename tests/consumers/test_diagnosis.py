"""Guesses at why a signature does not match, each for a delivery that was changed in that way."""

import json
from collections.abc import Callable

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import Verifier
from vouchpost.diagnosis import guess

OTHER_SECRET = "whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8="


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        pytest.param(lambda body: body + b"\r\n", "white space around", id="a line end"),
        pytest.param(lambda body: json.dumps(json.loads(body), indent=2).encode(), "without spaces", id="pretty"),
        pytest.param(lambda body: json.dumps(json.loads(body)).encode(), "without spaces", id="spaces"),
        pytest.param(lambda _: b"\x1f\x8b\x08", "secret is most likely another", id="compressed"),
    ],
)
def test_a_body_that_was_changed_on_the_way_is_recognised(changed: Callable[[bytes], bytes], said: str) -> None:
    body = event(data={"metadata": {"name": "Zoë ✓"}})
    verifier = Verifier(SECRET, clock=lambda: NOW)
    ascii_body = json.dumps(json.loads(body), separators=(",", ":")).encode()

    assert said in guess(verifier, headers=headers(ascii_body), body=changed(ascii_body))


def test_another_secret_and_another_way_of_signing_are_told_apart() -> None:
    body, verifier = event(), Verifier(OTHER_SECRET, clock=lambda: NOW)
    signed = headers(body)

    assert "secret" in guess(verifier, headers=signed, body=body)
    assert "`v1,`" in guess(verifier, headers=signed | {"webhook-signature": "v1a,AAAA sha256=00"}, body=body)


def test_a_body_of_lone_surrogates_and_depth_is_no_trouble() -> None:
    verifier = Verifier(SECRET, clock=lambda: NOW)

    for body in (b'{"a": "\\ud800"}', b"[" * 50_000, b"\xff"):
        assert "secret" in guess(verifier, headers=headers(b"{}"), body=body)
