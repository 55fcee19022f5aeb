"""What the generator is asked to send, and what it saw: plain records that travel between processes as JSON."""

import json
from dataclasses import asdict, dataclass
from pathlib import Path


@dataclass(frozen=True, slots=True)
class Stream:
    """Requests with one API key at a constant arrival rate; `%d` in body and path becomes the request's number."""

    name: str
    rate: float
    key: str
    body: str
    path: str = "/v1/verifications"
    start_s: float = 0.0
    seconds: float | None = None
    idempotent: bool = True


@dataclass(frozen=True, slots=True)
class Plan:
    """All streams of one run, sent at their intended times whatever the server does (no coordinated omission)."""

    port: int
    seconds: float
    streams: tuple[Stream, ...]
    out: str
    grace_s: float = 10.0
    connections: int = 64

    @classmethod
    def read(cls, path: Path) -> "Plan":
        raw = json.loads(path.read_text())
        return cls(**{**raw, "streams": tuple(Stream(**stream) for stream in raw["streams"])})

    def write(self, path: Path) -> None:
        path.write_text(json.dumps(asdict(self)))


@dataclass(frozen=True, slots=True)
class Sent:
    """One request: times in seconds of CLOCK_MONOTONIC; status 0 and no answer time when none came."""

    stream: str
    intended: float
    answered: float | None
    status: int
    stem: str


@dataclass(frozen=True, slots=True)
class Generated:
    """Everything the generator did, and whether it kept up: its own CPU share and how late it sent at worst."""

    sent: list[Sent]
    cpu_share: float
    took_s: float
    latest_send_s: float

    def of(self, stream: str) -> list[Sent]:
        return [one for one in self.sent if one.stream == stream]
