import http.client
import json
import logging
import os
import pty
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import given
from hypothesis import strategies as st

from vouchpost_gateway.logs import LogSink, address_key, redacted, set_up
from vouchpost_gateway.setting_types import LogFormat, LogLevel

KEY = b"k" * 32
SERVER = """
import structlog, sys, uvicorn
from vouchpost_gateway.logs import set_up
from vouchpost_gateway.setting_types import LogFormat, LogLevel
set_up(level=LogLevel.INFO, form=LogFormat.JSON, role="api", address_key=b"k" * 32)
log = structlog.get_logger()
async def app(scope, receive, send):
    if scope["type"] == "http":
        log.info("request.answered", filler="x" * 10_000)
        await send({"type": "http.response.start", "status": 204, "headers": []})
        await send({"type": "http.response.body"})
uvicorn.run(app, fd=int(sys.argv[1]), log_config=None, access_log=False, lifespan="off")
"""


def drain(sink: LogSink, reading: int, writing: int) -> list[bytes]:
    """All that the sink still had to write."""
    received: list[bytes] = []
    with os.fdopen(reading, "rb") as pipe:
        reader = threading.Thread(target=lambda: received.extend(pipe))
        reader.start()
        sink.close(limit_s=10)
        os.close(writing)
        reader.join()
    return received


class Reader:
    """Set-up logging and what came out of it."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.sink = LogSink(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600))

    def set_up(self, *, level: LogLevel = LogLevel.INFO, form: LogFormat = LogFormat.JSON) -> None:
        set_up(level=level, form=form, role="deliver", address_key=KEY, sink=self.sink)

    def text(self) -> str:
        self.sink.close()
        return self._path.read_text()

    def lines(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.text().splitlines()]


@pytest.fixture
def reader(tmp_path: Path) -> Iterator[Reader]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield Reader(tmp_path / "log")
    structlog.reset_defaults()
    logging.captureWarnings(capture=False)
    root.handlers[:] = handlers
    root.setLevel(level)


def test_a_line_is_json_with_a_constant_event_a_time_and_a_role(reader: Reader) -> None:
    reader.set_up()

    structlog.get_logger().info("delivery.attempted", delivery="dlv_1", attempt=2)

    [line] = reader.lines()
    assert line.pop("timestamp").endswith("Z")
    assert line == {
        "event": "delivery.attempted",
        "level": "info",
        "role": "deliver",
        "delivery": "dlv_1",
        "attempt": 2,
    }


def test_lines_below_the_level_are_not_written(reader: Reader) -> None:
    reader.set_up(level=LogLevel.WARNING)

    structlog.get_logger().info("delivery.attempted")
    structlog.get_logger().warning("lane.poisoned")

    assert [line["event"] for line in reader.lines()] == ["lane.poisoned"]


def test_an_address_is_written_as_a_keyed_hash(reader: Reader) -> None:
    reader.set_up()

    structlog.get_logger().info("verification.committed", address="alice@example.org")

    # printf alice@example.org | openssl dgst -sha256 -hmac kkkkkkkkkkkkkkkkkkkkkkkkkkkkkkkk
    assert reader.lines()[0]["address_hash"] == "9d7bae9f0f472a91"
    assert "alice" not in reader.text()


def test_all_processes_with_one_master_key_hash_alike() -> None:
    assert address_key(b"m" * 32) == address_key(b"m" * 32) != address_key(b"n" * 32)


def test_an_error_is_written_without_its_message(reader: Reader) -> None:
    reader.set_up()

    try:
        try:
            int("alice's secret")
        except ValueError as error:
            raise RuntimeError("alice's secret") from error
    except RuntimeError:
        structlog.get_logger().exception("attempt.failed")

    [line] = reader.lines()
    assert line["error"] == "RuntimeError < ValueError"
    assert line["trace"][-1].startswith("test_logs.py:")
    assert "alice" not in reader.text()


def test_what_dependencies_log_comes_out_alike_and_without_addresses(reader: Reader) -> None:
    reader.set_up()

    logging.getLogger("asyncio").error("Task exception was never retrieved: %r", ValueError("bob@example.org"))

    [line] = reader.lines()
    assert line["event"] == "Task exception was never retrieved: ValueError('[redacted]')"
    assert (line["level"], line["role"]) == ("error", "deliver")


def test_job_arguments_are_not_logged(reader: Reader) -> None:
    """They may be private, and arq logs them at INFO."""
    reader.set_up(level=LogLevel.DEBUG)

    logging.getLogger("arq.worker").info("%6.2fs → %s(%s)", 0.1, "drain", "an argument")

    assert reader.lines() == []


def test_a_line_that_cannot_be_formatted_costs_only_itself(reader: Reader) -> None:
    reader.set_up()

    logging.getLogger("elsewhere").warning("%d", "not a number")

    assert [line["event"] for line in reader.lines()] == ["log.line_unreadable"]


@pytest.mark.usefixtures("reader")
@pytest.mark.parametrize(("no_color", "coloured"), [("", True), ("1", False)])
def test_a_terminal_has_colours_unless_there_should_be_none(
    monkeypatch: pytest.MonkeyPatch, no_color: str, *, coloured: bool
) -> None:
    """https://no-color.org: set, and not empty."""
    monkeypatch.setenv("NO_COLOR", no_color)
    ours, terminal = pty.openpty()

    sink = set_up(level=LogLevel.INFO, form=LogFormat.CONSOLE, role="up", address_key=KEY, descriptor=terminal)
    structlog.get_logger().info("child.ready")
    sink.close()

    shown = os.read(ours, 10_000)
    for descriptor in (ours, terminal):
        os.close(descriptor)
    assert b"child.ready" in shown
    assert (b"\x1b[" in shown) is coloured


