import os
from collections.abc import Callable
from dataclasses import dataclass, field, replace

import pytest

from tests.gateway.ledger.bench import START_MS, Bench
from tests.gateway.pipeline.told import Told
from vouchpost_gateway.domain.draw import Draw
from vouchpost_gateway.domain.errors import InvalidField, NotAuthenticated, NotFound
from vouchpost_gateway.domain.world import Mode, Scope, World
from vouchpost_gateway.ledger.tenants import AccessRecords
from vouchpost_gateway.pipeline.access import Access, SignIn
from vouchpost_gateway.pipeline.subscribe import Subscribe

READ = frozenset({Scope.VERIFICATIONS_READ})


@dataclass
class Desk:
    """Access and sign-in of one process, and the clock that both look at."""

    bench: Bench
    now_ms: int = START_MS
    forgotten: int = 0
    signing: SignIn = field(init=False)
    access: Access = field(init=False)

    def __post_init__(self) -> None:
        bench, clock = self.bench, lambda: self.now_ms
        records = AccessRecords(bench.store)
        subscribe = Subscribe(bench.subscriptions, records, lambda _rings: None, Told(), clock, self._draw, 100, 20)
        self.signing = SignIn(records, clock, 2)
        self.access = Access(
            records=records,
            hashes=bench.tenants,
            subscriptions=subscribe,
            now_ms=clock,
            draw=self._draw,
            random_bytes=os.urandom,
            forget_keys=self._forget,
        )

    def _draw(self) -> Draw:
        return Draw(self.now_ms, os.urandom(32))

    def _forget(self) -> None:
        self.forgotten += 1

    def create(self, *, partner_id: str | None = None, expires_ms: int | None = None) -> tuple[str, str]:
        """The id and the text of a new key."""
        key, text = self.bench.run(
            self.access.create_key(
                self.bench.world, scopes=READ, label="", partner_id=partner_id, expires_ms=expires_ms
            )
        )
        return key.id, text

    def sign_in(self, text: str) -> object:
        return self.bench.run(self.signing.sign_in(text))


@pytest.fixture
def desk(bench: Bench) -> Desk:
    return Desk(bench)


def test_a_key_signs_in_as_its_tenant_with_its_scopes(desk: Desk) -> None:
    key_id, text = desk.create()

    principal = desk.bench.run(desk.signing.sign_in(text))

    assert (principal.world, principal.key_id, principal.scopes) == (desk.bench.world, key_id, READ)


def test_the_text_of_a_key_is_stored_nowhere(desk: Desk) -> None:
    _, text = desk.create()
    secret = text.rpartition("_")[2].encode()

    stored = b"".join(desk.bench.raw.dump(name) for name in desk.bench.raw.keys("*"))

    assert secret not in stored


@pytest.mark.parametrize("at", [0, 8, 10, 20, 30, -1])
def test_a_key_with_any_character_changed_signs_nobody_in(desk: Desk, at: int) -> None:
    _, text = desk.create()
    at %= len(text)

    with pytest.raises(NotAuthenticated):
        desk.sign_in(text[:at] + ("b" if text[at] == "a" else "a") + text[at + 1 :])


def test_a_key_of_one_mode_is_no_key_of_the_other(desk: Desk) -> None:
    _, text = desk.create()

    with pytest.raises(NotAuthenticated):
        desk.sign_in(text.replace("vp_live_", "vp_test_"))


@pytest.mark.parametrize("text", ["", "x", "vp_live_99", "vp_live_01\n", "vp_live_01" + "0" * 12 + "_" + "A" * 43])
def test_any_other_text_signs_nobody_in(desk: Desk, text: str) -> None:
    with pytest.raises(NotAuthenticated):
        desk.sign_in(text)


def test_a_revoked_key_works_nowhere_after_two_seconds(desk: Desk) -> None:
    key_id, text = desk.create()
    elsewhere = Desk(desk.bench)
    elsewhere.sign_in(text)

    desk.bench.run(desk.access.revoke_key(desk.bench.world, key_id))
    elsewhere.now_ms += 2000

    with pytest.raises(NotAuthenticated):
        elsewhere.sign_in(text)
    assert desk.forgotten == 1, "here it stops at once"


def test_a_clock_that_goes_back_keeps_no_revoked_key_alive(desk: Desk) -> None:
    key_id, text = desk.create()
    desk.sign_in(text)
    desk.bench.run(desk.access.revoke_key(desk.bench.world, key_id))
    desk.now_ms -= 3_600_000

    with pytest.raises(NotAuthenticated):
        desk.sign_in(text)


def test_an_expired_key_works_no_more(desk: Desk) -> None:
    _, text = desk.create(expires_ms=START_MS + 1)
    desk.sign_in(text)
    desk.now_ms += 1

    with pytest.raises(NotAuthenticated):
        desk.sign_in(text)


