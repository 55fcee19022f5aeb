import contextlib
import json
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.api.strict_json import MAX_DEPTH, MalformedJson, parse_object

HOSTILE = {
    "nothing": b"",
    "only space": b" ",
    "not a number": b'{"a":NaN}',
    "infinity": b'{"a":Infinity}',
    "minus infinity": b'{"a":-Infinity}',
    "a float past all floats": b'{"a":1e999}',
    "a name twice": b'{"a":1,"a":2}',
    "a name twice, once escaped": b'{"a":1,"\\u0061":2}',
    "a name twice deep inside": b'{"x":[{"a":1,"a":2}]}',
    "10,000 arrays deep": b'{"a":' + b"[" * 10_000 + b"]" * 10_000 + b"}",
    "10,000 open brackets": b"[" * 10_000,
    "60,000 objects deep": b'{"a":' * 60_000,
    "an integer of 5,000 digits": b'{"a":' + b"9" * 5_000 + b"}",
    "an integer of 20 digits": b'{"a":' + b"9" * 20 + b"}",
    "a high surrogate alone": b'{"a":"\\ud800"}',
    "a low surrogate alone": b'{"a":"\\uDC00"}',
    "a surrogate alone in a name": b'{"\\ud800":1}',
    "a surrogate pair the wrong way round": b'{"a":"\\udc00\\ud800"}',
    "surrogates as raw bytes": b'{"a":"\xed\xa0\x80"}',
    "a byte order mark": b'\xef\xbb\xbf{"a":1}',
    "trailing garbage": b'{"a":1}x',
    "two documents": b'{"a":1}{"b":2}',
    "UTF-16": '{"a":1}'.encode("utf-16"),
    "UTF-16 without its mark": '{"a":1}'.encode("utf-16-le"),
    "UTF-32": '{"a":1}'.encode("utf-32-be"),
    "Latin-1": b'{"a":"\xe9"}',
    "an array": b"[]",
    "a string": b'"a"',
    "null": b"null",
    "a raw newline in a string": b'{"a":"b\nc"}',
    "a raw NUL in a string": b'{"a":"\x00"}',
    "single quotes": b"{'a':1}",
    "a comment": b'{"a":1}//',
    "a trailing comma": b'{"a":1,}',
    "a leading zero": b'{"a":01}',
    "a plus sign": b'{"a":+1}',
    "an open string": b'{"a":"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[',
    "full-width digits": '{"a":\uff11}'.encode(),
}


@pytest.mark.parametrize("body", HOSTILE.values(), ids=HOSTILE)
def test_hostile_json_is_refused_with_our_own_error(body: bytes) -> None:
    with pytest.raises(MalformedJson):
        parse_object(body)


@pytest.mark.parametrize("unit", [b'\\"', b'"', b'"\\', b"\\", b'"[', b"{}", b"[1,"])
def test_a_body_made_to_take_time_takes_none(unit: bytes) -> None:
    body = b"[" * 33 + unit * (65_000 // len(unit))

    started = time.process_time()
    with pytest.raises(MalformedJson):
        parse_object(body)

    assert time.process_time() - started < 0.2


def test_brackets_in_strings_are_no_nesting() -> None:
    text = "[{" * 100 + '\\"'

    assert parse_object(json.dumps({"a": text}).encode()) == {"a": text}


def test_nesting_is_accepted_up_to_the_limit_and_not_beyond() -> None:
    inside = MAX_DEPTH - 1

    assert parse_object(b'{"a":' + b"[" * inside + b"]" * inside + b"}")
    with pytest.raises(MalformedJson):
        parse_object(b'{"a":' + b"[" * MAX_DEPTH + b"]" * MAX_DEPTH + b"}")


def test_a_whole_surrogate_pair_is_one_character() -> None:
    assert parse_object(b'{"a":"\\ud83d\\ude00"}') == {"a": "\N{GRINNING FACE}"}


def test_a_reason_never_quotes_the_body() -> None:
    with pytest.raises(MalformedJson) as caught:
        parse_object(b'{"canary-7f3a@example.com": nope}')

    assert "canary" not in str(caught.value)


VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(10**18), 10**18)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=4),
    max_leaves=8,
)


@given(st.dictionaries(st.text(), VALUES, max_size=5))
def test_every_honest_object_is_read_as_the_standard_library_reads_it(document: dict[str, object]) -> None:
    body = json.dumps(document).encode()

    assert parse_object(body) == json.loads(body)


@given(st.binary(max_size=200) | st.text(alphabet='{}[]":,\\u0d8e+-1nNI', max_size=60).map(str.encode))
def test_no_bytes_lead_to_any_other_error(body: bytes) -> None:
    with contextlib.suppress(MalformedJson):
        assert isinstance(parse_object(body), dict)


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (b"", "it is empty"),
        (b"\xef\xbb\xbf{}", "byte order mark"),
        (b"{}x", "syntax error at character 2"),
    ],
)
def test_what_cannot_be_read_is_said_in_words(body: bytes, reason: str) -> None:
    with pytest.raises(MalformedJson, match=reason):
        parse_object(body)