def test_a_console_shows_the_same_without_private_data(reader: Reader) -> None:
    reader.set_up(form=LogFormat.CONSOLE)

    structlog.get_logger().info("verification.committed", address="alice@example.org", note="to bob@example.org")

    assert "verification.committed" in reader.text()
    assert "example.org" not in reader.text()


@pytest.mark.parametrize(
    ("line", "left"),
    [
        ("to alice@example.org now", "to [redacted] now"),
        ("<ünï@exämple.org>", "<[redacted]>"),
        ("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "[redacted]"),
        ("Bearer vp_live_07abcdefghjkmn_" + "s" * 43, "Bearer [redacted]"),
        ("v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=", "[redacted]"),
        ("redis://:hunter2@db:6379/0", "redis://:[redacted]:6379/0"),
        ("vp_live_07abcdefghjkmn created, v1, at 3", "vp_live_07abcdefghjkmn created, v1, at 3"),
    ],
)
def test_what_is_private_is_struck_out(line: str, left: str) -> None:
    assert redacted(line.encode()).decode() == left


@given(st.lists(st.sampled_from(["@", '"', "\\", "\n", "é", "\ud800", "a", "\x00", " ", "v1,", "x@y", "{"])))
def test_a_line_stays_json_whatever_is_struck_out(parts: list[str]) -> None:
    line = json.dumps({"event": "".join(parts)}, ensure_ascii=False).encode(errors="backslashreplace")

    assert list(json.loads(redacted(line))) == ["event"]


@pytest.mark.parametrize("line", [b"a" * 50_000 + b" @", b"\\a" * 25_000 + b"@", b"whsec_-" * 7_000, b"a@" * 25_000])
def test_a_line_made_to_take_time_takes_none(line: bytes) -> None:
    started = time.perf_counter()
    redacted(line)

    assert time.perf_counter() - started < 0.2


def test_nobody_waits_for_a_pipe_that_is_not_read() -> None:
    """A pipe holds 64 KiB; past that and the queue, lines are dropped and counted, and later the count is told."""
    reading, writing = os.pipe()
    sink = LogSink(writing, capacity_lines=100)
    lines = [json.dumps({"number": number, "filler": "x" * 1000}).encode() for number in range(5000)]

    started = time.monotonic()
    for line in lines:
        sink.write(line)
    took = time.monotonic() - started

    assert took < 2
    assert 5000 - 100 - 65 - 10 < sink.dropped < 5000

    received = drain(sink, reading, writing)
    told = [json.loads(line) for line in received if b"log.lines_dropped" in line]
    assert told[-1]["total"] == sink.dropped
    assert len(received) - len(told) == 5000 - sink.dropped


def test_a_reader_that_is_gone_costs_lines_only() -> None:
    reading, writing = os.pipe()
    os.close(reading)
    sink = LogSink(writing, capacity_lines=10)

    sink.write(b"{}")
    sink.close(limit_s=5)

    os.close(writing)
    assert sink.dropped >= 1


def test_closing_does_not_wait_for_a_pipe_that_is_not_read() -> None:
    reading, writing = os.pipe()
    sink = LogSink(writing, capacity_lines=2)
    for _ in range(4):
        sink.write(b"x" * 100_000)

    started = time.monotonic()
    sink.close(limit_s=0.1)

    assert time.monotonic() - started < 1
    drain(sink, reading, writing)


def test_a_server_whose_stderr_is_a_full_unread_pipe_goes_on_answering() -> None:
    """Without a queue it freezes at the first line past 64 KiB, for ever."""
    with socket.create_server(("127.0.0.1", 0)) as listening:
        listening.set_inheritable(True)
        server = subprocess.Popen(
            [sys.executable, "-c", SERVER, str(listening.fileno())],
            stderr=subprocess.PIPE,
            pass_fds=[listening.fileno()],
        )
        try:
            connection = http.client.HTTPConnection("127.0.0.1", listening.getsockname()[1], timeout=10)
            for _ in range(200):
                connection.request("GET", "/")
                assert connection.getresponse().read() == b""
            connection.close()
        finally:
            server.kill()
            server.communicate()
