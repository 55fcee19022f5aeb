import pytest
import typer
from typer.testing import CliRunner

from vouchpost_gateway.cli.settings import settings
from vouchpost_gateway.settings import Settings, variable

app = typer.Typer()
app.command()(settings)


def test_every_setting_is_listed_with_its_default_and_what_it_accepts() -> None:
    output = CliRunner().invoke(app).output

    assert all(variable(name) in output for name in Settings.model_fields)
    assert "3600,21600" in output
    assert "redis://127.0.0.1:6379/0" in output


def test_what_is_set_here_is_shown_but_no_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_API_HOST", "[::1]")
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", "redis://:hunter2@db")
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS_FILE", "/run/secrets/keys")

    output = CliRunner().invoke(app).output

    assert "[::1]" in output
    assert "hunter2" not in output
    assert "from file" in output


def test_a_variable_is_whole_however_narrow_the_terminal() -> None:
    output = CliRunner(env={"COLUMNS": "80"}).invoke(app).output

    assert all(variable(name) in output.split() for name in Settings.model_fields)


def test_in_a_file_every_setting_has_one_line() -> None:
    lines = CliRunner(env={"COLUMNS": None}).invoke(app).output.splitlines()

    assert len([line for line in lines if line.startswith("VOUCHPOST_")]) == len(Settings.model_fields)
    assert all(field.description in "\n".join(lines) for field in Settings.model_fields.values() if field.description)
