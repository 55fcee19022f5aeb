"""What the person probably meant to write: a suggestion, and only when nothing speaks for what is written.

Abstains when the domain is known or takes mail (the caller says so), when two suggestions are as near, and never
exchanges one real top-level domain for another unless the result is a provider.
"""

from collections.abc import Collection
from functools import lru_cache
from typing import Final

from vouchpost_gateway.checks.lists import lines_of
from vouchpost_gateway.checks.suffixes import suffixes

# Where most of the world's personal mail is: the only names worth being mistaken for.
PROVIDERS: Final = frozenset(lines_of("typo_targets.txt"))
_TOP_LEVEL: Final = ("com", "net", "org", "edu", "gov", "info", "de", "fr", "it", "es", "nl", "uk", "ru", "br", "jp")
_SHORT: Final = 6


def suggestion(domain: str, *, takes_mail: bool | None, providers: Collection[str] = PROVIDERS) -> str | None:
    """The domain that was probably meant. `takes_mail` None: nobody has asked."""
    if takes_mail or domain in providers or "." not in domain:
        return None
    suffix_is_real = _is_delegated(domain.rpartition(".")[2])
    if suffix_is_real and takes_mail is None:
        return None
    return _nearest(domain, providers) or (None if suffix_is_real else _with_a_real_suffix(domain))


def _nearest(domain: str, providers: Collection[str]) -> str | None:
    """The one provider that is a slip away, or two where the name is long: two slips make a short name another one."""
    most = 1 if len(domain.partition(".")[0]) < _SHORT else 2
    near = [(distance(domain, name, most), name) for name in providers if abs(len(name) - len(domain)) <= most]
    return _only_best([(slips, name) for slips, name in near if slips <= most])


def _with_a_real_suffix(domain: str) -> str | None:
    """`.com` for `.cmo`: there is no such top-level domain, so what is written cannot be what was meant."""
    name, _, suffix = domain.rpartition(".")
    near = [(distance(suffix, real, 1), real) for real in _TOP_LEVEL]
    best = _only_best([(slips, real) for slips, real in near if slips <= 1])
    return f"{name}.{best}" if best and name else None


def _only_best(near: list[tuple[int, str]]) -> str | None:
    """The nearest, unless there is a tie."""
    if not near:
        return None
    least = min(slips for slips, _ in near)
    best = [name for slips, name in near if slips == least]
    return best[0] if len(best) == 1 else None


def distance(one: str, other: str, most: int) -> int:
    """Slips between two words: a letter more, less, other, or two exchanged (optimal string alignment).

    Stops, with a number over `most`, as soon as it must be over it.
    """
    before: list[int] = []
    row = list(range(len(other) + 1))
    for i, a in enumerate(one, 1):
        last, before, row = before, row, [i]
        for j, b in enumerate(other, 1):
            slips = min(before[j] + 1, row[j - 1] + 1, before[j - 1] + (a != b))
            if last and j > 1 and a == other[j - 2] and one[i - 2] == b:
                slips = min(slips, last[j - 2] + 1)
            row.append(slips)
        if min(row) > most:
            return most + 1
    return row[-1]


@lru_cache(4096)
def _is_delegated(top_level: str) -> bool:
    """Whether there is such a top-level domain, by the list of public suffixes, which holds them all."""
    return suffixes().publicsuffix(top_level) is not None
