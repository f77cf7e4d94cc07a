"""Text for people: lines, columns and times, with nothing in them that a terminal would obey."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterable, Sequence
from typing import Any

# What a terminal obeys, or shows as something else than is there: control characters (C0, DEL, C1), line and paragraph
# separators, the marks that turn the direction of writing; and half surrogate pairs, which no encoding can send it.
_OBEYED = "\x00-\x1f\x7f-\x9f\u2028-\u202e\u2066-\u2069\ud800-\udfff"

_IN_A_LINE = re.compile(f"[{_OBEYED}]")
_IN_LINES = re.compile(f"(?!\n)[{_OBEYED}]")

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*://")

_MAX_LENGTH = 4_000  # characters of a message

_SHORT = {"\n": r"\n", "\r": r"\r", "\t": r"\t"}


def as_texts(given: str | Iterable[str]) -> tuple[str, ...]:
    """Several texts, or one that came without a list around it."""
    return (given,) if isinstance(given, str) else tuple(given)


def spelled_out(text: str) -> str:
    """``text`` with all but its line ends `printable`."""
    return _IN_LINES.sub(_spelled, text)


def printable(text: str) -> str:
    r"""``text`` on one line, with all that a terminal would obey spelled out as Python does: ``\x1b``, ``\n``, ``\u202e``.

    Names of files, tags and labels come from anywhere, and so may say anything to a terminal.
    """
    return _IN_A_LINE.sub(_spelled, text)


def lines_text(lines: Iterable[str]) -> str:
    """Lines below each other, each `printable`: what is in a line makes no further one."""
    return "\n".join(map(printable, lines))


def shortened(text: str) -> str:
    """``text`` without the middle of what is too long to be read: what somebody typed comes back in messages."""
    left_out = len(text) - _MAX_LENGTH
    return text if left_out <= 0 else f"{text[: _MAX_LENGTH // 2]} [{left_out} characters] {text[-_MAX_LENGTH // 2 :]}"


def json_text(value: Any, *, ensure_ascii: bool = True) -> str:
    """``value`` as JSON, with whatever a terminal would obey escaped as JSON does it: the same value, safe to look at."""
    return _IN_A_LINE.sub(lambda match: f"\\u{ord(match[0]):04x}", json.dumps(value, ensure_ascii=ensure_ascii))


def _spelled(match: re.Match[str]) -> str:
    code = ord(match[0])
    if 0xDC80 <= code <= 0xDCFF:  # a byte of a name that is no UTF-8
        code -= 0xDC00
    return _SHORT.get(match[0]) or (f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}")


def columns_text(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows below their names, as wide as they need to be."""
    return "\n".join(column_lines(names, rows))


def column_lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same as a list, each row a line whatever is in its cells."""
    cells = [[printable(cell) for cell in line] for line in (names, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return [aligned_line(line, widths) for line in cells]


def aligned_line(cells: Sequence[str], widths: Sequence[int]) -> str:
    """Cells of one row, each filled up to its column's width in characters."""
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def short_path(path: str) -> str:
    """The path from here, where that is shorter; an address as it is."""
    if _ADDRESS.match(path):
        return path
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return path
    return min(path, relative, key=len)


def clock(seconds: float) -> str:
    """Minutes and seconds as players show them: 75.2 is 1:15, 3675 is 1:01:15."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
