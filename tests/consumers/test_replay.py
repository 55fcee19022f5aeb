"""The rules of what is remembered, for how long, and what is newer than what."""

from datetime import timedelta

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import ConfigurationError, Verifier
from vouchpost.replay import (
    DEFAULT_RETENTION,
    Claim,
    Expectation,
    Position,
    checked_name,
    checked_retention,
    claim_of,
    is_newer,
    subject_guard,
)
from vouchpost.signature import MAX_TOLERANCE_S


def claim(**data: object) -> Claim:
    body = event(data=data)
    message = Verifier(SECRET, clock=lambda: NOW).verify(headers=headers(body), body=body)
    return claim_of(message, receiver="crm", now_s=NOW + 0.7)


def test_a_verdict_claims_its_place_in_the_order_of_its_subject() -> None:
    assert claim(sequence=7, revision=2) == Claim("crm", "evt_1", NOW, subject_guard("user_42"), Position(7, 2))


def test_a_guard_shows_nobody_the_subject_and_has_a_fixed_length() -> None:
    assert subject_guard("abc") == "subject:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"
    assert len(subject_guard("ann@example.com" * 1000)) == len(subject_guard(""))


def test_a_subject_cannot_pass_for_a_verification() -> None:
    assert claim(subject_id="vrf_1").guard != claim(subject_id=None, verification_id="vrf_1").guard


@pytest.mark.parametrize(
    ("position", "latest", "newer"),
    [
        pytest.param((1, 1), None, True, id="nothing known"),
        pytest.param((2, 1), (1, 9), True, id="sequence before revision"),
        pytest.param((1, 2), (1, 1), True, id="next revision"),
        pytest.param((1, 1), (1, 1), False, id="equal is not newer"),
        pytest.param((1, 9), (2, 1), False, id="earlier sequence"),
    ],
)
def test_what_is_newer(position: tuple[int, int], latest: tuple[int, int] | None, *, newer: bool) -> None:
    assert is_newer(Position(*position), None if latest is None else Position(*latest)) is newer


def test_an_expectation_lies_before_the_first_revision_and_after_all_earlier_verifications() -> None:
    expected = Expectation("crm", "user_42", sequence=8, at_s=NOW).position

    assert is_newer(Position(8, 1), expected)
    assert not is_newer(Position(7, 999), expected)


def test_marks_outlive_the_schedule_the_resends_and_the_tolerance_of_the_sender() -> None:
    assert timedelta(days=30) < DEFAULT_RETENTION
    assert checked_retention(timedelta(days=4)) > timedelta(hours=75, minutes=35)
    assert checked_retention(timedelta(days=4)).total_seconds() >= 2 * MAX_TOLERANCE_S
    with pytest.raises(ConfigurationError):
        checked_retention(timedelta(days=3, hours=23))


@pytest.mark.parametrize("name", ["", "a b", "a" * 65, "crm\n", "é"])
def test_a_receivers_name_fits_every_database(name: str) -> None:
    with pytest.raises(ConfigurationError):
        checked_name(name)
