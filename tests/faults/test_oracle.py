"""The oracle of the fault tests turns red for every kind of harm that it exists to find."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.faults.caller import Promise
from tests.faults.oracle import Applied, Delivered, Findings, Whereabouts, judge


def _stem(number: int) -> str:
    return f"{number:019d}"


def _event(number: int) -> str:
    return f"evt_{_stem(number)}0010000"


@dataclass
class History:
    """A run of 100 requests in which everything went well."""

    attempted: list[str] = field(default_factory=lambda: [f"s-{n}" for n in range(100)])
    promised: list[Promise] = field(default_factory=lambda: [Promise(_stem(n), f"s-{n}", 0) for n in range(100)])
    delivered: list[Delivered] = field(
        default_factory=lambda: [Delivered(_event(n), f"h{n}", 1, 200) for n in range(100)]
    )
    applied: list[Applied] = field(default_factory=lambda: [Applied(_event(n), f"s-{n}", 1) for n in range(100)])
    whereabouts: dict[str, Whereabouts] = field(default_factory=dict)

    def findings(self) -> Findings:
        return judge(
            attempted=self.attempted,
            promised=self.promised,
            delivered=self.delivered,
            applied=self.applied,
            whereabouts=self.whereabouts,
        )


def _lose_one(history: History) -> None:
    history.applied.pop()


def _lose_one_that_is_stuck(history: History) -> None:
    history.applied.pop()
    history.whereabouts[_stem(99)] = Whereabouts.PENDING


def _apply_one_twice(history: History) -> None:
    history.applied.append(history.applied[0])


def _verify_one_address_under_two_ids(history: History) -> None:
    history.delivered.append(Delivered(_event(777), "h", 1, 200))
    history.applied.append(Applied(_event(777), "s-5", 1))


def _send_two_bodies_under_one_id(history: History) -> None:
    history.delivered.append(replace(history.delivered[0], body_hash="other"))


def _send_a_wrong_signature(history: History) -> None:
    history.delivered.append(replace(history.delivered[0], status=401))


def _mix_up_two_subjects(history: History) -> None:
    history.applied[3] = replace(history.applied[3], subject_id="s-4")


@pytest.mark.parametrize(
    ("harm", "count"),
    [
        pytest.param(_lose_one, "lost", id="lost"),
        pytest.param(_lose_one_that_is_stuck, "stuck", id="stuck"),
        pytest.param(_apply_one_twice, "applied_twice", id="applied-twice"),
        pytest.param(_verify_one_address_under_two_ids, "unexpected", id="two-ids-for-one-key"),
        pytest.param(_send_two_bodies_under_one_id, "corrupt", id="body-changed"),
        pytest.param(_send_a_wrong_signature, "corrupt", id="signature-refused"),
        pytest.param(_mix_up_two_subjects, "corrupt", id="subjects-mixed-up"),
    ],
)
def test_one_harm_among_a_hundred_is_found(harm: Callable[[History], None], count: str) -> None:
    history = History()
    assert history.findings().sound

    harm(history)

    assert getattr(history.findings(), count) == 1
    assert not history.findings().sound


def test_a_redelivery_is_counted_and_harmless() -> None:
    history = History()

    history.delivered.append(history.delivered[7])

    assert history.findings().redelivered == 1
    assert history.findings().sound


def test_a_request_that_was_never_answered_may_have_been_carried_out() -> None:
    history = History()

    history.attempted.append("s-unanswered")
    history.delivered.append(Delivered(_event(500), "h", 1, 200))
    history.applied.append(Applied(_event(500), "s-unanswered", 1))

    assert history.findings().sound


def test_a_visible_dead_letter_is_not_lost() -> None:
    history = History()

    history.applied.pop()
    history.whereabouts[_stem(99)] = Whereabouts.DEAD_LETTER

    assert (history.findings().lost, history.findings().dead_letters) == (0, 1)


def test_a_run_without_promises_proves_nothing() -> None:
    assert not judge(attempted=[], promised=[], delivered=[], applied=[], whereabouts={}).sound
