"""The command, run as a person does."""

import pytest
import typer
from typer.testing import CliRunner, Result

from vouchpost_gateway.checks.policy import default_policy
from vouchpost_gateway.cli.verify import MEANINGS, verify


def _run(*arguments: str) -> Result:
    app = typer.Typer()
    app.command()(verify)
    return CliRunner().invoke(app, [*arguments, "--dns-timeout-s", "1"])


@pytest.mark.parametrize(
    ("address", "exit_code", "words"),
    [
        ("jane@valid.example", 0, ["mx: accepts_mail", "host: mx1.sandbox.example", "valid: domain_accepts_mail"]),
        ("jane@nullmx.example", 1, ["invalid: null_mx"]),
        ("jane@disposable.example", 3, ["lists: disposable", "risky: disposable"]),
        ("jane@servfail.example", 4, ["unknown: dns_failure", "a gateway would check again"]),
    ],
)
def test_every_finding_is_printed_and_the_status_is_the_exit_code(
    address: str, exit_code: int, words: list[str]
) -> None:
    result = _run(address, "--sandbox")

    assert result.exit_code == exit_code
    assert [word for word in words if word not in result.output] == []


def test_explain_says_what_a_finding_means() -> None:
    assert "throw-away" in _run("jane@disposable.example", "--sandbox", "--explain").output


def test_depth_syntax_asks_nobody() -> None:
    assert "valid: syntax_ok" in _run("jane@vouchpost.com", "--depth", "syntax").output


def test_an_address_cannot_steer_the_terminal() -> None:
    output = _run("[red]a[/red]\x1b[31m\u202e@valid.example", "--sandbox").output

    assert "\x1b[31m" not in output
    assert "\u202e" not in output
    assert r"[red]a[/red]\x1b[31m\u202e@valid.example" in output


def test_a_name_server_that_is_none_is_a_wrong_command_line() -> None:
    assert _run("jane@vouchpost.com", "--dns-servers", "no such.host").exit_code == 2


@pytest.mark.parametrize(
    "options", [["--mail-from", "nobody"], ["--mail-from", "a@b.io", "--helo-name", "x y\r\nDATA"]]
)
def test_who_asks_mail_hosts_must_be_a_name_and_an_address(options: list[str]) -> None:
    assert _run("jane@vouchpost.com", "--depth", "mailbox", *options).exit_code == 2


def test_every_finding_a_policy_knows_has_a_meaning() -> None:
    assert {ruling.finding for ruling in default_policy().rulings} <= set(MEANINGS)
