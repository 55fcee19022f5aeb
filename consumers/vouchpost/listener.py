"""A small HTTP server that hands verified messages to a function. For looking at events, not for production."""

import socket
from collections.abc import Callable, Sequence
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from ipaddress import ip_address
from typing import Any

from vouchpost.answer import Answer, refused
from vouchpost.errors import BodyTooLargeError, VouchpostError
from vouchpost.message import Message
from vouchpost.signature import Verifier

RECEIVED = Answer(HTTPStatus.OK, "received", b'{"outcome": "received"}', (("content-type", "application/json"),))

Pairs = Sequence[tuple[str, str]]


class Listener:
    """Bound as soon as it is made, so that nothing sent before `serve` is lost."""

    def __init__(self, *, host: str, port: int) -> None:
        server = _ServerOfIPv6 if ":" in host else ThreadingHTTPServer
        self._server = server((host, port), _Handler)
        self._server.daemon_threads = True

    @property
    def url(self) -> str:
        host, port = self._server.server_address[:2]
        return f"http://[{host!s}]:{port}/" if ":" in str(host) else f"http://{host!s}:{port}/"

    @property
    def is_local(self) -> bool:
        """Whether it listens on this machine's own address, the only one that plain HTTP is pushed to."""
        return ip_address(str(self._server.server_address[0])).is_loopback

    def serve(
        self,
        verifier: Verifier,
        *,
        seen: Callable[[Message, Pairs], Answer],
        failed: Callable[[VouchpostError, Pairs, bytes], None],
    ) -> None:
        """Answers until it is interrupted: what `seen` says, or that the request was refused, by `seen` too."""

        def answer(headers: list[tuple[str, str]], body: bytes | None) -> Answer:
            try:
                if body is None:
                    raise BodyTooLargeError
                return seen(verifier.verify(headers=headers, body=body), headers)
            except VouchpostError as error:
                failed(error, headers, body or b"")
                return refused(error)

        self._server.answer = answer  # type: ignore[attr-defined] # how http.server hands things to its handlers
        self._server.body_limit = verifier.body_limit  # type: ignore[attr-defined]
        self._server.serve_forever(poll_interval=0.1)

    def stop(self) -> None:
        """Ends `serve`, from another thread."""
        self._server.shutdown()

    def close(self) -> None:
        self._server.server_close()


class _ServerOfIPv6(ThreadingHTTPServer):
    address_family = socket.AF_INET6


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    timeout = 10
    server: Any

    def do_POST(self) -> None:
        length = self.headers.get("content-length", "")
        if not (length.isascii() and length.isdigit() and len(length) < 10):
            self.close_connection = True
            self.send_error(HTTPStatus.LENGTH_REQUIRED)
            return
        too_large = int(length) > self.server.body_limit
        self.close_connection = too_large
        self._write(self.server.answer(self.headers.items(), None if too_large else self.rfile.read(int(length))))

    def _write(self, answer: Answer) -> None:
        self.send_response(answer.status)
        for name, value in answer.headers:
            self.send_header(name, value)
        self.send_header("content-length", str(len(answer.body)))
        self.end_headers()
        self.wfile.write(answer.body)

    def log_message(self, *_: object) -> None:
        """Lines are printed by what listens, not by what serves."""
