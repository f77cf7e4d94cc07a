"""File names made of the names of videos, in any script."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Sequence

from schemas.records import path_text

# File systems take names of 255 bytes; this leaves room for a number before the name and an ending after it.
_MAX_CHARACTERS = 60
_MAX_BYTES = 200

# Zero-width characters that join or separate letters in Persian and Indian scripts, and parts of some emoji.
_JOINERS = frozenset("\u200c\u200d")

# Names of devices on Windows, whatever comes after a full stop.
_DEVICES = frozenset({"con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in "0123456789¹²³")})


def safe_name(path: str) -> str:
    """A video's name without its ending, as a part of a file's name that every file system and shell takes.

    Letters of all scripts stay. Blanks, control characters, separators of paths, and characters that a shell interprets
    become hyphens: ``a b?.mp4`` is ``a-b``, and ``год 1: ночь.mp4`` is ``год-1-ночь``.
    """
    stem = unicodedata.normalize("NFC", os.path.splitext(os.path.basename(path_text(path)))[0])
    kept = "".join(c if _is_kept(c) else "-" for c in stem)
    name = _shortened("-".join(filter(None, kept.split("-")))).rstrip("-")
    return f"{name}-" if name.lower() in _DEVICES else name or "video"


def distinct(names: Sequence[str]) -> list[str]:
    """The names, with a number added where a file system would take a name for an earlier one."""
    taken: set[str] = set()
    made = []
    for base in names:
        name, number = base, 1
        while _folded(name) in taken:
            number += 1
            name = f"{base}-{number}"
        taken.add(_folded(name))
        made.append(name)
    return made


def _is_kept(character: str) -> bool:
    if character.isascii():
        return character.isalnum() or character in "_-"
    return character in _JOINERS or unicodedata.category(character)[0] not in "ZC"


def _shortened(name: str) -> str:
    """The name cut to the limits, without separating a letter from its marks."""
    length = min(len(name), _MAX_CHARACTERS)
    while len(name[:length].encode()) > _MAX_BYTES:
        length -= 1
    while 0 < length < len(name) and (unicodedata.category(name[length])[0] == "M" or name[length] in _JOINERS):
        length -= 1
    return name[:length]


def _folded(name: str) -> str:
    """A name as a file system compares it that ignores case and Unicode form."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())
