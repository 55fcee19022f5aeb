"""The Lua scripts, each one step that is all or nothing. `_lane.lua` is put in front of those that touch lanes."""

from dataclasses import dataclass
from hashlib import sha1
from pathlib import Path

_HERE = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Script:
    """A script's text and the name that Redis knows it by."""

    name: str
    text: str
    sha: str


def load(name: str) -> Script:
    """The script of this name, with the library of lanes before it where it says `-- uses: _lane`."""
    text = (_HERE / f"{name}.lua").read_text("utf-8")
    if "-- uses: _lane" in text:
        text = (_HERE / "_lane.lua").read_text("utf-8") + text
    return Script(name, text, sha1(text.encode(), usedforsecurity=False).hexdigest())
