"""The few request headers that this API reads, picked out in one pass."""

import re
from collections.abc import Iterable

from vouchpost_gateway.api.refusals import MalformedRequest
from vouchpost_gateway.domain.errors import NotAuthenticated
from vouchpost_gateway.domain.value import value

_MAX_IDEMPOTENCY_KEY = 255
_IDEMPOTENCY_KEY = re.compile(rb"[\x21-\x7e]{1,%d}" % _MAX_IDEMPOTENCY_KEY)


@value(frozen=True, slots=True)
class RequestHeaders:
    """The headers that matter, as bytes; None where absent."""

    authorization: bytes | None = None
    content_type: bytes | None = None
    content_encoding: bytes | None = None
    idempotency: bytes | None = None
    content_length: bytes | None = None

    @property
    def idempotency_key(self) -> str | None:
        """1 to 255 visible ASCII characters; MalformedRequest for anything else that is there."""
        if self.idempotency is None:
            return None
        text = self.idempotency
        if not _IDEMPOTENCY_KEY.fullmatch(text):
            raise MalformedRequest(f"Idempotency-Key must be 1 to {_MAX_IDEMPOTENCY_KEY} visible ASCII characters")
        return text.decode("ascii")


def pick_headers(raw: Iterable[tuple[bytes, bytes]]) -> RequestHeaders:
    """Picks the headers out; one that stands twice is refused, since two readers could choose differently."""
    picked: dict[bytes, bytes] = {}
    for name, text in raw:
        if name in _FIELDS:
            if name in picked:
                raise _given_twice(name)
            picked[name] = text
    return RequestHeaders(*map(picked.get, _FIELDS))


# In the order of the fields of RequestHeaders.
_FIELDS = (b"authorization", b"content-type", b"content-encoding", b"idempotency-key", b"content-length")


def _given_twice(name: bytes) -> MalformedRequest | NotAuthenticated:
    if name == b"authorization":
        return NotAuthenticated()
    return MalformedRequest(f"{name.decode('ascii')} stands twice")
