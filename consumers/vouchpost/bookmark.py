"""How far a long run has come, in a small file that is replaced as a whole: a crash leaves the old one or the new."""

import json
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from hashlib import sha256
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final
from uuid import UUID, uuid4

from vouchpost.errors import ConfigurationError

_FORMAT: Final = 1

Key = int | str | UUID
"""What rows are ordered by: their primary key."""


@dataclass(frozen=True, slots=True)
class Progress:
    """`last` is the key of the last row that was dealt with. `run` names the run, over all its restarts.

    `rows` is a digest of what tells the rows from others: empty where nothing does, and in a bookmark of before.
    `reasons` counts why rows were refused, in the gateway's words, which hold no address.
    """

    run: str = field(default_factory=lambda: uuid4().hex)
    rows: str = ""
    last: Key | None = None
    accepted: int = 0
    refused: int = 0
    reasons: Mapping[str, int] = field(default_factory=dict)
    finished: bool = False

    @property
    def done(self) -> int:
        return self.accepted + self.refused

    def ended(self) -> "Progress":
        return replace(self, finished=True)

    def past(
        self, last: Key, *, accepted: int, refused: int, reasons: Mapping[str, int] = MappingProxyType({})
    ) -> "Progress":
        return replace(
            self,
            last=last,
            accepted=self.accepted + accepted,
            refused=self.refused + refused,
            reasons=dict(Counter(self.reasons) + Counter(reasons)),
        )


class Bookmark:
    """Kept in the named file. `of` is a name for the rows: two filters of one table are told apart by it alone."""

    def __init__(self, path: str | os.PathLike[str], *, of: str = "") -> None:
        self._path = Path(path)
        self._of = of

    def begun(self, place: Sequence[object] = ()) -> Progress:
        """The run through the rows at this place to go on with, or a new one where none was begun or it has finished.

        ConfigurationError where it is a run through other rows: its last key would pass over some of these.
        """
        mark = _digest(self._of, place)
        progress = self.read()
        if progress is None or progress.finished:
            return Progress(rows=mark)
        if progress.rows not in {"", mark}:
            raise ConfigurationError(
                f"the bookmark {self._path} belongs to other rows: name another file with --bookmark, or remove it"
            )
        return replace(progress, rows=mark)

    def read(self) -> Progress | None:
        """None where no run was begun; ConfigurationError for a file that is no bookmark."""
        try:
            text = self._path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return None
        try:
            content = json.loads(text)
            if content.pop("format") != _FORMAT:
                raise ValueError(_FORMAT)  # noqa: TRY301 - a file of another kind, like the others
            return Progress(**content | {"last": _read_key(content["last"])})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(f"{self._path} is no bookmark of this version: name another file") from error

    def write(self, progress: Progress) -> None:
        content = asdict(progress) | {"format": _FORMAT, "last": _written_key(progress.last)}
        beside = self._path.with_name(self._path.name + ".new")
        with beside.open("w", encoding="utf-8") as file:
            json.dump(content, file)
            file.flush()
            os.fsync(file.fileno())
        beside.replace(self._path)


def _digest(of: str, place: Sequence[object]) -> str:
    """A digest, so that the file says neither which database nor where."""
    return sha256(json.dumps([of, place], default=str).encode()).hexdigest() if of or place else ""


def _written_key(key: Key | None) -> Any:
    if isinstance(key, UUID):
        return {"uuid": str(key)}
    if key is not None and type(key) not in {int, str}:
        raise ConfigurationError(f"rows are told apart by a number, text or a UUID, not by a {type(key).__name__}")
    return key


def _read_key(content: Any) -> Key | None:
    key: Key | None = UUID(content["uuid"]) if isinstance(content, dict) else content
    return key
