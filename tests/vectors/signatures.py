"""Reads `signature.json`, the written-out vectors that both packages' signature files are held to."""

import base64
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

_FILE = Path(__file__).with_name("signature.json")


@dataclass(frozen=True, slots=True)
class SignVector:
    name: str
    secrets: tuple[str, ...]
    id: str
    timestamp: int
    body: bytes
    header: str


@dataclass(frozen=True, slots=True)
class VerifyVector:
    name: str
    secrets: tuple[str, ...]
    tolerance_s: int
    now: int
    headers: tuple[tuple[str, str], ...]
    body: bytes
    ok: bool
    reason: str | None


def sign_vectors() -> list[SignVector]:
    return [
        SignVector(
            name=row["name"],
            secrets=tuple(row["secrets"]),
            id=row["id"],
            timestamp=row["timestamp"],
            body=_body(row),
            header=row["header"],
        )
        for row in json.loads(_FILE.read_text())["sign"]
    ]


def verify_vectors() -> list[VerifyVector]:
    return [
        VerifyVector(
            name=row["name"],
            secrets=tuple(row["secrets"]),
            tolerance_s=row["tolerance_s"],
            now=row["now"],
            headers=tuple((name, value) for name, value in row["headers"]),
            body=_body(row),
            ok=row["ok"],
            reason=row["reason"],
        )
        for row in json.loads(_FILE.read_text())["verify"]
    ]


def _body(row: dict[str, Any]) -> bytes:
    return row["body"].encode() if "body" in row else base64.b64decode(row["body_base64"])
