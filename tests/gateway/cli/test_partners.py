import pytest
import redis
from typer.testing import CliRunner, Result

from vouchpost_gateway.cli.keys import app as keys_app
from vouchpost_gateway.cli.partners import app


def partners(*arguments: str) -> Result:
    return CliRunner(env={"COLUMNS": "200"}).invoke(app, arguments)


@pytest.mark.parametrize("name", ["", "n" * 101, "evil\x1b[31mred", "two\nlines", "no text \udcff"], ids=ascii)
def test_a_name_that_the_api_refuses_makes_no_partner(ledger: redis.Redis, name: str) -> None:
    CliRunner().invoke(keys_app, ["create", "--mode", "test"])

    refused = partners("create", name, "--mode", "test")

    assert refused.exit_code == 2
    assert "'name': must be 1 to 100 characters" in refused.stderr
    assert "prt_" not in partners("list").stdout
