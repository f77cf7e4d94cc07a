"""Where one SQL statement ends and the next begins, in text that may not be finished yet."""

from __future__ import annotations

import re

# What a semicolon can be hidden in, by how it opens; the named group of a $tag$ is what closes it again.
_OPENING = re.compile(
    r"""(?P<escaped>(?<!\w)[eE]')|(?P<quote>['"])|(?P<line>--)|(?P<block>/\*)|(?P<tag>(?<!\w)\$(?:[^\W\d]\w*)?\$)|;"""
)
_CLOSING = {
    "escaped": re.compile(r"(?:[^'\\]|\\.|'')*'", re.DOTALL),
    "line": re.compile(r"[^\n]*(?:\n|\Z)"),
}
_COMMENT = re.compile(r"/\*|\*/")


def split_statements(text: str) -> tuple[list[str], str]:
    """The statements of ``text`` that a semicolon ends, without it and without blank ones, and what is left behind them.

    A semicolon in a string, a quoted name, a comment or a dollar-quoted text ends nothing:

        split_statements("select ';'; select 2") == (["select ';'"], " select 2")
    """
    found: list[str] = []
    begin = at = 0
    while opening := _OPENING.search(text, at):
        if opening.lastgroup is None:
            found.append(text[begin : opening.start()].strip())
            begin = at = opening.end()
            continue
        end = _end_of(opening, text)
        if end is None:
            break
        at = end
    return [statement for statement in found if not is_blank(statement)], text[begin:]


def is_blank(text: str) -> bool:
    """Whether ``text`` holds nothing but blanks and comments."""
    at = 0
    while opening := _OPENING.search(text, at):
        if text[at : opening.start()].strip() or opening.lastgroup not in ("line", "block"):
            return False
        end = _end_of(opening, text)
        if end is None:
            return False
        at = end
    return not text[at:].strip()


def _end_of(opening: re.Match[str], text: str) -> int | None:
    """Where what opens here is closed; None where it is not."""
    if opening.lastgroup == "block":
        return _end_of_comment(text, opening.end())
    if opening.lastgroup in _CLOSING:
        closed = _CLOSING[opening.lastgroup].match(text, opening.end())
        return closed.end() if closed else None
    mark = opening.group()
    closed_at = text.find(
        mark, opening.end()
    )  # a doubled quote ends one string and begins the next, which comes to the same
    return None if closed_at < 0 else closed_at + len(mark)


def _end_of_comment(text: str, at: int) -> int | None:
    """Where the block comment that is open at ``at`` ends; comments nest."""
    depth = 1
    while depth:
        mark = _COMMENT.search(text, at)
        if mark is None:
            return None
        depth += 1 if mark.group() == "/*" else -1
        at = mark.end()
    return at
