"""`vouchpost reverify`: what it says when it cannot begin. Whole runs of it are in `tests/end_to_end/test_kit.py`."""

from pathlib import Path

import pytest
import typer
from typer.testing import CliRunner

from vouchpost.reverify_command import reverify

MODULE = """
from sqlalchemy import select, table, column
everybody = select(table("users", column("id"), column("email")))
def nobody(): return []
"""


@pytest.mark.parametrize(
    ("options", "said"),
    [
        pytest.param(["shop"], "module:name", id="no name"),
        pytest.param(["shop_that_is_not:users"], "no module shop_that_is_not", id="no module"),
        pytest.param(["reverified_shop:users"], "reverified_shop has no users", id="nothing of that name"),
        pytest.param(["reverified_shop:nobody"], "not a list", id="neither queryset nor select"),
        pytest.param(["reverified_shop:everybody"], "engine", id="no database"),
        pytest.param(["reverified_shop:everybody", "--database", "x:?y"], "no database URL", id="no URL"),
        pytest.param(
            ["reverified_shop:everybody", "--database", "sqlite://", "--email", "mail"], "no column mail", id="column"
        ),
        pytest.param(["reverified_shop:everybody", "--database", "sqlite://"], "VOUCHPOST_API_KEY", id="no key"),
    ],
)
def test_what_is_missing_is_said(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str
) -> None:
    (tmp_path / "reverified_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    for name in ("VOUCHPOST_API_KEY", "DATABASE_URL", "DJANGO_SETTINGS_MODULE"):
        monkeypatch.delenv(name, raising=False)
    app = typer.Typer()
    app.command()(reverify)

    answer = CliRunner().invoke(app, options, env={"COLUMNS": "500"})

    assert answer.exit_code == 1
    assert said in answer.output
    assert "goes on from here" not in answer.output
