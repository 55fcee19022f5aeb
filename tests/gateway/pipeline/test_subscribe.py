"""Subscriptions as two processes see them: one changes them for its callers, the other pushes to them."""

import asyncio
import base64
import dataclasses
import os
import time
from collections.abc import Awaitable, Callable

import pytest
import redis

from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import InvalidField, NotFound
from vouchpost_gateway.domain.subscription import NewSubscription, Subscription
from vouchpost_gateway.domain.world import Mode, World
from vouchpost_gateway.settings import Settings, load_settings
from vouchpost_gateway.wiring import Gateway, now_ms, opened

_HEEDED_WITHIN_S = 5  # a quarter of a second on a machine with time to spare

Change = Callable[[Gateway, World, Subscription], Awaitable[object]]
Heeded = Callable[[Subscription | None], bool]


def new(*, enabled: bool = True) -> NewSubscription:
    return NewSubscription(
        url="https://old.example/",
        event_types=frozenset(),
        description="",
        headers={},
        schedule_s=None,
        max_in_flight=None,
        include_address=False,
        enabled=enabled,
        secret_key=None,
    )


async def rotate(api: Gateway, world: World, made: Subscription) -> object:
    return await api.subscribe.rotate_secret(world, None, made.id, overlap_ms=1000, new_key=b"n" * 32)


async def move(api: Gateway, world: World, made: Subscription) -> object:
    return await api.subscribe.replace(world, None, dataclasses.replace(made, url="https://new.example/"))


async def switch_off(api: Gateway, world: World, made: Subscription) -> object:
    return await api.subscribe.replace(world, None, dataclasses.replace(made, enabled=False))


async def delete(api: Gateway, world: World, made: Subscription) -> None:
    await api.subscribe.delete(world, None, made.id)


@pytest.fixture
def settings(redis_url: str) -> Settings:
    with redis.Redis.from_url(redis_url) as client:
        client.flushall()
    return load_settings(ledger_url=redis_url, master_keys=base64.b64encode(b"m" * 32).decode())


async def in_two_processes(settings: Settings, change: Change, heeded: Heeded) -> bool:
    async with opened(settings) as api, opened(settings) as worker:
        world = (await api.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
        made = await api.subscribe.create(world, None, new())
        assert await worker.subscribe.find(world, made.number) == made
        await change(api, world, made)
        until = time.monotonic() + _HEEDED_WITHIN_S
        while time.monotonic() < until:
            if heeded(await worker.subscribe.find(world, made.number)):
                return True
            await asyncio.sleep(0.02)
        return False


async def made_twice(settings: Settings) -> None:
    """By two processes, the second of which knows nothing but what the first one drew."""
    drawn = Draw(now_ms(), os.urandom(32))
    async with opened(settings) as died, opened(settings) as repeats:
        world = (await died.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
        one, two = [await api.subscribe.create(world, None, new(), draw=drawn) for api in (died, repeats)]
        assert one == two
        drawn = Draw(now_ms(), os.urandom(32))
        once, again = [await rotated(api, world, one, drawn) for api in (died, repeats)]
        assert once == again
        assert len(again.secrets) == 2
        newest = await rotated(repeats, world, one, Draw(now_ms(), os.urandom(32)))
        assert await rotated(repeats, world, one, drawn) == newest
        sent, resent = [await api.subscribe.test(world, None, one.id, draw=drawn) for api in (died, repeats)]
        assert sent == resent
        partners = [await api.services.access.create_partner(world, name="p", draw=drawn) for api in (died, repeats)]
        assert partners[0] == partners[1]

        assert len((await repeats.subscribe.list(world, None, after=None, limit=9)).items) == 1
        assert len((await repeats.services.access.partners(world, after=None, limit=9)).items) == 1
        assert await repeats.deliveries.latest(world, one.number, after=None, limit=9) == [sent]


async def rotated(api: Gateway, world: World, made: Subscription, drawn: Draw) -> Subscription:
    return await api.subscribe.rotate_secret(world, None, made.id, overlap_ms=1000, new_key=None, draw=drawn)


def test_what_is_made_with_the_same_draw_is_made_once(settings: Settings) -> None:
    asyncio.run(made_twice(settings))


@pytest.mark.parametrize(
    ("change", "heeded"),
    [
        pytest.param(rotate, lambda seen: len(seen.secrets) == 2, id="rotated"),
        pytest.param(move, lambda seen: seen.url == "https://new.example/", id="moved"),
        pytest.param(switch_off, lambda seen: not seen.enabled, id="switched off"),
        pytest.param(delete, lambda seen: seen is None, id="deleted"),
    ],
)
def test_a_change_is_heeded_by_the_other_process(settings: Settings, change: Change, heeded: Heeded) -> None:
    assert asyncio.run(in_two_processes(settings, change, heeded))


def test_what_was_switched_on_again_is_on_at_once(settings: Settings) -> None:
    """A recovery that took it for switched off would end without a word."""

    async def main() -> Subscription | None:
        async with opened(settings) as api, opened(settings) as worker:
            world = (await api.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
            made = await api.subscribe.create(world, None, new(enabled=False))
            await worker.subscribe.find(world, made.number)
            await api.subscribe.replace(world, None, dataclasses.replace(made, enabled=True))
            return await worker.subscribe.find(world, made.number)

    seen = asyncio.run(main())

    assert seen is not None
    assert seen.enabled


def test_one_event_matches_so_many_and_a_partner_takes_its_share_of_them_only(settings: Settings) -> None:
    limited = settings.model_copy(update={"max_matches": 4, "max_partner_matches": 2})

    async def main() -> list[str | None]:
        async with opened(limited) as api:
            world = (await api.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
            greedy, late = [(await api.services.access.create_partner(world, name=name, draw=None)).id for name in "gl"]
            owners = [greedy, greedy, greedy, None, late, None, late]
            return [await refusal(api, world, owner) for owner in owners]

    theirs, all_taken = "already goes to 2 subscriptions of this partner", "already goes to 4 subscriptions"
    found = asyncio.run(main())

    assert found[:2] + found[3:5] == [None] * 4
    assert [found[2], *found[5:]] == [
        f"verification.completed {words}, which is the limit" for words in (theirs, all_taken, all_taken)
    ]


async def refusal(api: Gateway, world: World, owner: str | None) -> str | None:
    try:
        await api.subscribe.create(world, owner, new())
    except InvalidField as refused:
        return refused.reason
    return None


def test_a_key_that_outlives_its_partner_subscribes_nobody(settings: Settings) -> None:
    """As it may for two seconds, on the processes that did not delete the partner."""

    async def main() -> int:
        async with opened(settings) as api:
            world = (await api.tenants.create("acme", now_ms=now_ms())).world(Mode.TEST)
            partner = await api.services.access.create_partner(world, name="p", draw=None)
            await api.services.access.delete_partner(world, partner.id)
            with pytest.raises(NotFound):
                await api.subscribe.create(world, partner.id, new())
            return len((await api.subscribe.list(world, None, after=None, limit=9)).items)

    assert asyncio.run(main()) == 0
