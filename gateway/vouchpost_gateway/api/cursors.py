"""Where a list goes on: opaque, signed, and good only for the list and the viewer it was given to."""

import base64
import binascii
from hashlib import sha256

from itsdangerous import BadSignature, Signer

from vouchpost_gateway.api.refusals import MalformedCursor

_MAX_LENGTH = 512


class Cursors:
    """Makes and reads cursors; the signature covers the context, so a cursor of another list is no cursor here."""

    def __init__(self, key: bytes) -> None:
        self._key = key

    def make(self, position: str, *, context: str) -> str:
        opaque = base64.urlsafe_b64encode(position.encode()).rstrip(b"=")
        return self._signer(context).sign(opaque).decode("ascii")

    def read(self, cursor: str, *, context: str) -> str:
        """The position inside; MalformedCursor when a single bit, or the context, is another."""
        if len(cursor) > _MAX_LENGTH or not cursor.isascii():
            raise MalformedCursor
        try:
            opaque = self._signer(context).unsign(cursor)
            return base64.urlsafe_b64decode(opaque + b"=" * (-len(opaque) % 4)).decode()
        except (BadSignature, binascii.Error, UnicodeDecodeError) as error:
            raise MalformedCursor from error

    def _signer(self, context: str) -> Signer:
        return Signer(self._key, salt=f"vouchpost.cursor|{context}", key_derivation="hmac", digest_method=sha256)
