"""How far a run has come: read back as it was written, whatever the keys are."""

from pathlib import Path
from uuid import UUID

import pytest

from vouchpost import ConfigurationError
from vouchpost.bookmark import Bookmark, Key, Progress


@pytest.mark.parametrize("key", [7, 2**63 - 1, "user_42", UUID(int=7)], ids=str)
def test_it_is_read_as_it_was_written(tmp_path: Path, key: Key) -> None:
    progress = Progress().past(key, accepted=3, refused=1, reasons={"no address": 1})

    Bookmark(tmp_path / "mark").write(progress)

    assert Bookmark(tmp_path / "mark").read() == progress
    assert progress.done == 4
    assert [path.name for path in tmp_path.iterdir()] == ["mark"]


def test_where_there_is_none_nothing_was_begun(tmp_path: Path) -> None:
    assert Bookmark(tmp_path / "mark").read() is None


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"format": 2}', '{"format": 1}', '{"format": 1, "last": 1, "x": 2}'])
def test_another_file_is_refused_by_its_name(tmp_path: Path, text: str) -> None:
    (tmp_path / "mark").write_text(text)

    with pytest.raises(ConfigurationError, match="mark"):
        Bookmark(tmp_path / "mark").read()


def test_a_key_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="float"):
        Bookmark(tmp_path / "mark").write(Progress(last=1.5))  # type: ignore[arg-type]


def test_a_bookmark_of_other_rows_is_refused_by_its_name_and_stays_as_it_is(tmp_path: Path) -> None:
    users = Bookmark(tmp_path / "mark", of="users")
    users.write(users.begun(["db", "users"]).past(800, accepted=800, refused=0))
    before = (tmp_path / "mark").read_text()

    for of, place in (("admins", ["db", "users"]), ("users", ["db", "admins"]), ("", [])):
        with pytest.raises(ConfigurationError, match=r"mark belongs to other rows: name another file with --bookmark"):
            Bookmark(tmp_path / "mark", of=of).begun(place)

    assert users.begun(["db", "users"]).last == 800
    assert (tmp_path / "mark").read_text() == before


def test_a_finished_one_keeps_no_other_rows_from_being_begun(tmp_path: Path) -> None:
    users, admins = (Bookmark(tmp_path / "mark", of=name) for name in ("users", "admins"))
    users.write(users.begun().past(800, accepted=800, refused=0).ended())

    begun = admins.begun()
    admins.write(begun)

    assert (begun.last, begun.done, begun.finished) == (None, 0, False)
    with pytest.raises(ConfigurationError, match="other rows"):
        users.begun()


def test_one_of_before_that_does_not_say_whose_it_is_is_gone_on_with(tmp_path: Path) -> None:
    text = '{"run": "r1", "last": 800, "accepted": 799, "refused": 1, "finished": false, "format": 1}'
    (tmp_path / "mark").write_text(text)

    begun = Bookmark(tmp_path / "mark", of="users").begun(["db"])

    assert (begun.run, begun.last, begun.done) == ("r1", 800, 800)


def test_what_it_says_of_the_rows_can_be_read_by_nobody(tmp_path: Path) -> None:
    bookmark = Bookmark(tmp_path / "mark", of="hush")

    bookmark.write(bookmark.begun(["hush.internal"]))

    assert "hush" not in (tmp_path / "mark").read_text()
