"""What the README points at is there."""

import re
from importlib.metadata import entry_points
from pathlib import Path

from tests.contract.settings_page import PAGE, page
from tests.load.report import BEGIN, END
from vouchpost_gateway.settings import Settings, variable

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def test_every_file_that_it_links_to_exists() -> None:
    targets = [target for target in re.findall(r"\]\(([^)]+)\)", README) if "://" not in target]

    assert targets
    assert [target for target in targets if not (ROOT / target).exists()] == []


def test_every_command_that_it_names_exists() -> None:
    named = set(re.findall(r"(?<!from )vouchpost ([a-z]+)\b", README))

    assert {"demo", "up", "listen", "doctor"} <= named
    assert named - {entry.name for entry in entry_points(group="vouchpost.commands")} == set()


def test_every_setting_that_it_names_exists() -> None:
    known = {variable(name) for name in Settings.model_fields} | {"VOUCHPOST_API_KEY", "VOUCHPOST_SIGNING_SECRET"}

    assert set(re.findall(r"VOUCHPOST_[A-Z_]+[A-Z]", README)) <= known


def test_the_page_of_settings_is_the_codes() -> None:
    assert PAGE.read_text(encoding="utf-8") == page(), "uv run python -m tests.contract.settings_page writes it"


def test_the_consumer_that_it_shows_is_the_one_that_the_kits_tests_run() -> None:
    (shown,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)

    assert shown in (ROOT / "consumers" / "README.md").read_text(encoding="utf-8")


def test_figures_have_their_place() -> None:
    assert README.index(BEGIN) < README.index(END)
