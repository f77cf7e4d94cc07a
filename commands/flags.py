"""Names of the library's arguments as the command line calls them."""

from __future__ import annotations

import re

from schemas.errors import UsageError, VidsiftError

# Arguments whose options are called otherwise than they are.
_FLAGS = {
    "sources": "SOURCE",
    "path": "FILE",
    "texts": "TEXT",
    "without": "--not",
    "then_text": "--then",
    "show_all": "--all",
    "k": "-k",
}

# What the names of arguments have and those of options have not: units, and what is counted.
_UNIT = re.compile(r"^num_|_(?:s|mb)$")

_ARGUMENT = re.compile(r"(?<![\w'\"])`([a-z]\w*)`")


def flag_of(argument: str) -> str:
    """The option or the placeholder of an argument: ``--window`` for ``window_s``, ``--cpus`` for ``num_cpus``.

    What is no argument's name in Python, such as ``NAME`` or ``--output``, stays as it is.
    """
    if not argument.isidentifier() or not argument.islower():
        return argument
    return _FLAGS.get(argument) or f"--{_UNIT.sub('', argument).replace('_', '-')}"


def flag_text(error: VidsiftError) -> str:
    """An error's text, with options in place of arguments: ``--window: got 0 s, expected 0.1 to 3600 s``."""
    if not isinstance(error, UsageError) or error.argument is None:
        return str(error)
    message = _ARGUMENT.sub(lambda match: flag_of(match[1]), error.message)
    return f"{flag_of(error.argument)}: {message}"
