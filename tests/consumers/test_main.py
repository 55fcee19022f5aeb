"""The `vouchpost` command: commands of both packages, met through entry points."""

import os
import re
import subprocess
import sys
from importlib.metadata import EntryPoint, version
from pathlib import Path

import pytest

from vouchpost.__main__ import GROUP, load

HELP = "needs: pip install 'vouchpost[gateway]'"


def run(*arguments: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run([sys.executable, "-m", "vouchpost", *arguments], capture_output=True, text=True, check=False)


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no such device")
@pytest.mark.parametrize("arguments", [["--help"], ["--version"], ["settings"]])
def test_output_that_cannot_be_written_is_one_line_and_no_traceback(arguments: list[str]) -> None:
    with Path("/dev/full").open("w") as full:
        ended = subprocess.run(
            [sys.executable, "-m", "vouchpost", *arguments], stdout=full, stderr=subprocess.PIPE, text=True, check=False
        )

    assert ended.returncode == 1
    assert ended.stderr == "cannot write what there is to say: No space left on device\n"


def test_output_that_nobody_reads_is_no_traceback() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as closed:
        ended = subprocess.run(
            [sys.executable, "-m", "vouchpost", "settings"],
            stdout=closed,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )

    assert ended.returncode == 1
    assert len(ended.stderr.splitlines()) <= 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("worker", "--role", "x"), "Invalid value for '--role': 'x' is not one of 'verify', 'deliver'."),
        (("listen", "--port", "x"), "Invalid value for '--port': must be a valid integer"),
    ],
)
def test_an_option_that_is_wrong_is_said_in_plain_words(arguments: tuple[str, ...], words: str) -> None:
    shown = run(*arguments)

    assert shown.returncode == 2
    assert words in " ".join(shown.stderr.replace("│", " ").split())
    assert "unable" not in shown.stderr


def test_listen_is_among_the_commands() -> None:
    shown = run("--help")

    assert shown.returncode == 0
    assert "listen" in shown.stdout


def test_it_says_its_version() -> None:
    assert re.fullmatch(rf"vouchpost {re.escape(version('vouchpost'))}, Python 3\.\d+\.\S+\n", run("--version").stdout)


def test_an_unknown_command_is_an_error_of_usage() -> None:
    assert run("fly").returncode == 2


@pytest.mark.parametrize("arguments", [[], ["create", "--tenant", "acme"]], ids=["bare", "called as it should be"])
def test_a_command_whose_dependencies_are_missing_says_what_to_install(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    command = load(EntryPoint("keys", "vouchpost_no_such_package.cli:app", GROUP))

    with pytest.raises(SystemExit) as ended:
        command(arguments)

    assert HELP in command.help.replace("\\[", "[")
    assert ended.value.code == 1
    assert "pip install 'vouchpost[gateway]'" in capsys.readouterr().err


def test_a_traceback_shows_no_key_and_no_password(tmp_path: Path) -> None:
    """Also with the releases of typer that show locals unless they are told not to."""
    (tmp_path / "broken.py").write_text("raise ZeroDivisionError")
    script = (
        "import sys, typer; typer.Typer.__init__.__kwdefaults__['pretty_exceptions_show_locals'] = True; "
        "from vouchpost.__main__ import main; "
        "sys.argv[1:] = ['reverify', 'broken:rows', '--database', 'sqlite:///hush', '--key', 'vp_live_hush']; main()"
    )

    ended = subprocess.run(
        [sys.executable, "-c", script],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
        env={"COLUMNS": "200"},
    )

    assert "ZeroDivisionError" in ended.stderr
    assert "hush" not in ended.stdout + ended.stderr


def test_a_function_and_an_application_are_both_commands() -> None:
    one = load(EntryPoint("listen", "vouchpost.listen:listen", GROUP))

    assert one.name == "listen"
    assert one.help.startswith("Receive events")
