"""Real processes, killed, frozen and starved, and the ledger of ids: none lost, none applied twice.

A seeded part of the matrix of `python -m tests.faults`, on one scene: what one fault leaves behind meets the next.
"""

from collections.abc import Iterator

import pytest

from tests.faults.cases import CASES
from tests.faults.redis_cases import redis_empty
from tests.faults.scene import Scene, opened
from tests.faults.trial import Case, Trial, run

pytestmark = pytest.mark.timeout(300)  # a machine that is busy starts eight processes one after the other slowly

_HERE = (
    "api_killed_between_commit_and_answer",
    "verify_worker_killed",
    "deliver_worker_killed",
    "redis_killed",
    "redis_frozen",
    "rolling_restart",
    "bells_lost",
    "worker_frozen_past_its_lease",
    "redis_full",
)


@pytest.fixture(scope="module")
def scene() -> Iterator[Scene]:
    with opened() as built:
        yield built


@pytest.mark.parametrize("name", _HERE)
def test_nothing_is_lost_or_applied_twice(scene: Scene, name: str) -> None:
    done = run(CASES[name], scene, seed=1)
    for seed in (2, 3):
        if done.void:  # on a busy machine the fault may come too late to meet work: that run says nothing
            done = run(CASES[name], scene, seed=seed)

    assert done.ok, f"{done}\n{scene.logs()}"


def test_a_redis_that_comes_back_empty_is_noticed_and_new_work_flows(scene: Scene) -> None:
    """What it held is gone; the processes say so, live on, and serve a tenant that signs up again."""
    before = scene.keeper.ended_by_itself.total()

    noticed = redis_empty(scene)
    scene.sign_up("again")
    done = run(Case("after_an_empty_redis", Trial.heal), scene, seed=1)

    assert noticed, scene.logs()
    assert done.findings.sound, f"{done}\n{scene.logs()}"
    assert scene.keeper.ended_by_itself.total() == before, scene.logs()


def test_a_subscriber_that_drops_one_event_in_fifty_is_found_out() -> None:
    """The negative control: with real processes and a real hole, the oracle is red."""
    with opened(skip_every=50) as holed:
        done = run(CASES["bells_lost"], holed, seed=1, quiet_limit_s=3)

    assert done.findings.promised > 100
    assert done.findings.stuck + done.findings.lost >= done.findings.promised // 50
    assert not done.ok
