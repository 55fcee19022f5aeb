"""`vouchpost listen` as a real process, against a gateway that takes its subscription and pushes to it."""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from http.client import HTTPConnection, HTTPException
from typing import Any
from urllib.parse import urlsplit

import pytest

from tests.consumers.deliveries import SECRET, event, headers
from tests.consumers.served import Handler, ServedGateway, serving
from vouchpost_gateway.api.problems import problem
from vouchpost_gateway.domain.errors import InvalidField
from vouchpost_gateway.domain.url import UrlPolicy, parse_url
from vouchpost_gateway.embedded.ports import free_port


class Gateway(ServedGateway):
    """Takes a subscription and its removal, and remembers both."""

    def __init__(self) -> None:
        super().__init__(_Subscriptions)
        self.asked: list[tuple[str, str, dict[str, Any]]] = []
        self.has: list[dict[str, Any]] = []


class _Subscriptions(Handler):
    server: Gateway

    def do_POST(self) -> None:  # noqa: N802 -- http.server names it
        content = self.content()
        try:
            parse_url(content["url"], policy=UrlPolicy(allow_loopback_http=True))
        except InvalidField as error:
            refusal = problem(error)
            self.answer(refusal.status, refusal.body)
            return
        self.server.asked.append(("POST", self.path, content))
        self.answer(201, json.dumps({"id": "sub_1", "secret": SECRET}).encode())

    def do_GET(self) -> None:  # noqa: N802 -- http.server names it
        self.answer(200, json.dumps({"items": self.server.has, "next_cursor": None}).encode())

    def do_DELETE(self) -> None:  # noqa: N802 -- http.server names it
        self.server.asked.append(("DELETE", self.path, {}))
        self.answer(204, b"")


@pytest.fixture
def gateway() -> Iterator[Gateway]:
    with serving(Gateway()) as server:
        yield server


def listen(*options: str) -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "vouchpost", "listen", "--port", "0", *options]
    environment = {**os.environ, "COLUMNS": "200", "PYTHONUNBUFFERED": "1"}
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, env=environment)


def url_of(process: "subprocess.Popen[str]") -> str:
    assert process.stdout is not None
    line = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+/", line)
    assert found, line
    return found[0]


def push(url: str, body: bytes, named: dict[str, str]) -> int:
    connection = HTTPConnection(urlsplit(url).netloc, timeout=5)
    connection.request("POST", "/", body=body, headers=named)
    status = connection.getresponse().status
    connection.close()
    return status


@pytest.mark.parametrize("end", [signal.SIGINT, signal.SIGTERM])
def test_it_subscribes_prints_what_is_pushed_and_unsubscribes(gateway: Gateway, end: signal.Signals) -> None:
    process = listen("--subscribe", "--url", gateway.url, "--key", "vp_test_1")
    url, body = url_of(process), event(data={"status": "risky", "subject_id": "ann \x1b[31m red"})

    status = push(url, body, headers(body, at=int(time.time())))
    forged = push(url, body, headers(body, at=int(time.time())) | {"webhook-signature": "v1,AAAA"})
    process.send_signal(end)
    printed, _ = process.communicate(timeout=10)

    assert (status, forged, process.returncode) == (200, 400, 0)
    assert gateway.asked[0] == ("POST", "/v1/subscriptions", gateway.asked[0][2])
    assert gateway.asked[0][2]["url"] == url
    assert gateway.asked[-1][:2] == ("DELETE", "/v1/subscriptions/sub_1")
    assert "verification.completed evt_1 risky" in printed
    assert '"verification_id": "vrf_1"' in printed
    assert "refused no_matching_signature" in printed
    assert "\x1b[31m" not in printed
    assert SECRET not in printed


def test_what_an_earlier_one_left_behind_on_this_port_is_removed(gateway: Gateway) -> None:
    port = free_port()
    here, ours = f"http://127.0.0.1:{port}/", "vouchpost listen"
    gateway.has = [
        {"id": "sub_left", "url": here, "description": ours},
        {"id": "sub_elsewhere", "url": "http://127.0.0.1:1/", "description": ours},
        {"id": "sub_of_somebody", "url": here, "description": "crm"},
    ]

    process = listen("--subscribe", "--url", gateway.url, "--key", "vp_test_1", "--port", str(port))
    url_of(process)
    process.send_signal(signal.SIGTERM)
    process.communicate(timeout=10)

    removed = [path.rpartition("/")[2] for method, path, _ in gateway.asked if method == "DELETE"]
    assert removed == ["sub_left", "sub_1"]


