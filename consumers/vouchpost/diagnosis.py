"""Why a signature does not match: a guess for whoever looks at refused requests. It decides nothing.

A receiver never does this: what it is given must match as it came.
"""

import json
from collections.abc import Iterator, Mapping

from vouchpost.errors import MessageError, SignatureError
from vouchpost.signature import SIGNATURE_HEADER, Headers, Verifier


def guess(verifier: Verifier, *, headers: Headers, body: bytes) -> str:
    """One sentence, for a request of which it is known that no signature matches."""
    for what, other in _as_it_may_have_been(body):
        if other != body and _matches(verifier, headers, other):
            return f"It would match {what}: something on the way changes the body."
    if not _has_our_version(headers):
        return f"No entry of {SIGNATURE_HEADER} begins with `v1,`: this was signed in another way."
    return "It matches no common change of the body, so the secret is most likely another one."


def _as_it_may_have_been(body: bytes) -> Iterator[tuple[str, bytes]]:
    yield "without the white space around the body", body.strip()
    yield "with a line feed at the end of the body", body + b"\n"
    yield "with line feeds instead of carriage returns", body.replace(b"\r\n", b"\n")
    try:
        content = json.loads(body)
    except (ValueError, RecursionError):
        return
    for spaces, separators in (("without", (",", ":")), ("with", (", ", ": "))):
        text = json.dumps(content, separators=separators, ensure_ascii=False)
        yield f"as JSON {spaces} spaces", text.encode("utf-8", "replace")
        yield f"as JSON {spaces} spaces, in ASCII", json.dumps(content, separators=separators).encode()


def _matches(verifier: Verifier, headers: Headers, body: bytes) -> bool:
    try:
        verifier.authenticate(headers=headers, body=body)
    except (SignatureError, MessageError):
        return False
    return True


def _has_our_version(headers: Headers) -> bool:
    pairs = headers.items() if isinstance(headers, Mapping) else headers
    entries = [entry for name, value in pairs if name.lower() == SIGNATURE_HEADER for entry in value.split(" ")]
    return any(entry.startswith("v1,") for entry in entries)
