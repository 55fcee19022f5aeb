import pytest

from vouchpost_gateway.domain.delivery import Outcome
from vouchpost_gateway.domain.outcome import Answer, Failure, Judgement, judge

DELIVERED = Judgement(Outcome.DELIVERED)
GONE = Judgement(Outcome.GONE)
RETRYABLE = Judgement(Outcome.RETRYABLE)
SLOWED = Judgement(Outcome.RETRYABLE, slow_down=True)


@pytest.mark.parametrize(
    ("status_code", "expected"),
    [
        (200, DELIVERED),
        (201, DELIVERED),
        (204, DELIVERED),
        (299, DELIVERED),
        (199, RETRYABLE),
        (300, RETRYABLE),
        (301, RETRYABLE),
        (304, RETRYABLE),
        (307, RETRYABLE),
        (400, RETRYABLE),
        (401, RETRYABLE),
        (404, RETRYABLE),
        (408, RETRYABLE),
        (409, RETRYABLE),
        (410, GONE),
        (429, SLOWED),
        (500, RETRYABLE),
        (501, RETRYABLE),
        (502, SLOWED),
        (503, SLOWED),
        (504, SLOWED),
        (599, RETRYABLE),
        (999, RETRYABLE),
    ],
)
def test_a_status_code_has_one_meaning(status_code: int, expected: Judgement) -> None:
    assert judge(Answer(duration_s=0.1, status_code=status_code)) == expected


@pytest.mark.parametrize("failure", Failure)
def test_every_failure_is_retried_and_only_a_time_out_slows_the_subscription(failure: Failure) -> None:
    expected = SLOWED if failure is Failure.TIMED_OUT else RETRYABLE

    assert judge(Answer(duration_s=0.1, failure=failure)) == expected


def test_nothing_but_2xx_is_ever_delivered() -> None:
    delivered = [code for code in range(1000) if judge(Answer(duration_s=0, status_code=code)) == DELIVERED]

    assert delivered == list(range(200, 300))
