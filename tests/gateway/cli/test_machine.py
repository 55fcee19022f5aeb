import asyncio
import os
import socket
import stat
from pathlib import Path

import pytest

from vouchpost_gateway.cli.binding import CannotListenError
from vouchpost_gateway.cli.machine import Machine, is_up, listens, plan_machine
from vouchpost_gateway.embedded.home import Home
from vouchpost_gateway.embedded.supervisor import Child
from vouchpost_gateway.setting_types import HostPort
from vouchpost_gateway.settings import load_settings


def planned(path: Path, *, ledger_given: bool = False, **given: object) -> Machine:
    settings = load_settings(**({"api_port": 0, "metrics_port": 0} | given))
    home = Home(path / "data")
    home.path.mkdir(mode=0o700, exist_ok=True)
    return plan_machine(settings, home, ledger_given=ledger_given)


def children(machine: Machine) -> dict[str, Child]:
    return {child.name: child for stage in machine.stages for child in stage}


def test_everything_runs_and_what_others_need_runs_first(tmp_path: Path) -> None:
    machine = planned(tmp_path)

    assert [[child.name for child in stage] for stage in machine.stages] == [
        ["redis", "dns"],
        ["verify", "deliver", "api"],
    ]


def test_with_a_ledger_and_a_sandbox_of_ones_own_neither_is_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("VOUCHPOST_LEDGER_URL", "redis://db/0")
    monkeypatch.setenv("VOUCHPOST_SANDBOX_DNS", "127.0.0.1:53")

    machine = planned(tmp_path, ledger_given=True)

    assert machine.redis is None
    assert set(children(machine)) == {"verify", "deliver", "api"}


def test_secrets_are_made_once_and_only_their_owner_reads_them(tmp_path: Path) -> None:
    first = planned(tmp_path).settings.sealing_keys()
    again = planned(tmp_path).settings.sealing_keys()

    assert first == again
    assert len(first[0]) == 32
    for name in ("master.key", "ledger.url"):
        assert stat.S_IMODE((tmp_path / "data" / name).stat().st_mode) == 0o600


def test_children_are_told_of_secrets_by_file(tmp_path: Path) -> None:
    machine = planned(tmp_path)
    assert machine.redis is not None

    for name in ("verify", "deliver", "api"):
        env = children(machine)[name].env or {}
        assert machine.redis.password not in " ".join(env.values())
        assert env["VOUCHPOST_LEDGER_URL_FILE"] == str(tmp_path / "data" / "ledger.url")
        assert env["VOUCHPOST_MASTER_KEYS_FILE"] == str(tmp_path / "data" / "master.key")


def test_a_master_key_that_is_given_is_the_one_that_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("VOUCHPOST_MASTER_KEYS", "bW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW1tbW0=")

    machine = planned(tmp_path)

    assert machine.settings.sealing_keys() == (b"m" * 32,)
    assert "VOUCHPOST_MASTER_KEYS_FILE" not in (children(machine)["api"].env or {})


def test_every_process_has_a_metrics_port_of_its_own(tmp_path: Path) -> None:
    env = {name: child.env or {} for name, child in children(planned(tmp_path, metrics_port=29_464)).items()}

    ports = [env[name].get("VOUCHPOST_METRICS_PORT") for name in ("api", "verify", "deliver")]
    assert ports == ["29464", "29465", "29466"]


@pytest.mark.parametrize(("setting", "variable"), [("api_port", "API_PORT"), ("metrics_port", "METRICS_PORT")])
def test_a_port_that_is_taken_is_named_by_its_variable(tmp_path: Path, setting: str, variable: str) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]

        with pytest.raises(CannotListenError) as refused:
            planned(tmp_path, **{setting: port})

    assert str(refused.value).startswith(
        f"VOUCHPOST_{variable}: cannot listen on 127.0.0.1:{port}: Address already in use; set it to another port"
    )


def test_a_child_is_up_when_it_answers_200(tmp_path: Path) -> None:
    async def serve(status: str) -> bool:
        async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(f"HTTP/1.1 {status}\r\n\r\n".encode())
            writer.close()

        async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
            return await is_up(HostPort("127.0.0.1", server.sockets[0].getsockname()[1]))(os.getpid())

    assert asyncio.run(serve("200 OK"))
    assert not asyncio.run(serve("503 Service Unavailable"))


def test_nothing_listens_where_nothing_listens() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        address = HostPort("127.0.0.1", server.getsockname()[1])
        assert asyncio.run(listens(address)(0))

    assert not asyncio.run(listens(address)(0))
