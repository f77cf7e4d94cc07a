"""Finds the path that a user means among those of a disk or a library: Unicode spells a letter with a mark in two ways.

Systems differ in which one they write, so that a list made on one names files of another. An exact match comes first.
"""

from __future__ import annotations

import os
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable

from pipeline.sources import exists, scheme_of, source_of
from schemas.records import path_text


def spelling(path: str) -> str:
    """A text that is the same for all spellings of a path."""
    return unicodedata.normalize("NFC", path_text(path))


def path_behind(text: str) -> str:
    """The path of a video that a library names by ``text``: the text itself where something has that path."""
    return text if exists(text) else path_of_text(text)


def path_of_text(text: str) -> str:
    r"""The path that `schemas.records.path_text` may have made ``text`` of: each ``\xNN`` becomes that byte again."""
    try:
        encoded = os.fsencode(text)
    except UnicodeEncodeError:  # half a surrogate pair, which no path holds
        return text
    return os.fsdecode(re.sub(rb"\\x([0-9a-f]{2})", lambda match: bytes.fromhex(match[1].decode()), encoded))


class Paths:
    """Known paths, which are found in any spelling."""

    def __init__(self, known: Iterable[str]) -> None:
        """Take the known paths, as `path_text` gives them."""
        self._by_spelling: defaultdict[str, list[str]] = defaultdict(list)
        for path in known:
            self._by_spelling[spelling(path)].append(path)

    def find(self, *candidates: str) -> str | None:
        """The known path that one of ``candidates`` names, tried in order; None where none does, or fits two spellings."""
        for path in candidates:
            alike = self._by_spelling.get(spelling(path), [])
            if path_text(path) in alike:
                return path_text(path)
            if len(alike) == 1:
                return alike[0]
        return None

    def instead(self, unknown: str) -> str:
        """The known path that comes nearest to an unknown one, as a clause for an error: one of its name, or any."""
        name = os.path.basename(spelling(unknown)).lower()
        paths = sorted(path for alike in self._by_spelling.values() for path in alike)
        named = [path for path in paths if os.path.basename(spelling(path)).lower() == name]
        if not paths:
            return "the library has no video at all"
        if not named:
            return f"the library has {len(paths)} others, such as {paths[0]!r}"
        more = f" and {len(named) - 1} more of that name" if len(named) > 1 else ""
        return f"the library has {named[0]!r}{more}"


def on_disk(path: str) -> str:
    """The path as the disk spells it, where something is there in one spelling; else as it is given."""
    if scheme_of(path) or exists(path):
        return path
    parent, name = os.path.split(path)
    if not name or parent == path:
        return path
    folder = on_disk(parent) if parent else parent
    if exists(os.path.join(folder, name)):
        return os.path.join(folder, name)
    try:
        entries = source_of(folder).list_folder(folder or ".")
        alike = [entry.name for entry in entries if spelling(entry.name) == spelling(name)]
    except (OSError, ValueError):  # it cannot be read, or no system could have it
        return path
    return os.path.join(folder, alike[0]) if len(alike) == 1 else path
