"""Whether two readings are of the same line."""

from __future__ import annotations

from collections import Counter
from functools import lru_cache

# The share of characters that may be misread. Of 4 characters that is none, of 5 to 9 one.
_MISREAD = 0.2

# Characters that are read for each other, by the one that stands for them.
_ALIKE = str.maketrans({"0": "o", "1": "l", "i": "l", "2": "z", "5": "s", "8": "b"})


def same_line(one: str, other: str) -> bool:
    """Whether two readings are of the same line, with a few characters misread.

    Letter case, spaces and what is neither letter nor digit do not count, nor do characters that are read for each other,
    such as 0 and O. Other digits must agree: 12:41 and 12:46 are two readings of a clock, not one that flickers.
    """
    plain, other_plain = _plain(one), _plain(other)
    alike, other_alike = plain.translate(_ALIKE), other_plain.translate(_ALIKE)
    if alike == other_alike:
        return True
    most = int(_MISREAD * max(len(plain), len(other_plain)))
    if abs(len(plain) - len(other_plain)) > most:
        return False
    if (Counter(alike) - Counter(other_alike)).total() > most:  # quicker than counting edits, which are no fewer
        return False
    return edits(plain, other_plain) <= most


@lru_cache(maxsize=4096)
def _plain(text: str) -> str:
    """The letters and digits of a text in one case."""
    return "".join(character for character in text.casefold() if character.isalnum())


def edits(one: str, other: str) -> int:
    """The fewest characters to insert, delete or replace that make one text of the other (Levenshtein 1966).

    Replacing characters that are read for each other costs nothing; every other change of a digit costs as much as the texts
    are long.
    """
    forbidden = len(one) + len(other)
    above = [0]
    for character in other:
        above.append(above[-1] + (forbidden if character.isdigit() else 1))
    for character in one:
        alone = forbidden if character.isdigit() else 1
        here = [above[0] + alone]
        for column, other_character in enumerate(other, 1):
            added = forbidden if other_character.isdigit() else 1
            alike = character.translate(_ALIKE) == other_character.translate(_ALIKE)
            replaced = above[column - 1] + (0 if alike else max(alone, added))
            here.append(min(above[column] + alone, here[column - 1] + added, replaced))
        above = here
    return above[-1]
