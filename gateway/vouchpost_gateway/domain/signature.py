"""The signature of one attempt, as Standard Webhooks 1.0 writes it: HMAC-SHA256 over `id.timestamp.body`."""

import base64
from collections.abc import Iterable
from functools import lru_cache

from vouchpost_gateway.domain.mac import Mac

ID_HEADER = "webhook-id"
TIMESTAMP_HEADER = "webhook-timestamp"
SIGNATURE_HEADER = "webhook-signature"


def sign(*, key: bytes, event_id: str, timestamp_s: int, body: bytes) -> str:
    """One `v1,<base64>` element."""
    content = b"%b.%d.%b" % (event_id.encode("ascii"), timestamp_s, body)
    return "v1," + base64.b64encode(_mac(key).digest(content)).decode("ascii")


_mac = lru_cache(1024)(Mac)


def signature_header(*, keys: Iterable[bytes], event_id: str, timestamp_s: int, body: bytes) -> str:
    """One element per live secret, the newest first, separated by spaces."""
    return " ".join(sign(key=key, event_id=event_id, timestamp_s=timestamp_s, body=body) for key in keys)
