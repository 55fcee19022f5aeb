import pytest
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.ledger.seal import CannotOpen, MasterKeys, TenantSeal

OLD, NEW, OTHER = (bytes([number]) * 32 for number in (1, 2, 3))


def _seal(tenant_id: str = "0001", key: bytes = b"k" * 32) -> TenantSeal:
    return TenantSeal(tenant_id, key)


def test_what_was_sealed_opens_in_its_place() -> None:
    blob = _seal().seal("a@example.com", kind="address", owner="stem")

    assert _seal().open(blob, kind="address", owner="stem") == b"a@example.com"
    assert b"example" not in blob


@pytest.mark.parametrize(
    ("tenant", "kind", "owner"),
    [("0002", "address", "stem"), ("0001", "normalised", "stem"), ("0001", "address", "other")],
    ids=["tenant", "kind", "owner"],
)
def test_nothing_opens_in_another_place(tenant: str, kind: str, owner: str) -> None:
    blob = _seal().seal("a@example.com", kind="address", owner="stem")

    with pytest.raises(CannotOpen):
        _seal(tenant).open(blob, kind=kind, owner=owner)


def test_another_data_key_opens_nothing() -> None:
    blob = _seal().seal("a", kind="address", owner="stem")

    with pytest.raises(CannotOpen):
        _seal(key=b"x" * 32).open(blob, kind="address", owner="stem")


def test_a_blob_that_was_changed_does_not_open() -> None:
    blob = _seal().seal("a@example.com", kind="address", owner="stem")

    for at in range(len(blob)):
        with pytest.raises(CannotOpen):
            _seal().open(blob[:at] + bytes([blob[at] ^ 1]) + blob[at + 1 :], kind="address", owner="stem")


@pytest.mark.parametrize("length", range(30))
def test_a_blob_that_was_cut_short_does_not_open(length: int) -> None:
    blob = _seal().seal("", kind="address", owner="stem")

    with pytest.raises(CannotOpen):
        _seal().open(blob[: min(length, len(blob) - 1)], kind="address", owner="stem")


def test_the_same_text_is_never_sealed_the_same_way() -> None:
    blobs = {_seal().seal("a", kind="address", owner="stem") for _ in range(50)}

    assert len(blobs) == 50


def test_master_keys_rotate_without_losing_what_the_old_one_sealed() -> None:
    old = MasterKeys([OLD]).new_data_key("0001")
    both = MasterKeys([NEW, OLD])
    blob = MasterKeys([OLD]).open_data_key("0001", old).seal("a", kind="address", owner="s")

    assert both.open_data_key("0001", old).open(blob, kind="address", owner="s") == b"a"

    new = both.new_data_key("0002")
    assert MasterKeys([NEW]).open_data_key("0002", new)
    with pytest.raises(CannotOpen):
        MasterKeys([NEW]).open_data_key("0001", old)


def test_a_data_key_opens_for_its_own_tenant_only() -> None:
    sealed = MasterKeys([OLD]).new_data_key("0001")

    with pytest.raises(CannotOpen):
        MasterKeys([OLD]).open_data_key("0002", sealed)


def test_data_keys_are_sealed_by_the_scheme_that_is_written_down() -> None:
    """Format byte, 12 bytes of nonce, AES-256-GCM with tenant and kind as associated data: told by `cryptography`."""
    sealed = MasterKeys([OLD]).new_data_key("0001")

    assert sealed[:1] == b"\x01"
    assert len(AESGCM(OLD).decrypt(sealed[1:13], sealed[13:], b"0001|data-key")) == 32


@pytest.mark.parametrize("keys", [[], [b""], [b"x" * 31], [OLD, b"x" * 33]])
def test_master_keys_are_32_bytes(keys: list[bytes]) -> None:
    with pytest.raises(Misconfigured) as told:
        MasterKeys(keys)

    assert "VOUCHPOST_MASTER_KEYS" in str(told.value)


def test_hashes_differ_by_tenant_key_purpose_and_by_where_their_parts_end() -> None:
    seal = _seal()
    digests = [
        seal.digest("body", b"ab", b"c"),
        seal.digest("body", b"a", b"bc"),
        seal.digest("body", b"abc"),
        seal.digest("idempotency", b"abc"),
        _seal(key=OTHER).digest("body", b"abc"),
    ]

    assert len(set(digests)) == len(digests)
    assert seal.email_hash("abc") != _seal(key=OTHER).email_hash("abc")
