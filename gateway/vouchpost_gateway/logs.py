"""One line per outcome, as JSON or for a console. Writing never waits: a reader who is slow, or gone, costs lines.

An address appears only as a keyed hash; what looks like an address, a key, a secret or a signature is struck out,
wherever it came from. Errors are logged by their type and place: their message may quote anything.
"""

import hmac
import json
import logging
import os
import queue
import re
import sys
import threading
import time
import traceback
from datetime import UTC, datetime

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

from vouchpost_gateway.setting_types import LogFormat, LogLevel

CAPACITY_LINES = 10_000

_sinks: list["LogSink"] = []
_FLUSH_LIMIT_S = 1.0
_TELL_DROPS_EVERY_S = 1.0
_GATHER_S = 0.02
_TOGETHER = 100
_FRAMES = 12
# arq logs the arguments of jobs at INFO; the others repeat what our own lines say.
_TOO_TALKATIVE = ("arq", "uvicorn.access", "uvicorn.error", "asyncio")
# Struck out of the finished line, so an escape of JSON counts as one character of an address: what is left stays JSON.
# What could begin an address is taken whole, whether or not it does: trying each of its ends would take time by the
# square.
_ADDRESS = re.compile(
    rb"(?:\\.|[^\s\"'<>(){}\[\]:;,=@\\])+(@[^\s\"'<>(){}\[\]:;,@\\]+)?"  # or the password in a URL
)
_SECRET = re.compile(
    rb"\bwhsec_[A-Za-z0-9+/=_-]+"
    rb"|\bvp_(?:live|test)_[0-9a-z]{14}_[A-Za-z0-9_-]+"
    rb"|\bv1,[A-Za-z0-9+/=]{20,}"
    rb"|(\\.)"  # stepped over whole and kept
)


class LogSink:
    """Writes lines to a file descriptor from a thread of its own; drops and counts what does not fit in the queue."""

    def __init__(self, descriptor: int, *, capacity_lines: int = CAPACITY_LINES) -> None:
        self._descriptor = descriptor
        self._lines: queue.SimpleQueue[bytes | None] = queue.SimpleQueue()
        self._capacity = capacity_lines
        self._dropped = 0
        self._told = 0
        self._closed = threading.Event()
        threading.Thread(target=self._run, name="log-sink", daemon=True).start()

    @property
    def dropped(self) -> int:
        """Lines lost so far: the queue was full, or the write failed."""
        return self._dropped

    def write(self, line: bytes) -> None:
        """Never waits and never raises."""
        if self._lines.qsize() >= self._capacity:
            self._dropped += 1
        else:
            self._lines.put(line)

    def close(self, *, limit_s: float = _FLUSH_LIMIT_S) -> None:
        """Writes what is queued, as far as the reader takes it in time."""
        self._lines.put(None)
        self._closed.wait(limit_s)

    def _run(self) -> None:
        told_at = 0.0
        while (line := self._lines.get()) is not None:
            time.sleep(_GATHER_S)  # lines that come together leave together, and wake this thread once
            last = self._write_gathered(line)
            if last:
                break
            if time.monotonic() - told_at > _TELL_DROPS_EVERY_S:
                self._tell_drops()
                told_at = time.monotonic()
        self._tell_drops()
        self._closed.set()

    def _write_gathered(self, line: bytes) -> bool:
        """Writes this line with those that wait behind it; whether the sink was closed behind them."""
        lines: list[bytes] = [line]
        closed = False
        while not closed and len(lines) < _TOGETHER and not self._lines.empty():
            following = self._lines.get()
            closed = following is None
            if following is not None:
                lines.append(following)
        self._write_out(b"\n".join(lines), count=len(lines))
        return closed

    def _write_out(self, line: bytes, *, count: int = 1) -> None:
        rest = memoryview(line + b"\n")
        try:
            while rest:
                rest = rest[os.write(self._descriptor, rest) :]
        except OSError:  # the reader is gone, or the disk is full
            self._dropped += count

    def _tell_drops(self) -> None:
        dropped = self._dropped
        if dropped > self._told:
            self._write_out(b'{"event": "log.lines_dropped", "level": "warning", "total": %d}' % dropped)
            self._told = dropped


def set_up(
    *, level: LogLevel, form: LogFormat, role: str, address_key: bytes, descriptor: int = 2, sink: LogSink | None = None
) -> LogSink:
    """Sends structlog's lines and the standard library's through one sink; called once per process."""
    sink = sink or LogSink(descriptor)
    _sinks[:] = [sink]
    complete = _completion(role, address_key)
    renderer = _renderer(form, colours=os.isatty(descriptor) and not os.environ.get("NO_COLOR"))
    number = logging.getLevelNamesMapping()[level.value.upper()]
    structlog.configure(
        processors=[complete, renderer],
        wrapper_class=structlog.make_filtering_bound_logger(number),
        logger_factory=lambda *_: _SinkLogger(sink),
        cache_logger_on_first_use=True,
    )
    _take_over_standard_logging(sink, complete, renderer, number)
    return sink


