"""What the two clients share: how they are set up, what a request of theirs is, and when none was answered."""

import os
import random
import socket
import ssl
import time
import uuid
from collections.abc import Mapping, Sequence
from typing import Any, Final

import httpx

from vouchpost.breaker import Breaker
from vouchpost.conversation import Chances, Conversations, NoReply, Send
from vouchpost.errors import ConfigurationError

DEFAULT_URL: Final = "http://127.0.0.1:8080"
DEFAULT_TOTAL_S: Final = 10.0
ANSWER_LIMIT: Final = 1024 * 1024
_CONNECT_S: Final = 3.0


def conversations(key: str | None, total_s: float, breaker: Breaker | None) -> Conversations:
    found = key or os.environ.get("VOUCHPOST_API_KEY", "")
    if not found:
        raise ConfigurationError("no API key: give key=, or set VOUCHPOST_API_KEY")
    if not (found.isascii() and found.isprintable() and " " not in found):
        raise ConfigurationError("this is not an API key: it has characters that no header takes")
    chances = Chances(monotonic=time.monotonic, uniform=random.random, new_key=lambda: uuid.uuid4().hex)
    return Conversations(key=found, total_s=total_s, chances=chances, breaker=breaker)


def url_of(url: str | None) -> str:
    found = url or os.environ.get("VOUCHPOST_URL") or DEFAULT_URL
    if not is_http_url(found):
        raise ConfigurationError("the gateway's URL begins with http:// or https://: give url=, or set VOUCHPOST_URL")
    return found


def is_http_url(text: str) -> bool:
    try:
        return httpx.URL(text).scheme in {"http", "https"} and bool(httpx.URL(text).host)
    except httpx.InvalidURL:
        return False


def limits() -> httpx.Limits:
    return httpx.Limits(max_connections=100, max_keepalive_connections=20)


def request_of(step: Send) -> dict[str, Any]:
    timeout = httpx.Timeout(step.limit_s, connect=min(_CONNECT_S, step.limit_s))
    return {"headers": dict(step.headers), "content": step.body, "timeout": timeout}


def no_reply(error: httpx.HTTPError) -> NoReply:
    """The name of what happened, not its text: that may hold the URL, and a password in it."""
    if isinstance(error, httpx.ConnectError):
        url = error.request.url.copy_with(userinfo=b"", path="/", query=None, fragment=None)
        return NoReply(f"Cannot reach {str(url).rstrip('/')}: {_why_not(error)}.", is_reached=False)
    return NoReply(f"{type(error).__name__}.")


def _why_not(error: BaseException) -> str:
    """In the system's words, which lie at the bottom of what its callers made of them."""
    while (below := error.__cause__ or error.__context__) is not None:
        error = below
    match error:
        case ssl.SSLCertVerificationError():
            return f"its certificate is not trusted, {error.verify_message}"
        case socket.gaierror():
            return "there is no such host"
        case OSError(errno=int(number)) if not isinstance(error, ssl.SSLError):
            return os.strerror(number).lower()
        case _:
            return type(error).__name__


def submission_of(
    email: str, subject_id: str | None, depth: str | None, priority: str | None, metadata: Mapping[str, str] | None
) -> dict[str, Any]:
    kept = None if metadata is None else dict(metadata)
    return {"email": email, "subject_id": subject_id, "depth": depth, "priority": priority, "metadata": kept}


def subscription_of(
    url: str,
    event_types: Sequence[str],
    description: str,
    include_address: bool,  # noqa: FBT001 - with two callers
) -> dict[str, Any]:
    include = {"include": ["address"]} if include_address else {}
    return {"url": url, "event_types": list(event_types), "description": description, **include}
