"""A run over existing users: every row once, at low priority, on after a crash, and patient with the gateway."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx
import pytest

from tests.consumers.gateways import REFUSED, FakeGateway
from vouchpost import Client, RequestRefusedError, UnreachableError
from vouchpost.bookmark import Bookmark, Key, Progress
from vouchpost.reverify import Person, reverify


class Users:
    """Rows in memory. `dies_at` is a key behind which the database is gone, as in a crash."""

    def __init__(self, *emails: str) -> None:
        self.rows = [Person(number, email, f"user_{number}") for number, email in enumerate(emails, start=1)]
        self.dies_at: int | None = None

    def count(self) -> int:
        return len(self.rows)

    def after(self, key: Key | None, limit: int) -> Sequence[Person]:
        if self.dies_at is not None and key == self.dies_at:
            raise ConnectionError
        return [row for row in self.rows if key is None or row.key > key][:limit]  # type: ignore[operator]


class Run:
    """Runs over users with a bookmark in a folder, beside a gateway that answers from memory."""

    def __init__(self, folder: Path, *emails: str) -> None:
        self.gateway, self.users = FakeGateway(), Users(*emails)
        self.bookmark = Bookmark(folder / "mark")
        self.pauses: list[float] = []
        self.told: list[int] = []

    def __call__(self, *, patience_s: float = 60, depth: str | None = None) -> Progress:
        with self.gateway.client() as client:
            return reverify(
                self.users,
                client=client,
                bookmark=self.bookmark,
                depth=depth,
                chunk=2,
                patience_s=patience_s,
                told=lambda progress: self.told.append(progress.done),
                pause=self.pause,
            )

    def pause(self, seconds: float) -> None:
        self.pauses.append(seconds)


def people(count: int) -> list[str]:
    return [f"p{number}@example.com" for number in range(count)]


def test_everybody_is_submitted_once_at_low_priority_and_progress_is_told(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(5))

    progress = run()

    taken = list(run.gateway.taken.values())
    assert sorted(run.gateway.emails) == people(5)
    assert {content["priority"] for content in taken} == {"low"}
    assert {content["subject_id"] for content in taken} == {f"user_{number}" for number in range(1, 6)}
    assert (progress.accepted, progress.refused, progress.finished) == (5, 0, True)
    assert run.told == [0, 2, 4, 5]


def test_after_a_crash_it_goes_on_where_it_was(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(6))
    run.users.dies_at = 4
    with pytest.raises(ConnectionError):
        run()
    before = run.gateway.calls

    run.users.dies_at = None
    progress = run()

    assert (before, run.gateway.calls) == (4, 6)
    assert progress.accepted == 6


def test_a_chunk_that_was_sent_before_the_bookmark_moved_is_taken_once(tmp_path: Path) -> None:
    """The moment between the two: the chunk is sent again, each submission under the key that it had."""
    run = Run(tmp_path, *people(2))
    run()
    finished = run.bookmark.read()
    assert finished is not None

    run.bookmark.write(Progress(run=finished.run))
    run()

    assert run.gateway.calls == 4
    assert len(run.gateway.taken) == 2


def test_a_run_that_goes_on_at_another_depth_or_for_other_subjects_asks_so_of_everybody_left(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(2))
    run(depth="domain")
    finished = run.bookmark.read()
    assert finished is not None

    run.bookmark.write(Progress(run=finished.run))
    deeper = run(depth="mailbox")
    run.bookmark.write(Progress(run=finished.run))
    run.users.rows = [replace(row, subject_id=f"customer_{row.key}") for row in run.users.rows]
    renamed = run(depth="mailbox")

    assert (deeper.accepted, renamed.accepted) == (2, 2)
    assert {(content["depth"], content["subject_id"]) for content in run.gateway.taken.values()} == {
        ("domain", "user_1"),
        ("domain", "user_2"),
        ("mailbox", "user_1"),
        ("mailbox", "user_2"),
        ("mailbox", "customer_1"),
        ("mailbox", "customer_2"),
    }


def test_a_finished_run_is_followed_by_a_new_one(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(2))

    first, second = run(), run()

    assert first.run != second.run
    assert len(run.gateway.taken) == 4


def test_a_gateway_that_is_away_is_waited_for(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(3))
    run.gateway.up = False

    def pause(seconds: float) -> None:
        run.pauses.append(seconds)
        run.gateway.up = len(run.pauses) == 3

    run.pause = pause  # type: ignore[method-assign]
    progress = run()

    assert progress.accepted == 3
    assert run.pauses == [1.0, 2.0, 4.0]


def test_patience_ends_with_what_was_wrong_and_the_next_run_goes_on(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(3))
    run.gateway.up = False
    with pytest.raises(UnreachableError):
        run(patience_s=5)

    run.gateway.up = True

    assert sum(run.pauses) <= 5
    assert run().accepted == 3


def test_an_address_that_is_refused_or_missing_is_counted_and_holds_nobody_up(tmp_path: Path) -> None:
    bookmark, users = Bookmark(tmp_path / "mark"), Users("ann@example.com", "", "bad", "bob@example.com")

    def answer(request: httpx.Request) -> httpx.Response:
        refused = b'"bad"' in request.content
        accepted = {"id": "vrf_1", "status": "pending", "sequence": 7}
        return httpx.Response(422 if refused else 202, json=REFUSED if refused else accepted)

    with Client(key="vp_test_1", url="http://gateway", transport=httpx.MockTransport(answer)) as client:
        progress = reverify(users, client=client, bookmark=bookmark)

    assert (progress.accepted, progress.refused) == (2, 2)


def test_why_rows_were_refused_is_counted_over_a_crash_and_holds_no_address(tmp_path: Path) -> None:
    run = Run(tmp_path, "", *people(5))
    run.gateway.refuse_with, run.gateway.refused_field = 422, "depth"
    run.users.dies_at = 4
    with pytest.raises(ConnectionError):
        run()
    run.gateway.refuse_with = run.users.dies_at = None

    progress = run()

    assert (progress.accepted, progress.refused) == (2, 4)
    assert progress.reasons == {"no address": 1, "422 refused · depth: is wrong": 3}
    assert "example.com" not in (tmp_path / "mark").read_text()


def test_a_key_that_is_refused_ends_the_run_at_once(tmp_path: Path) -> None:
    run = Run(tmp_path, *people(3))
    run.gateway.refuse_with = 401

    with pytest.raises(RequestRefusedError):
        run()

    assert run.pauses == []
