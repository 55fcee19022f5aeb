"""Whether the local part names a function (`info`, `sales-eu`) rather than a person (`bill.it`, `info.smith`)."""

import re
from dataclasses import dataclass
from functools import cache
from typing import Self

from vouchpost_gateway.checks.lists import lines_of

_SEPARATORS = re.compile(r"[._-]+")
_TRAILING_NUMBER = re.compile(r"\d{1,3}$")


@dataclass(frozen=True, slots=True)
class RoleNames:
    """Words that are a role as the whole name only, words that are one among others too, and words beside a role."""

    alone: frozenset[str]
    roles: frozenset[str]
    qualifiers: frozenset[str]

    @classmethod
    def packaged(cls) -> Self:
        sections: dict[str, set[str]] = {}
        words: set[str] = set()
        for line in lines_of("roles.txt"):
            if line.startswith("["):
                words = sections.setdefault(line.strip("[]"), set())
            else:
                words.update(line.split())
        return cls(frozenset(sections["alone"]), frozenset(sections["roles"]), frozenset(sections["qualifiers"]))

    def role_of(self, local_part: str) -> str | None:
        """The word that makes it a role: the whole name, or one token while every other token only qualifies it."""
        name = local_part.lower().partition("+")[0]
        whole = _TRAILING_NUMBER.sub("", name)
        if whole in self.alone or whole in self.roles:
            return whole
        joined = _SEPARATORS.sub("", whole)
        return joined if joined in self.roles else self._role_among(name)

    def _role_among(self, name: str) -> str | None:
        found = None
        for token in _SEPARATORS.split(name):
            word = _TRAILING_NUMBER.sub("", token)
            if word in self.roles:
                found = found or word
            elif word and word not in self.qualifiers:
                return None
        return found


@cache
def packaged_roles() -> RoleNames:
    return RoleNames.packaged()
