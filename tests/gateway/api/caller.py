"""A caller of the API without sockets: requests go straight into the ASGI application, answers come back whole."""

import asyncio
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Any

from starlette.types import ASGIApp, Message


@dataclass(frozen=True)
class Response:
    status: int
    headers: Mapping[str, str]
    body: bytes

    def json(self) -> Any:
        return json.loads(self.body)


@dataclass
class Caller:
    """Presents one API key to one application, unless told otherwise."""

    app: ASGIApp
    key: str | None = None

    def get(self, path: str, **options: Any) -> Response:
        return self.request("GET", path, **options)

    def post(self, path: str, document: Any = None, **options: Any) -> Response:
        return self.request("POST", path, document, **options)

    def patch(self, path: str, document: Any = None, **options: Any) -> Response:
        return self.request("PATCH", path, document, **options)

    def delete(self, path: str, **options: Any) -> Response:
        return self.request("DELETE", path, **options)

    def request(self, method: str, path: str, document: Any = None, **options: Any) -> Response:
        return asyncio.run(self.request_async(method, path, document, **options))

    async def request_async(
        self,
        method: str,
        path: str,
        document: Any = None,
        *,
        content: bytes = b"",
        chunks: Iterable[bytes] = (),
        headers: Mapping[str, str] | None = None,
        more_headers: Sequence[tuple[str, str]] = (),
        gone: asyncio.Event | None = None,
    ) -> Response:
        """One request; `gone` is the moment at which the caller closes the connection, before its body ends or after.

        Without it the caller stays for ever.
        """
        body = content if document is None else json.dumps(document).encode()
        named = {"content-type": "application/json"} if body or chunks else {}
        if self.key is not None:
            named["authorization"] = f"Bearer {self.key}"
        named.update(headers or {})
        pairs = [*named.items(), *more_headers]
        return await _exchange(self.app, _scope(method, path, pairs), iter(chunks or [body]), gone)


def _scope(method: str, path: str, headers: Sequence[tuple[str, str]]) -> dict[str, Any]:
    path, _, query = path.partition("?")
    return {
        "type": "http",
        "http_version": "1.1",
        "method": method,
        "path": path,
        "raw_path": path.encode(),
        "root_path": "",
        "scheme": "http",
        "query_string": query.encode(),
        "headers": [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in headers],
    }


async def _exchange(
    app: ASGIApp, scope: dict[str, Any], chunks: Iterator[bytes], gone: asyncio.Event | None
) -> Response:
    sent: list[Message] = []
    ahead = list(islice(chunks, 1))

    async def receive() -> Message:
        if ahead:
            chunk = ahead.pop()
            ahead.extend(islice(chunks, 1))
            cut_short = gone is not None and gone.is_set()
            return {"type": "http.request", "body": chunk, "more_body": bool(ahead) or cut_short}
        await (gone or asyncio.Event()).wait()
        return {"type": "http.disconnect"}

    async def send(message: Message) -> None:
        sent.append(message)

    await app(scope, receive, send)
    if not sent:
        raise ConnectionAbortedError("nobody was answered")
    start, *rest = sent
    headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in start["headers"]}
    return Response(start["status"], headers, b"".join(message.get("body", b"") for message in rest))
