"""Domains that only look like another: each letter of another script has a Latin twin (UTS 39, section 4).

A flag, never a verdict: such names exist in earnest too.
"""

from types import MappingProxyType
from typing import Final

# From Unicode's confusables.txt (UTS 39 revision 28): letters of other scripts whose skeleton is one Latin letter.
_TWINS: Final = MappingProxyType(
    {
        # Cyrillic
        "\u0430": "a",
        "\u0441": "c",
        "\u0501": "d",
        "\u0435": "e",
        "\u0456": "i",
        "\u0458": "j",
        "\u04cf": "l",
        "\u043e": "o",
        "\u0440": "p",
        "\u051b": "q",
        "\u0455": "s",
        "\u051d": "w",
        "\u0445": "x",
        "\u0443": "y",
        "\u04af": "y",
        "\u04bb": "h",
        "\u0433": "r",
        "\u0475": "v",
        # Greek
        "\u03b1": "a",
        "\u03bf": "o",
        "\u03c1": "p",
        "\u03bd": "v",
        "\u03c5": "u",
        "\u03b9": "i",
        "\u03ba": "k",
        "\u03c7": "x",
        "\u03b3": "y",
        "\u03f3": "j",
        # Armenian
        "\u0585": "o",
        "\u057d": "u",
        "\u0581": "g",
        "\u0578": "n",
        "\u0570": "h",
        "\u0566": "q",
        "\u0584": "f",
        # Latin letters that are another's twin
        "\u0131": "i",
        "\u0251": "a",
        "\u0261": "g",
    }
)


def twin_of(display_domain: str) -> str | None:
    """The ASCII name that this one looks like; None when it is ASCII itself or looks like none."""
    if display_domain.isascii():
        return None
    labels = [_twin_of_label(label) for label in display_domain.split(".")]
    return None if None in labels else ".".join(label for label in labels if label)


def _twin_of_label(label: str) -> str | None:
    letters = [char if char.isascii() else _TWINS.get(char) for char in label]
    return None if None in letters else "".join(letter for letter in letters if letter)
