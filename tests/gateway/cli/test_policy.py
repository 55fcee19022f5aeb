import json
from pathlib import Path

import pytest
import redis
from typer.testing import CliRunner, Result

from vouchpost_gateway.cli.keys import app as keys_app
from vouchpost_gateway.cli.policy import app


def policy(*arguments: str, given: str | None = None) -> Result:
    return CliRunner().invoke(app, arguments, input=given)


@pytest.fixture
def tenant(ledger: redis.Redis) -> None:
    CliRunner().invoke(keys_app, ["create", "--mode", "live"])


@pytest.mark.usefixtures("tenant")
def test_what_is_shown_can_be_set_and_has_the_version_that_is_printed() -> None:
    nothing = policy("set", "-", "--mode", "live", given="{}").stdout
    put = policy("set", "-", "--mode", "live", given='{"deny": ["rival.example"]}').stdout

    shown = policy("show", "--mode", "live").stdout

    assert nothing == 'version ""\n'
    assert put == f"version {json.dumps(json.loads(shown)['version'])}\n"
    assert policy("set", "-", "--mode", "live", given=shown).stdout == put


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (None, "cannot be read: No such file or directory"),
        ("{", "cannot be read as JSON: "),
        ("[]", "must hold an object with statuses, allow and deny"),
        ('{"allowed": [], "deny": []}', "no such field: allowed; a policy has statuses, allow and deny"),
    ],
)
def test_a_file_that_is_no_policy_is_told_what_is_wrong_with_it(tmp_path: Path, text: str | None, words: str) -> None:
    file = tmp_path / "policy.json"
    if text is not None:
        file.write_text(text)

    refused = policy("set", str(file), "--mode", "live")

    assert refused.exit_code == 2
    assert refused.stderr.startswith(str(file))
    assert words in refused.stderr


@pytest.mark.parametrize("status", ['"pending"', "null", "[]"])
def test_a_finding_is_called_one_of_four_words(status: str) -> None:
    refused = policy("set", "-", "--mode", "live", given=f'{{"statuses": {{"catch_all": {status}}}}}')

    assert refused.exit_code == 2
    assert refused.stderr == "statuses must be an object of findings and statuses: valid, risky, invalid, unknown\n"
