"""`vouchpost reverify`: what it says when it cannot begin, and a run on Django's ORM.

A run on a select that is killed and goes on, against a real gateway, is in `tests/end_to_end/test_kit.py`.
"""

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import typer
from typer.testing import CliRunner

from tests.consumers.gateways import REFUSED
from tests.consumers.served import Handler, ServedGateway, serving
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
        pytest.param(["reverified_shop:everybody"], "--database", id="no database, and which option names it"),
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


def test_a_database_that_is_away_is_said_without_its_url(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "away_shop.py").write_text(MODULE)
    monkeypatch.syspath_prepend(tmp_path)
    app = typer.Typer()
    app.command()(reverify)
    url = "postgresql+psycopg://hush:hush@127.0.0.1:1/hush"

    answer = CliRunner().invoke(app, ["away_shop:everybody", "--database", url, "--key", "vp_test_hush"])

    assert answer.exit_code == 1
    assert "did not do what it was asked. OperationalError." in " ".join(answer.output.split())
    assert "hush" not in answer.output


class Gateway(ServedGateway):
    """Takes submissions and remembers them, `most` of them: then its key is revoked. It may refuse some addresses."""

    def __init__(self) -> None:
        super().__init__(_Verifications)
        self.taken: list[dict[str, Any]] = []
        self.most = 1000
        self.refuses = "no address"


class _Verifications(Handler):
    server: Gateway

    def do_POST(self) -> None:  # noqa: N802 -- http.server names it
        content = self.content()
        if len(self.server.taken) >= self.server.most:
            self.answer(401, json.dumps(REFUSED).encode())
        elif self.server.refuses in content["email"]:
            fields = {"errors": [{"field": "email", "reason": "is not [one] address"}]}
            self.answer(422, json.dumps(REFUSED | fields).encode())
        else:
            self.server.taken.append(content)
            self.answer(202, json.dumps({"id": "vrf_1", "status": "pending", "sequence": 7}).encode())


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with serving(Gateway()) as server:
        yield server


SHOP = {
    "settings.py": """
SECRET_KEY = "for tests"
INSTALLED_APPS = ["shop"]
DATABASES = {"default": {"ENGINE": "django.db.backends.sqlite3", "NAME": "db"}}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
""",
    "models.py": """
from django.db import models

class User(models.Model):
    email = models.CharField(max_length=254)
""",
    "fill.py": """
import django
django.setup()
from django.core.management import call_command
from shop.models import User
call_command("migrate", run_syncdb=True, verbosity=0)
User.objects.bulk_create(User(email=f"p{number}@example.com") for number in range(45))
""",
    "jobs.py": """
from sqlalchemy import select, table, column
users = select(table("shop_user", column("id"), column("email")))
late_users = users.where(column("id") > 20)
""",
}


class Shop:
    """An application in a folder, with 45 users, where commands are run."""

    def __init__(self, folder: Path, gateway: Gateway) -> None:
        self._folder, self._gateway = folder, gateway
        (folder / "shop").mkdir()
        for name, text in SHOP.items():
            (folder / "shop" / name).write_text(text)
        self._run("shop.fill")

    def reverify(self, *options: str, settings: str = "shop.settings") -> tuple[int, str]:
        """The exit code, and all that it says."""
        more = ("--url", self._gateway.url, "--chunk", "10", "--at-once", "1")
        return self._run("vouchpost", "reverify", *options, *more, settings=settings)

    def _run(self, *command: str, settings: str = "shop.settings") -> tuple[int, str]:
        variables = {"DJANGO_SETTINGS_MODULE": settings, "VOUCHPOST_API_KEY": "vp_test_00abc", "COLUMNS": "200"}
        done = subprocess.run(
            [sys.executable, "-m", *command],
            cwd=self._folder,
            env=os.environ | variables,
            capture_output=True,
            text=True,
            check=False,
        )
        return done.returncode, done.stdout + done.stderr


@pytest.fixture
def shop(tmp_path: Path, gateway: Gateway) -> Shop:
    return Shop(tmp_path, gateway)


def test_one_command_verifies_everybody_of_a_django_model_again(shop: Shop, gateway: Gateway) -> None:
    _, said = shop.reverify("shop.models:User.objects")

    assert "accepted 45 · refused 0" in said
    assert "45/45" in said
    assert sorted(taken["email"] for taken in gateway.taken) == sorted(f"p{number}@example.com" for number in range(45))
    assert {taken["priority"] for taken in gateway.taken} == {"low"}


DATABASE = ("--database", "sqlite:///db")


def test_other_rows_do_not_go_on_where_these_were_stopped(shop: Shop, gateway: Gateway) -> None:
    gateway.most = 25
    assert shop.reverify("shop.jobs:users", *DATABASE)[0] == 1
    gateway.most = 1000

    for rows in (["shop.models:User.objects"], ["shop.jobs:late_users", *DATABASE]):
        code, said = shop.reverify(*rows)
        assert (code, len(gateway.taken)) == (1, 25)
        assert "the bookmark reverify.json belongs to other rows: name another file with --bookmark" in said

    assert shop.reverify("shop.models:User.objects", "--bookmark", "django.json")[0] == 0
    assert len(gateway.taken) == 25 + 45
    assert "accepted 45" in shop.reverify("shop.jobs:users", *DATABASE, "--depth", "mailbox")[1]


@pytest.mark.parametrize(
    ("refused", "code", "said"),
    [
        pytest.param("p4", 0, "refused 6: 422 refused · email: is not [one] address", id="some"),
        pytest.param("@", 1, "refused 45: 422 refused · email: is not [one] address", id="all"),
    ],
)
def test_why_rows_were_refused_is_said_and_a_run_that_nothing_came_of_has_failed(
    shop: Shop, gateway: Gateway, refused: str, code: int, said: str
) -> None:
    gateway.refuses = refused

    ended, output = shop.reverify("shop.models:User.objects")

    assert (ended, said in output) == (code, True)
    assert "example.com" not in output


def test_a_depth_that_there_is_not_is_refused_at_the_start(shop: Shop, gateway: Gateway, tmp_path: Path) -> None:
    code, said = shop.reverify("shop.models:User.objects", "--depth", "bogus")
    _, helped = shop.reverify("--help")

    assert (code, gateway.taken, (tmp_path / "reverify.json").exists()) == (2, [], False)
    for words in ("--depth", "syntax", "domain", "mailbox"):
        assert words in said
        assert words in helped


def test_without_the_settings_of_django_a_line_says_which_variable_names_them(shop: Shop) -> None:
    code, said = shop.reverify("shop.models:User.objects", settings="")

    assert (code, said) == (1, "shop.models:User.objects needs Django's settings: set DJANGO_SETTINGS_MODULE\n")


def test_what_a_module_itself_finds_wrong_with_the_settings_is_shown_as_it_is(shop: Shop, tmp_path: Path) -> None:
    needy = "from django.core.exceptions import ImproperlyConfigured\nraise ImproperlyConfigured('name a till')"
    (tmp_path / "shop" / "needy.py").write_text(needy)

    code, said = shop.reverify("shop.needy:rows")

    assert (code, "ImproperlyConfigured: name a till" in said, "set DJANGO" in said) == (1, True, False)
