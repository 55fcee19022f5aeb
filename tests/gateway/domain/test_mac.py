import hmac

import pytest
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.domain.mac import Mac

# RFC 4231, section 4: test cases 1, 2, 6 and 7 for HMAC-SHA-256.
PUBLISHED = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (b"Jefe", b"what do ya want for nothing?", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    (
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54",
    ),
    (
        b"\xaa" * 131,
        (
            b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to "
            b"be hashed before being used by the HMAC algorithm."
        ),
        "9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2",
    ),
]


@pytest.mark.parametrize(("key", "message", "code"), PUBLISHED)
def test_published_codes(key: bytes, message: bytes, code: str) -> None:
    assert Mac(key).digest(message).hex() == code


@given(key=st.binary(max_size=200), messages=st.lists(st.binary(max_size=300), min_size=1, max_size=3))
def test_every_code_is_the_standard_librarys(key: bytes, messages: list[bytes]) -> None:
    mac = Mac(key)

    assert [mac.digest(message) for message in messages] == [hmac.digest(key, one, "sha256") for one in messages]
