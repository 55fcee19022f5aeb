"""How far a run has come: read back as it was written, whatever the keys are."""

from pathlib import Path
from uuid import UUID

import pytest

from vouchpost import ConfigurationError
from vouchpost.bookmark import Bookmark, Key, Progress


@pytest.mark.parametrize("key", [7, 2**63 - 1, "user_42", UUID(int=7)], ids=str)
def test_it_is_read_as_it_was_written(tmp_path: Path, key: Key) -> None:
    progress = Progress().past(key, accepted=3, refused=1)

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
