import os
import stat
from pathlib import Path

import pytest

from vouchpost_gateway.embedded.data_directory import (
    DataDirectory,
    DataDirectoryInUseError,
    DataDirectoryUnusableError,
    write_private,
)


def test_a_directory_is_made_for_its_owner_alone(tmp_path: Path) -> None:
    directory = DataDirectory(tmp_path / "deep" / "data")

    directory.hold()

    assert stat.S_IMODE(directory.path.stat().st_mode) == 0o700
    directory.release()


def test_it_is_held_once_and_free_again_after(tmp_path: Path) -> None:
    first, second = DataDirectory(tmp_path / "data"), DataDirectory(tmp_path / "data")
    first.hold()
    with pytest.raises(DataDirectoryInUseError):
        second.hold()

    first.release()

    second.hold()
    second.release()


def test_a_directory_of_other_things_is_left_as_it_is(tmp_path: Path) -> None:
    """`--data-dir .` in a home directory must not close it to others."""
    tmp_path.chmod(0o755)
    (tmp_path / "letter.txt").touch()

    with pytest.raises(DataDirectoryUnusableError, match="holds something else"):
        DataDirectory(tmp_path).hold()

    assert stat.S_IMODE(tmp_path.stat().st_mode) == 0o755


def test_what_cannot_be_a_directory_says_why(tmp_path: Path) -> None:
    (tmp_path / "file").touch()

    with pytest.raises(DataDirectoryUnusableError, match=r"file/data cannot hold data: Not a directory"):
        DataDirectory(tmp_path / "file" / "data").hold()


def test_a_private_file_is_replaced_whole_whatever_was_there(tmp_path: Path) -> None:
    path = tmp_path / "master.key"
    path.write_text("old")
    path.chmod(0o644)

    write_private(path, "new")

    assert path.read_text() == "new"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert os.listdir(tmp_path) == ["master.key"]  # noqa: PTH208
