import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from vouchpost_gateway.settings import SECRETS, Settings, load_settings, variable

DEPLOY = Path(__file__).parents[2] / "deploy"
COMPOSE: dict[str, Any] = yaml.safe_load((DEPLOY / "compose.yaml").read_text())
SERVICES: dict[str, dict[str, Any]] = COMPOSE["services"]
ROLES = ("api", "verify", "deliver")
OURS = (*ROLES, "sandbox")


def test_every_role_is_a_container_of_its_own() -> None:
    assert {name: SERVICES[name]["command"] for name in ROLES} == {
        "api": ["api"],
        "verify": ["worker", "--role", "verify"],
        "deliver": ["worker", "--role", "deliver"],
    }


@pytest.mark.parametrize("name", ["compose.yaml", "Dockerfile"])
def test_every_variable_is_a_setting(name: str) -> None:
    """One that is not would stop the container at its start."""
    known = {variable(setting) for setting in Settings.model_fields} | {
        f"{variable(secret)}_FILE" for secret in SECRETS
    }

    used = set(re.findall(r"VOUCHPOST_[A-Z_]+", (DEPLOY / name).read_text()))

    assert used
    assert used <= known


@pytest.mark.parametrize("name", OURS)
def test_a_worker_is_given_the_time_to_finish_what_it_has_begun(name: str) -> None:
    grace_s = int(SERVICES[name]["stop_grace_period"].removesuffix("s"))

    assert grace_s >= load_settings().stop_grace_s


@pytest.mark.parametrize("name", OURS)
def test_a_container_can_do_no_more_than_it_needs(name: str) -> None:
    service = SERVICES[name]

    assert service["read_only"]
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]


def test_test_keys_have_a_sandbox_that_holds_no_secret_and_reaches_nothing() -> None:
    sandbox, verify = SERVICES["sandbox"], SERVICES["verify"]

    assert verify["environment"]["VOUCHPOST_SANDBOX_DNS"] == "sandbox:5353"
    assert sandbox["command"] == ["--host", "0.0.0.0", "--port", "5353"]
    assert sandbox["networks"] == ["sandbox"]
    assert "sandbox" in verify["networks"]
    assert COMPOSE["networks"]["sandbox"]["internal"]
    assert not sandbox["secrets"]
    assert "environment" not in sandbox


def test_the_ledger_is_out_of_reach_of_everything_else() -> None:
    assert SERVICES["redis"]["networks"] == ["ledger"]
    assert COMPOSE["networks"]["ledger"]["internal"]
    assert "ports" not in SERVICES["redis"]


def test_the_ledger_has_room_for_a_rewrite_of_its_file() -> None:
    maxmemory = re.findall(r"(?m)^maxmemory (\d+)gb$", (DEPLOY / "redis.conf").read_text())

    assert float(SERVICES["redis"]["mem_limit"].removesuffix("g")) >= 1.5 * int(maxmemory[0])


def test_the_image_does_not_run_as_root() -> None:
    lines = (DEPLOY / "Dockerfile").read_text().splitlines()

    last_user = [line for line in lines if line.startswith("USER ")][-1]
    assert last_user == "USER 10001:10001"
