import base64

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.gateway.api.caller import Caller
from vouchpost_gateway.api.cursors import Cursors
from vouchpost_gateway.api.refusals import MalformedCursor

CURSORS = Cursors(b"k" * 32)
CURSOR = CURSORS.make("01hx", context="ten_a/t||/v1/verifications")


def test_a_cursor_is_read_where_it_was_made() -> None:
    assert CURSORS.read(CURSOR, context="ten_a/t||/v1/verifications") == "01hx"


@pytest.mark.parametrize(
    "context",
    [
        "ten_b/t||/v1/verifications",
        "ten_a/l||/v1/verifications",
        "ten_a/t|prt_1|/v1/verifications",
        "ten_a/t||/v1/keys",
    ],
)
def test_a_cursor_is_no_cursor_anywhere_else(context: str) -> None:
    with pytest.raises(MalformedCursor):
        CURSORS.read(CURSOR, context=context)


def test_a_cursor_of_another_key_is_refused() -> None:
    with pytest.raises(MalformedCursor):
        Cursors(b"j" * 32).read(CURSOR, context="ten_a/t||/v1/verifications")


@given(st.integers(0, len(CURSOR) - 1), st.characters())
def test_one_other_character_anywhere_is_refused(position: int, character: str) -> None:
    tampered = CURSOR[:position] + character + CURSOR[position + 1 :]
    if tampered == CURSOR:
        return
    with pytest.raises(MalformedCursor):
        CURSORS.read(tampered, context="ten_a/t||/v1/verifications")


@given(st.text(max_size=600))
def test_no_text_leads_to_any_other_error(text: str) -> None:
    with pytest.raises(MalformedCursor):
        CURSORS.read(text, context="c")


def test_any_position_survives_the_way_out_and_back() -> None:
    for position in ("", "a.b", "\N{SNOWMAN}", "x" * 200):
        assert CURSORS.read(CURSORS.make(position, context="c"), context="c") == position


def test_a_tampered_cursor_is_a_400(caller: Caller) -> None:
    for _ in range(2):
        caller.post("/v1/verifications", {"email": "a@b.org"})
    cursor = caller.get("/v1/verifications?limit=1").json()["next_cursor"]
    position, signature = cursor.split(".")
    forged = base64.urlsafe_b64encode(b"0").decode().rstrip("=")

    for text in (cursor[:-1], position, f"{forged}.{signature}", "", "%00", "%C3%A9", cursor * 10):
        response = caller.get(f"/v1/verifications?cursor={text}")
        assert response.status == 400
        assert response.json()["type"].endswith(":malformed-cursor")
    assert caller.get(f"/v1/keys?cursor={cursor}").status == 400
