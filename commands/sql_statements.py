"""Splits text into SQL statements; the last one may be unfinished."""

from __future__ import annotations

import re

# Openings of strings, quoted names and comments, in which a semicolon ends nothing; or a semicolon itself.
_OPENING = re.compile(
    r"""(?P<escaped>(?<!\w)[eE]')|(?P<quote>['"])|(?P<line>--)|(?P<block>/\*)|(?P<tag>(?<!\w)\$(?:[^\W\d]\w*)?\$)|;"""
)
_CLOSING = {
    "escaped": re.compile(r"(?:[^'\\]|\\.|'')*'", re.DOTALL),
    "line": re.compile(r"[^\n]*(?:\n|\Z)"),
}
_COMMENT = re.compile(r"/\*|\*/")


def split_statements(text: str) -> tuple[list[str], str]:
    """The statements of ``text`` that end with a semicolon, without it and without blank ones; and the rest of ``text``.

    A semicolon in a string, a quoted name, a comment or a dollar-quoted text ends nothing:

        split_statements("select ';'; select 2") == (["select ';'"], " select 2")
    """
    statements: list[str] = []
    begin = at = 0
    while opening := _OPENING.search(text, at):
        if opening.lastgroup is None:
            statements.append(text[begin : opening.start()].strip())
            begin = at = opening.end()
            continue
        end = _end_of(opening, text)
        if end is None:
            break
        at = end
    return [statement for statement in statements if not is_blank(statement)], text[begin:]


def is_blank(text: str) -> bool:
    """Whether ``text`` holds only blanks and comments."""
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
    """The position after the string, name or comment that ``opening`` opens; None if it is unfinished."""
    if opening.lastgroup == "block":
        return _end_of_comment(text, opening.end())
    if opening.lastgroup in _CLOSING:
        closed = _CLOSING[opening.lastgroup].match(text, opening.end())
        return closed.end() if closed else None
    mark = opening.group()
    # A doubled quote ends one string and begins the next, which comes to the same.
    closed_at = text.find(mark, opening.end())
    return None if closed_at < 0 else closed_at + len(mark)


def _end_of_comment(text: str, at: int) -> int | None:
    """The position after the block comment that is open at ``at``, None if it is unfinished; comments nest."""
    depth = 1
    while depth:
        mark = _COMMENT.search(text, at)
        if mark is None:
            return None
        depth += 1 if mark.group() == "/*" else -1
        at = mark.end()
    return at