def test_a_host_that_no_subscription_can_name_is_said_once_and_what_to_do(gateway: Gateway) -> None:
    process = listen("--subscribe", "--url", gateway.url, "--key", "vp_test_1", "--host", "0.0.0.0")
    printed, _ = process.communicate(timeout=20)

    assert process.returncode == 1
    assert printed.startswith("422 Fields are not acceptable · url: must start with https://, or http:// to this mach")
    assert printed.count("must start with") == 1
    assert "leave --host out" in printed


def test_a_subscription_that_cannot_be_removed_is_named() -> None:
    with serving(Gateway()) as gateway:
        process = listen("--subscribe", "--url", gateway.url, "--key", "vp_test_1")
        url_of(process)
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=20)

    assert process.returncode == 1
    assert "subscription sub_1 could not be removed: " in printed
    assert "Traceback" not in printed


def test_it_ends_when_nobody_reads_what_it_prints(gateway: Gateway) -> None:
    """As `vouchpost listen | head` does; its subscription goes too."""
    process = listen("--subscribe", "--url", gateway.url, "--key", "vp_test_1")
    url, body = url_of(process), event()
    assert process.stdout is not None
    process.stdout.close()

    with suppress(OSError, HTTPException):
        push(url, body, headers(body, at=int(time.time())))

    assert process.wait(timeout=10) == 0
    assert gateway.asked[-1][:2] == ("DELETE", "/v1/subscriptions/sub_1")


def test_with_a_secret_of_its_own_it_needs_no_gateway() -> None:
    process = listen("--secret", SECRET)
    body = event()

    status = push(url_of(process), body, headers(body, at=int(time.time())))
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)

    assert status == 200
    assert "evt_1" in printed


def test_an_authentic_verdict_that_cannot_be_read_is_refused_as_by_a_receiver() -> None:
    process = listen("--secret", SECRET)
    url, now = url_of(process), int(time.time())
    unreadable, good = event(data={"sequence": "x"}), event()

    statuses = [push(url, body, headers(body, at=now)) for body in (unreadable, good)]
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)

    assert statuses == [400, 200]
    assert "refused not_an_event data.sequence is not a whole number" in printed


def test_verified_events_of_a_type_are_passed_on_as_they_came_and_the_answer_comes_back() -> None:
    """Forwarded to another `listen`, which verifies the same signature once more."""
    behind = listen("--secret", SECRET)
    process = listen("--secret", SECRET, "--forward", url_of(behind), "--type", "verification.completed", "--raw")
    url, now = url_of(process), int(time.time())
    wanted, other = event(), event(event_id="evt_2", kind="batch.completed")

    statuses = [push(url, wanted, headers(wanted, at=now)), push(url, other, headers(other, event_id="evt_2", at=now))]
    statuses.append(push(url, b"forged \x1b[31m", headers(wanted, at=now)))
    behind.send_signal(signal.SIGINT)
    forwarded, _ = behind.communicate(timeout=10)
    statuses.append(push(url, wanted, headers(wanted, at=now)))
    process.send_signal(signal.SIGINT)
    printed, _ = process.communicate(timeout=10)

    assert statuses == [200, 200, 400, 502]
    assert "verification.completed evt_1" in forwarded
    assert "evt_2" not in printed + forwarded
    assert "forwarded: 200" in printed
    assert "forged" in printed
    assert "secret is most likely another one" in printed
    assert printed.count("webhook-signature: v1,") == 3  # each request as it came, accepted or not
    assert "\x1b[31m" not in printed


def test_a_port_that_is_taken_is_said_and_how_to_choose_another() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        process = listen("--secret", SECRET, "--port", str(port))
        printed, _ = process.communicate(timeout=30)

    assert process.returncode == 1
    assert printed.startswith(f"cannot listen on 127.0.0.1:{port}: ")
    assert "--port" in printed


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ((), "--subscribe"),
        (("--secret", "whsec_short"), "24 to 64 bytes"),
        (
            ("--subscribe", "--key", "vp_test_1", "--url", "http://127.0.0.1:9"),
            "Cannot reach http://127.0.0.1:9: connection refused. Is `vouchpost up`",
        ),
        (("--subscribe",), "VOUCHPOST_API_KEY"),
        (("--secret", SECRET, "--type", "verification.complete"), "verification.completed"),
        (("--secret", SECRET, "--forward", "nope"), "http://"),
    ],
)
def test_what_is_missing_is_said(options: tuple[str, ...], says: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("VOUCHPOST_API_KEY", raising=False)
    process = listen(*options)

    printed, _ = process.communicate(timeout=30)

    assert process.returncode in {1, 2}
    assert says in printed
