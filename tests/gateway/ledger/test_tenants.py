import dataclasses
from typing import Any

import pytest

from tests.gateway.ledger.bench import MASTER_KEY, PARTITIONS, START_MS, Bench
from vouchpost_gateway.domain.access import ApiKey, Partner
from vouchpost_gateway.domain.errors import Conflict
from vouchpost_gateway.domain.world import Mode, Scope, World
from vouchpost_gateway.ledger import keys
from vouchpost_gateway.ledger.seal import CannotOpen, MasterKeys
from vouchpost_gateway.ledger.tenants import AccessRecords, Tenants


def _key(world: World, short_id: str, *, created_ms: int = START_MS) -> ApiKey:
    return ApiKey(
        short_id=short_id,
        tenant_id=world.tenant_id,
        mode=world.mode,
        partition=world.partition,
        secret_hash=bytes(32),
        scopes=frozenset({Scope.ADMIN, Scope.VERIFICATIONS_READ}),
        created_ms=created_ms,
        label="é",
        partner_id="prt_1",
        expires_ms=START_MS + 1,
    )


def test_a_name_is_given_to_one_tenant(bench: Bench) -> None:
    with pytest.raises(Conflict):
        bench.new_world("acme")

    found = bench.run(bench.tenants.find("acme"))
    assert found is not None
    assert found.world(Mode.LIVE) == bench.world


def test_tenants_are_spread_over_the_partitions(bench: Bench) -> None:
    worlds = [bench.new_world(f"tenant-{number}") for number in range(20)]

    assert {world.partition for world in worlds} == set(range(PARTITIONS))
    assert len({world.tenant_id for world in [*worlds, bench.world]}) == 21


def test_both_modes_of_a_tenant_share_one_hash_key_and_no_tenant_shares_another_ones(bench: Bench) -> None:
    worlds = [bench.world, dataclasses.replace(bench.world, mode=Mode.TEST), bench.new_world("other")]

    live, test, other = (bench.run(bench.tenants.email_hash_key(world)) for world in worlds)

    assert live == test != other
    assert len(live) == 32


def test_another_process_with_the_same_master_key_opens_what_this_one_sealed(bench: Bench) -> None:
    blob = bench.run(bench.tenants.seal(bench.world)).seal("a@example.com", kind="address", owner="s")
    elsewhere = Tenants(bench.store, MasterKeys([bytes(32), MASTER_KEY]), PARTITIONS)

    assert bench.run(elsewhere.seal(bench.world)).open(blob, kind="address", owner="s") == b"a@example.com"


def test_without_its_master_key_nothing_of_a_tenant_opens(bench: Bench) -> None:
    elsewhere = Tenants(bench.store, MasterKeys([bytes(32)]), PARTITIONS)

    with pytest.raises(CannotOpen):
        bench.run(elsewhere.seal(bench.world))


def test_the_data_key_of_one_tenant_is_of_no_use_in_the_place_of_another_ones(bench: Bench) -> None:
    other = bench.new_world("other")
    bench.raw.set(keys.data_key(other), bench.raw.get(keys.data_key(bench.world)))
    elsewhere = Tenants(bench.store, MasterKeys([MASTER_KEY]), PARTITIONS)

    with pytest.raises(CannotOpen):
        bench.run(elsewhere.seal(other))


def test_a_key_comes_back_as_it_was_written_until_it_is_removed(bench: Bench) -> None:
    records, key = AccessRecords(bench.store), _key(bench.world, "000000000001")
    bench.run(records.add_key(key))
    assert bench.run(records.key(bench.world.partition, key.short_id)) == key

    assert bench.run(records.remove_key(bench.world, key.short_id))

    assert bench.run(records.key(bench.world.partition, key.short_id)) is None
    assert not bench.run(records.remove_key(bench.world, key.short_id))


@pytest.mark.parametrize("other", [{"tenant_id": "zzzz"}, {"mode": Mode.TEST}], ids=["tenant", "mode"])
def test_no_tenant_or_mode_removes_the_key_of_another_in_its_partition(bench: Bench, other: dict[str, Any]) -> None:
    records, key = AccessRecords(bench.store), _key(bench.world, "000000000001")
    bench.run(records.add_key(key))
    neighbour = dataclasses.replace(bench.world, **other)

    assert not bench.run(records.remove_key(neighbour, key.short_id))

    assert bench.run(records.key(bench.world.partition, key.short_id)) == key


def test_keys_and_partners_are_listed_newest_first_page_by_page(bench: Bench) -> None:
    records = AccessRecords(bench.store)
    names = [f"{number:012d}" for number in (3, 1, 4, 2, 5)]
    for age, name in enumerate(names):
        bench.run(records.add_key(_key(bench.world, name, created_ms=START_MS + age)))
        bench.run(records.add_partner(bench.world, Partner(f"prt_{name}", name, START_MS)))

    found, after = [], None
    while True:
        page = bench.run(records.keys(bench.world, after=after, limit=2))
        found += [key.short_id for key in page.items]
        after = page.next
        if after is None:
            break
    partners = bench.run(records.partners(bench.world, after=None, limit=2))

    assert found == names[::-1]
    assert [partner.name for partner in partners.items] == sorted(names)[:2:-1]
    assert bench.run(records.partner(bench.world, "prt_none")) is None


def test_live_and_test_mode_know_nothing_of_each_others_keys_and_partners(bench: Bench) -> None:
    records, test = AccessRecords(bench.store), dataclasses.replace(bench.world, mode=Mode.TEST)
    bench.run(records.add_key(_key(bench.world, "000000000001")))
    bench.run(records.add_partner(bench.world, Partner("prt_1", "p", START_MS)))

    assert bench.run(records.keys(test, after=None, limit=9)).items == []
    assert bench.run(records.partners(test, after=None, limit=9)).items == []
    assert bench.run(records.partner(test, "prt_1")) is None
    assert not bench.run(records.remove_partner(test, "prt_1"))

    assert bench.run(records.partner(bench.world, "prt_1")) is not None
