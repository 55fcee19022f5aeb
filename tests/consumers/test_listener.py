"""The small server behind `vouchpost listen`: verified messages come through, everything else is told why not."""

import socket
import threading
from collections.abc import Iterator
from http.client import HTTPConnection
from urllib.parse import urlsplit

import pytest

from tests.consumers.deliveries import NOW, SECRET, event, headers
from vouchpost import Message, Verifier, VouchpostError
from vouchpost.answer import Answer
from vouchpost.listener import RECEIVED, Listener


class Bench:
    def __init__(self, host: str) -> None:
        self.seen: list[Message] = []
        self.failed: list[VouchpostError] = []
        self.listener = Listener(host=host, port=0)

    def see(self, message: Message, _: object) -> Answer:
        self.seen.append(message)
        return RECEIVED

    def post(self, body: bytes, named: dict[str, str]) -> int:
        connection = HTTPConnection(urlsplit(self.listener.url).netloc, timeout=5)
        connection.request("POST", "/", body=body, headers=named)
        status = connection.getresponse().status
        connection.close()
        return status


@pytest.fixture(params=["127.0.0.1"])
def bench(request: pytest.FixtureRequest) -> Iterator[Bench]:
    made = Bench(request.param)
    verifier = Verifier(SECRET, clock=lambda: NOW)
    serve = threading.Thread(
        target=made.listener.serve,
        args=(verifier,),
        kwargs={"seen": made.see, "failed": lambda error, *_: made.failed.append(error)},
        daemon=True,
    )
    serve.start()
    yield made
    made.listener.stop()
    serve.join(timeout=5)
    made.listener.close()


def test_a_verified_message_comes_through(bench: Bench) -> None:
    body = event()

    assert bench.post(body, headers(body)) == 200
    assert [message.id for message in bench.seen] == ["evt_1"]


def has_ipv6() -> bool:
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
@pytest.mark.parametrize("bench", ["::1"], indirect=True)
def test_an_address_of_ipv6_is_bound_to_and_named_as_urls_do(bench: Bench) -> None:
    body = event()

    assert bench.listener.url.startswith("http://[::1]:")
    assert bench.post(body, headers(body)) == 200


def test_a_failed_signature_is_told_to_both_sides(bench: Bench) -> None:
    body = event()

    assert bench.post(body, headers(body) | {"webhook-signature": "v1,AAAA"}) == 400
    assert [error.reason for error in bench.failed] == ["no_matching_signature"]


@pytest.mark.parametrize(
    ("length", "status"),
    [("99999999", 413), ("-1", 411), ("1e3", 411), ("٣", 411), ("9" * 50, 411), ("", 411)],
)
def test_a_body_is_only_read_when_its_length_is_known_and_small(bench: Bench, length: str, status: int) -> None:
    connection = HTTPConnection(urlsplit(bench.listener.url).netloc, timeout=5)
    connection.putrequest("POST", "/")
    connection.putheader("content-length", length.encode())
    connection.endheaders()

    assert connection.getresponse().status == status
    assert bench.seen == []
    connection.close()
