"""A list of disposable domains as a file, with where it comes from: read at start, written by `vouchpost lists add`.

# source: my-list
# quality: 0.6
# version: 2026-11-20
throwaway.example
"""

import os
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from vouchpost_gateway.domain.errors import Misconfigured
from vouchpost_gateway.domain.host import MalformedHostError, parse_host

_NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_FACT = re.compile(r"#\s*(source|quality|version):\s*(\S.*)")
_MOST_NAMES: Final = 1_000_000
_SUFFIX: Final = ".disposable.txt"


@dataclass(frozen=True, slots=True)
class SourceList:
    """Who says so, what its word is worth (from above 0 to 1), its own version, and the names."""

    name: str
    quality: float
    version: str
    names: frozenset[str]


def parse_names(lines: Iterable[str]) -> tuple[frozenset[str], int]:
    """The domains in a text, one a line, and how many lines held none. `#` starts a comment."""
    names: set[str] = set()
    refused = 0
    for line in lines:
        text = line.partition("#")[0].strip().lower()
        if not text:
            continue
        name = _domain(text)
        if name is None or len(names) >= _MOST_NAMES:
            refused += 1
        else:
            names.add(name)
    return frozenset(names), refused


def _domain(text: str) -> str | None:
    """As A-labels; None for an address, a pattern, or a name without a dot, which no list may carry."""
    try:
        name = parse_host(text.removeprefix("@").removeprefix("*.").strip("."))
    except MalformedHostError:
        return None
    return name if "." in name and not name.startswith("[") and not name[-1].isdigit() else None


def read_lists(directory: Path) -> list[SourceList]:
    """All lists in the directory, by name. Misconfigured for one that cannot be read or does not say what it is."""
    try:
        paths = sorted(path for path in directory.iterdir() if path.name.endswith(_SUFFIX))
        return [_read(path) for path in paths]
    except OSError as error:
        raise Misconfigured(f"the lists in {directory} cannot be read: {error.strerror}") from error


def _read(path: Path) -> SourceList:
    try:
        lines = path.read_text("utf-8").splitlines()
        facts = {match[1]: match[2].strip() for match in map(_FACT.fullmatch, lines) if match}
        quality = float(facts.get("quality", ""))
    except ValueError as error:
        raise Misconfigured(f"{path} is no list: it needs lines `# source: …` and `# quality: 0…1`") from error
    return checked(SourceList(facts.get("source", ""), quality, facts.get("version", ""), parse_names(lines)[0]))


def checked(source: SourceList) -> SourceList:
    """The same list; Misconfigured where its name is malformed or its quality out of range."""
    if not _NAME.fullmatch(source.name):
        raise Misconfigured("the name of a list is 1 to 64 small letters, digits, dots, hyphens and underscores")
    if not 0 < source.quality <= 1:
        raise Misconfigured("the quality of a list is above 0 and at most 1")
    return source


def write_list(directory: Path, source: SourceList) -> Path:
    """In place of an older one of that name, in one step: who reads meanwhile has the old one or the new one whole."""
    directory.mkdir(parents=True, exist_ok=True)
    path = directory / f"{source.name}{_SUFFIX}"
    partial = path.with_suffix(".partial")
    with partial.open("w", encoding="utf-8") as file:
        file.writelines(_lines(source))
        file.flush()
        os.fsync(file.fileno())
    partial.replace(path)
    return path


def _lines(source: SourceList) -> Iterator[str]:
    yield f"# source: {source.name}\n# quality: {source.quality:g}\n# version: {source.version or 'unknown'}\n"
    yield from (f"{name}\n" for name in sorted(source.names))


def remove_list(directory: Path, name: str) -> bool:
    """Whether there was one."""
    path = directory / f"{name}{_SUFFIX}"
    if not _NAME.fullmatch(name) or not path.exists():
        return False
    path.unlink()
    return True