def dropped_lines() -> int:
    """Lines that this process lost, because nobody read them in time."""
    return sum(sink.dropped for sink in _sinks)


def address_key(master_key: bytes) -> bytes:
    """The key of address hashes in logs: all processes with this master key write the same hash for an address."""
    return hmac.digest(master_key, b"vouchpost address hashes in logs", "sha256")


def redacted(line: bytes) -> bytes:
    """The line without anything that looks like an address, key, secret or signature."""
    if b"@" in line:
        line = _ADDRESS.sub(lambda found: b"[redacted]" if found[1] else found[0], line)
    if b"whsec_" in line or b"vp_" in line or b"v1," in line:
        line = _SECRET.sub(lambda found: found[1] or b"[redacted]", line)
    return line


class _SinkLogger:
    """What structlog calls with a finished line."""

    def __init__(self, sink: LogSink) -> None:
        self._sink = sink

    def msg(self, line: str) -> None:
        self._sink.write(redacted(line.encode(errors="backslashreplace")))

    debug = info = warning = error = critical = exception = msg


class _SinkHandler(logging.Handler):
    """What the standard library calls with a record of a dependency."""

    def __init__(self, sink: LogSink) -> None:
        super().__init__()
        self._sink = sink

    def emit(self, record: logging.LogRecord) -> None:
        try:
            self._sink.write(redacted(self.format(record).encode(errors="backslashreplace")))
        except Exception:  # noqa: BLE001  a record that cannot be formatted is a lost line, never a lost request
            self._sink.write(b'{"event": "log.line_unreadable", "level": "warning"}')


def _take_over_standard_logging(sink: LogSink, complete: Processor, renderer: Processor, number: int) -> None:
    handler = _SinkHandler(sink)
    strip = structlog.stdlib.ProcessorFormatter.remove_processors_meta
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[complete], processors=[strip, renderer], keep_exc_info=False, keep_stack_info=False
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(number)
    for name in _TOO_TALKATIVE:
        logging.getLogger(name).setLevel(max(number, logging.WARNING))
    logging.captureWarnings(capture=True)


def _completion(role: str, key: bytes) -> Processor:
    """What every line has beside its own words. One step for all of it: lines are written on the hot path."""

    def complete(_: WrappedLogger, level: str, event: EventDict) -> EventDict:
        event["level"] = level
        event["timestamp"] = f"{datetime.now(UTC).replace(tzinfo=None).isoformat(timespec='microseconds')}Z"
        event["role"] = role
        if (address := event.pop("address", None)) is not None:
            event["address_hash"] = _hash_of(address, key)
        if "exc_info" in event:
            _name_error(event)
        return event

    return complete


def _hash_of(address: object, key: bytes) -> str:
    return hmac.digest(key, str(address).encode(errors="backslashreplace"), "sha256").hex()[:16]


def _name_error(event: EventDict) -> None:
    """`exc_info` as the type of the error, of its cause, and where it was raised: no message, no values."""
    error = _error_of(event.pop("exc_info"))
    if error is not None:
        event["error"] = " < ".join(_chain(error))
        frames = traceback.extract_tb(error.__traceback__)[-_FRAMES:]
        event["trace"] = [f"{os.path.basename(frame.filename)}:{frame.lineno} {frame.name}" for frame in frames]  # noqa: PTH119


def _error_of(info: object) -> BaseException | None:
    if isinstance(info, BaseException):
        return info
    if isinstance(info, tuple):
        return next((part for part in info if isinstance(part, BaseException)), None)
    return sys.exc_info()[1] if info else None


def _chain(error: BaseException) -> list[str]:
    names: list[str] = []
    step: BaseException | None = error
    while step is not None and len(names) < _FRAMES:
        names.append(type(step).__name__)
        step = step.__cause__ or step.__context__
    return names


def _renderer(form: LogFormat, *, colours: bool) -> Processor:
    if form is LogFormat.CONSOLE:
        return structlog.dev.ConsoleRenderer(colors=colours)
    encode = json.JSONEncoder(ensure_ascii=False, default=repr).encode  # made once, not for each line

    def as_json(_: WrappedLogger, __: str, event: EventDict) -> str:
        return encode(event)

    return as_json
