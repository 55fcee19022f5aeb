"""People first: no name of any language may be taken for noise. What is noise need not all be found."""

import random
import string

import pytest

from vouchpost_gateway.checks.gibberish import gibberish

SURE = 0.8


@pytest.mark.parametrize(
    "name",
    [
        "jane.doe", "john.smith1984", "krzysztof.brzeczyszczykiewicz", "szczepan.wrzos", "zdzislaw.pchlowski",
        "vlk.strcprst", "smrt.krk", "lechosław", "angharad.rhys", "llywelyn", "nguyen.thi.bich.ngoc", "nguyenvantuan",
        "schwarzschild", "hirschfeldtschmidt", "knechtschwanz", "borschtsch", "wojciechowski",
        "bjorn.strand", "hjartarson", "mmartinez77", "xzhang", "xuxiaoqing", "tsvetkov", "mstislav", "dmitrijs.vdovins",
        "o.connor", "mcdpherson", "d.b.cooper", "jfkennedy1963", "abc123", "r2d2c3po", "user12345678", "qwerty", "asdf",
        "lsmith2b", "4ever21", "h4ck3r", "1987.07.12.anna", "mr.pvp", "phd.student", "crypt", "rhythms", "tsktsk",
        "anna-maria.von-der-heide", "strengths", "witrwmwr", "prof.dr.schmidt", "info", "no-reply", "post",
        "\u0438\u0432\u0430\u043d", "thgttg42", "mrs.hrngr", "christchurch", "lengthwise", "poiuy.jones",
    ],
)  # fmt: skip
def test_a_name_is_not_gibberish(name: str) -> None:
    assert gibberish(name) < SURE


@pytest.mark.parametrize(
    "name",
    ["xkcdqwvtzphg", "asdfghjkl", "qwertyuiopasdf", "zxcvbnmasdf", "a8f3k2x9q1z", "sdfsdfghjkl", "aaaaaaaabcdfghkl"],
)
def test_noise_is_gibberish(name: str) -> None:
    assert gibberish(name) >= SURE


def test_a_good_part_of_random_tokens_is_found() -> None:
    """Tokens as machines make them: twelve letters and digits."""
    source = random.Random(5)
    tokens = ["".join(source.choices(string.ascii_lowercase + string.digits, k=12)) for _ in range(500)]

    assert sum(gibberish(token) >= SURE for token in tokens) > 180


@pytest.mark.parametrize("name", ["", "a", "+", "." * 64, "1" * 64, "\u0660" * 64])
def test_every_input_has_a_probability(name: str) -> None:
    assert 0 <= gibberish(name) <= 1
