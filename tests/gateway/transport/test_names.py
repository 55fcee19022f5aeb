import asyncio
import time
from collections.abc import Sequence
from pathlib import Path

import pytest

from tests.gateway.transport.servers import Zone, naming
from vouchpost_gateway.transport.names import SystemNames, UnresolvedError, read_hosts

NOBODY = Path("/nonexistent")


def addresses(name: str, zone: Zone, *, silent: bool = False, hosts_file: Path = NOBODY) -> tuple[list[str], list[str]]:
    """What a lookup of the name gives, and the names that the name server was asked for."""

    async def main() -> tuple[list[str], list[str]]:
        async with naming(zone, silent=silent) as server:
            names = SystemNames(servers=[("127.0.0.1", server.port)], timeout_s=0.5, hosts_file=hosts_file)
            try:
                found: Sequence[str] = await names.addresses(name)
            except UnresolvedError:
                found = ["unresolved"]
            return list(found), server.lookups

    return asyncio.run(main())


def test_a_lookup_gives_every_address_of_both_families_by_asking_once() -> None:
    found, lookups = addresses("hooks.example", lambda _, __: ["192.0.2.1", "2001:db8::1", "192.0.2.2"])

    assert sorted(found) == ["192.0.2.1", "192.0.2.2", "2001:db8::1"]
    assert lookups == ["hooks.example"]


def test_two_lookups_ask_twice_because_nothing_is_cached() -> None:
    async def main() -> list[Sequence[str]]:
        async with naming(lambda _, count: [f"192.0.2.{count}"]) as server:
            names = SystemNames(servers=[("127.0.0.1", server.port)], hosts_file=NOBODY)
            return [await names.addresses("hooks.example") for _ in range(2)]

    assert asyncio.run(main()) == [["192.0.2.1"], ["192.0.2.2"]]


@pytest.mark.parametrize("found", [None, []], ids=["NXDOMAIN", "no address"])
def test_a_name_without_addresses_is_unresolved(found: list[str] | None) -> None:
    assert addresses("hooks.example", lambda _, __: found)[0] == ["unresolved"]


def test_a_name_server_that_never_answers_is_given_up_in_time() -> None:
    started = time.monotonic()

    assert addresses("hooks.example", lambda _, __: [], silent=True)[0] == ["unresolved"]
    assert time.monotonic() - started < 2


@pytest.mark.parametrize("name", ["localhost", "app.localhost"])
def test_localhost_is_never_a_question_for_dns(name: str) -> None:
    assert addresses(name, lambda _, __: ["192.0.2.1"]) == (["127.0.0.1", "::1"], [])


@pytest.mark.parametrize("name", ["", ".", "a..b", "x" * 64, "x." * 200, "\ud800", "é"])
def test_a_name_that_is_none_is_unresolved(name: str) -> None:
    assert addresses(name, lambda _, __: None)[0] == ["unresolved"]


def test_the_hosts_file_comes_first(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_text("192.0.2.7  Hooks.example hooks # 192.0.2.8 hooks.example\n2001:db8::7\thooks.example\n")

    found, lookups = addresses("hooks.example", lambda _, __: ["192.0.2.1"], hosts_file=hosts)

    assert found == ["192.0.2.7", "2001:db8::7"]
    assert lookups == []


def test_lines_of_a_hosts_file_that_make_no_sense_are_skipped(tmp_path: Path) -> None:
    hosts = tmp_path / "hosts"
    hosts.write_bytes(b"\n#\n192.0.2.1\n999.0.2.1 a\nfe80::1%lo0 b\nwords only here\n\xff\xfe c\n192.0.2.2 d\n")

    assert read_hosts(hosts) == {"b": ("fe80::1%lo0",), "d": ("192.0.2.2",)}


def test_a_machine_without_a_hosts_file_has_no_names_of_its_own() -> None:
    assert read_hosts(NOBODY) == {}