def test_nobody_revokes_the_key_of_another_tenant_or_mode(desk: Desk) -> None:
    key_id, text = desk.create()
    worlds = [desk.bench.new_world("other"), replace(desk.bench.world, mode=Mode.TEST)]

    for world in worlds:
        with pytest.raises(NotFound):
            desk.bench.run(desk.access.revoke_key(world, key_id))

    assert desk.sign_in(text)


@pytest.mark.parametrize("change", [str.upper, lambda key_id: key_id[3:], lambda key_id: "x_" + key_id])
def test_text_that_is_not_quite_the_id_of_a_key_revokes_nothing(desk: Desk, change: Callable[[str], str]) -> None:
    key_id, text = desk.create()

    with pytest.raises(NotFound):
        desk.bench.run(desk.access.revoke_key(desk.bench.world, change(key_id)))

    assert desk.sign_in(text)


def test_keys_are_listed_for_their_own_mode(desk: Desk) -> None:
    key_id, _ = desk.create()
    other = replace(desk.bench.world, mode=Mode.TEST)

    pages = [desk.bench.run(desk.access.keys(world, after=None, limit=9)).items for world in (desk.bench.world, other)]

    assert [[key.id for key in page] for page in pages] == [[key_id], []]


def test_a_partner_that_is_removed_takes_its_keys_and_subscriptions_along(desk: Desk) -> None:
    bench = desk.bench
    partner = bench.run(desk.access.create_partner(bench.world, name="p"))
    _, text = desk.create(partner_id=partner.id)
    theirs, ours = bench.change(bench.subscribe(), owner=partner.id), bench.subscribe()

    bench.run(desk.access.delete_partner(bench.world, partner.id))

    with pytest.raises(NotAuthenticated):
        desk.sign_in(text)
    assert set(bench.run(bench.subscriptions.fresh(bench.world)).by_number) == {ours.number}
    assert theirs.number != ours.number


def test_what_a_partner_subscribed_while_it_was_removed_is_removed_too(desk: Desk) -> None:
    bench = desk.bench
    partner = bench.run(desk.access.create_partner(bench.world, name="p"))
    late = replace(bench.subscribe(), owner=partner.id, version=2)

    class Records(AccessRecords):
        async def remove_partner(self, world: World, partner_id: str) -> bool:
            await bench.subscriptions.write(world, late, new=False)
            return await super().remove_partner(world, partner_id)

    bench.run(replace(desk.access, records=Records(bench.store)).delete_partner(bench.world, partner.id))

    assert bench.run(bench.subscriptions.fresh(bench.world)).by_number == {}


def test_a_partner_that_is_removed_takes_all_its_keys_along_however_many_there_are(desk: Desk) -> None:
    bench = desk.bench
    partner = bench.run(desk.access.create_partner(bench.world, name="p"))
    texts = [desk.create(partner_id=partner.id)[1] for _ in range(2)]
    desk.now_ms += 1  # keys are listed newest first: theirs are the last
    kept = [desk.create()[0] for _ in range(150)]

    bench.run(desk.access.delete_partner(bench.world, partner.id))

    for text in texts:
        with pytest.raises(NotAuthenticated):
            desk.sign_in(text)
    assert len(bench.run(desk.access.keys(bench.world, after=None, limit=1000)).items) == len(kept)


def test_a_partner_of_one_mode_is_none_of_the_other(desk: Desk) -> None:
    """Nobody in the other mode lists it, makes it a key or removes it, and its keys go on working."""
    bench, other = desk.bench, replace(desk.bench.world, mode=Mode.TEST)
    partner = bench.run(desk.access.create_partner(bench.world, name="p"))
    _, text = desk.create(partner_id=partner.id)

    assert bench.run(desk.access.partners(other, after=None, limit=9)).items == []
    with pytest.raises(NotFound):
        bench.run(desk.access.delete_partner(other, partner.id))
    with pytest.raises(InvalidField):
        bench.run(desk.access.create_key(other, scopes=READ, label="", partner_id=partner.id, expires_ms=None))

    assert desk.sign_in(text)


def test_a_key_for_a_partner_that_does_not_exist_is_refused(desk: Desk) -> None:
    with pytest.raises(InvalidField):
        desk.create(partner_id="prt_none")


@pytest.mark.parametrize("text", ["t" * 101, "a\x1b[31mb", "a\nb"], ids=ascii)
def test_no_key_partner_or_tenant_has_a_name_that_cannot_be_read(desk: Desk, text: str) -> None:
    """Whoever makes it: the API, the command line, or what comes next."""
    bench = desk.bench
    key = desk.access.create_key(bench.world, scopes=READ, label=text, partner_id=None, expires_ms=None)

    with pytest.raises(InvalidField, match="label: must be 0 to 100 characters"):
        bench.run(key)
    with pytest.raises(InvalidField, match="name: must be 1 to 100 characters"):
        bench.run(desk.access.create_partner(bench.world, name=text))
    with pytest.raises(InvalidField, match="tenant: must be 1 to 100 characters"):
        bench.new_world(text)
