"""What is drawn: the same for the same draw, and nothing else like it."""

from hashlib import shake_256

from vouchpost_gateway.domain.draw import Draw

DRAW = Draw(1_795_341_600_000, bytes(range(32)))


def test_the_same_draw_gives_the_same_and_another_purpose_or_seed_gives_another() -> None:
    again, other = Draw(0, DRAW.seed), Draw(DRAW.now_ms, bytes(32))

    assert DRAW.octets("secret", 32) == again.octets("secret", 32)
    assert len({DRAW.octets("secret", 32), DRAW.octets("id", 32), other.octets("secret", 32)}) == 3
    assert DRAW.octets("secret", 32) == shake_256(bytes(range(32)) + b"secret").digest(32)


def test_bits_are_eighty_of_them() -> None:
    widths = {Draw(0, bytes([number]) * 32).bits("id").bit_length() for number in range(200)}

    assert max(widths) == 80
    assert min(widths) > 60


def test_the_seed_never_shows() -> None:
    assert DRAW.seed.hex() not in repr(DRAW)
    assert repr(DRAW.seed) not in repr(DRAW)
