"""What the sender is answered: the only place of the kit that knows status codes. No I/O.

2xx is said only when nothing remains to be done. Whatever may be better later is 5xx, so that the sender tries again.
"""

import json
import math
from dataclasses import dataclass
from typing import Final

from vouchpost.errors import (
    BodyTooLargeError,
    ConfigurationError,
    HandlerError,
    InFlightError,
    MessageError,
    SignatureError,
    StoreUnavailableError,
    VouchpostError,
)
from vouchpost.replay import Outcome

_OK: Final = 200
_STATUS: Final[tuple[tuple[type[VouchpostError], int, str], ...]] = (
    (SignatureError, 400, "Bad Request"),
    (BodyTooLargeError, 413, "Content Too Large"),
    (MessageError, 400, "Bad Request"),
    (InFlightError, 503, "Service Unavailable"),
    (StoreUnavailableError, 503, "Service Unavailable"),
    (VouchpostError, 500, "Internal Server Error"),
)


@dataclass(frozen=True, slots=True)
class Answer:
    """A status, headers and a body; `outcome` is what is counted: an outcome, or the reason of an error."""

    status: int
    outcome: str
    body: bytes
    headers: tuple[tuple[str, str], ...]


WRONG_METHOD: Final = Answer(
    405,
    "wrong_method",
    b'{"type": "about:blank", "title": "Method Not Allowed", "status": 405, "reason": "wrong_method"}',
    (("content-type", "application/problem+json"), ("allow", "POST")),
)


def accepted(outcome: Outcome) -> Answer:
    body = json.dumps({"outcome": outcome.value}).encode()
    return Answer(_OK, outcome.value, body, (("content-type", "application/json"),))


def refused(error: VouchpostError) -> Answer:
    """A problem (RFC 9457) that says what to look at, and nothing that the sender did not know."""
    status, title = next((status, title) for kind, status, title in _STATUS if isinstance(error, kind))
    problem = {"type": "about:blank", "title": title, "status": status, "reason": error.reason}
    if not isinstance(error, HandlerError | ConfigurationError):  # what went wrong inside is nobody's business
        problem["detail"] = str(error)
    headers = [("content-type", "application/problem+json")]
    if isinstance(error, InFlightError | StoreUnavailableError):
        headers.append(("retry-after", str(math.ceil(error.retry_after_s))))
    return Answer(status, error.reason, json.dumps(problem).encode(), tuple(headers))
