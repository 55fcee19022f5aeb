"""How likely a local part was typed by nobody: a probability, which alone never makes an address invalid.

By signs that no language needs: names in Polish, Welsh or Vietnamese pass, and what is not Latin is not judged.
"""

import re
from typing import Final

_ROWS: Final = ("qwertyuiop", "asdfghjkl", "zxcvbnm", "qwertz", "azerty")
_WALKS: Final = frozenset(row[at : at + 4] for row in _ROWS for at in range(len(row) - 3)) - {"uiop", "erty", "rtyu"}
_BOTH_WAYS: Final = _WALKS | {walk[::-1] for walk in _WALKS}
# Without l and r, which are the vowels of many a Slavic syllable.
_CONSONANTS = re.compile(r"[bcdfghjkmnpqstvwxz]{5,}")
_REPEATED = re.compile(r"([a-z0-9])\1{3,}")
_PUNCTUATION = re.compile(r"[^a-z0-9]+")
_SWITCH = re.compile(r"[a-z](?=\d)|\d(?=[a-z])")
_NO_LETTER = re.compile(r"[^a-z]+")
_VOWELS: Final = "aeiouyw"
_LONG: Final = 7


def gibberish(local_part: str) -> float:
    """From 0 to 1. Each sign adds its weight; the strongest two of them are needed to be nearly sure."""
    name = local_part.lower().partition("+")[0]
    if not name.isascii() or len(name) < _LONG:
        return 0.0
    signs = (_run(name), _vowels(name), _switches(name), _walk(name), 0.5 if _REPEATED.search(name) else 0.0)
    return round(min(1.0, sum(signs)), 2)


def _run(name: str) -> float:
    """Consonants in a row: six are a German or Polish name, eight are nobody's."""
    longest = max(map(len, _CONSONANTS.findall(name)), default=0)
    return {5: 0.2, 6: 0.3, 7: 0.45}.get(longest, 0.65 if longest > 7 else 0.0)


def _vowels(name: str) -> float:
    """Hardly a vowel in a long run of letters; `y` and `w` are vowels where they have to be."""
    letters = len(_NO_LETTER.sub("", name))
    if letters < _LONG:
        return 0.0
    share = sum(map(name.count, _VOWELS)) / letters
    return 0.45 if share < 0.1 else 0.25 if share < 0.18 else 0.0


def _switches(name: str) -> float:
    """Letters and digits in turn: a name with a year switches once or twice."""
    if name.isalpha():
        return 0.0
    switches = len(_SWITCH.findall(_PUNCTUATION.sub("", name)))
    return {3: 0.35, 4: 0.5, 5: 0.65}.get(switches, 0.0 if switches < 3 else 0.85 if len(name) > 9 else 0.7)


def _walk(name: str) -> float:
    """Fingers along a row of keys, at least twice or for a good part of the name."""
    steps = sum([name[at : at + 4] in _BOTH_WAYS for at in range(len(name) - 3)])
    return min(0.8, 0.3 * steps) if steps * 3 >= len(name) // 2 else 0.15 * min(steps, 2)
