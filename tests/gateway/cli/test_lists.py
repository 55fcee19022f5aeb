"""`vouchpost lists`, run as a person does."""

from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from vouchpost_gateway.cli.lists import app


def _run(*arguments: str, text: str = "") -> Result:
    return CliRunner().invoke(app, list(arguments), input=text)


@pytest.fixture
def directory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    directory = tmp_path / "lists"
    directory.mkdir()
    monkeypatch.setenv("VOUCHPOST_LISTS_DIR", str(directory))
    return directory


def test_a_list_is_added_shown_and_removed(directory: Path, tmp_path: Path) -> None:
    file = tmp_path / "mine.txt"
    file.write_text("# mine\nthrow.net\nnot a domain\n")
    before = _run("show").output

    added = _run("add", str(file), "--name", "mine", "--quality", "0.8")
    after = _run("show").output
    removed = _run("remove", "mine")

    assert "1 domains, 1 lines that are none" in added.output
    assert "mine" in after
    assert before != after
    assert removed.exit_code == 0
    assert _run("show").output == before


def test_a_list_may_come_from_another_program(directory: Path) -> None:
    assert _run("add", "-", "--name", "mine", text="throw.net\n").exit_code == 0


@pytest.mark.parametrize(
    "arguments",
    [
        ["add", "/nowhere", "--name", "x"],
        ["add", "-", "--name", "x"],
        ["add", "-", "--name", "Not A Name"],
        ["add", "-", "--name", "x", "--quality", "2"],
        ["remove", "nothing"],
    ],
)
def test_what_cannot_be_done_is_told_plainly(directory: Path, arguments: list[str]) -> None:
    result = _run(*arguments, text="" if arguments[-1] == "x" else "throw.net\n")

    assert result.exit_code != 0
    assert not isinstance(result.exception, OSError | ValueError)
    assert list(directory.iterdir()) == []


def test_without_a_directory_it_says_which_setting_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOUCHPOST_LISTS_DIR", raising=False)

    result = _run("add", "-", "--name", "x", text="throw.net\n")

    assert result.exit_code != 0
    assert "VOUCHPOST_LISTS_DIR" in result.output + result.stderr
