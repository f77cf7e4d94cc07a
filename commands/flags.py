"""Errors in the words of the command line: options in place of the library's arguments."""

from __future__ import annotations

import re

import click

from schemas.errors import LibraryError, VidsiftError

# The options of arguments that are attributes of an argument.
_FLAGS = {
    "augmentation.crop": "--crop",
    "augmentation.light": "--light",
    "augmentation.window": "--random-window",
}

# What the names of arguments have and those of options have not: units, and what is counted.
_UNIT = re.compile(r"^num_|_(?:s|mb)$")

_PLACEHOLDER = re.compile("[A-Z]+")

_ARGUMENT = re.compile(r"(?<![^\s(])`((?:--)?[A-Za-z][\w-]*)`(?![^\s).,;:])")


def flags_of(command: click.Command | None) -> dict[str, str]:
    """The options and placeholders of a command, by the names of its arguments and by their own names.

    ``--not`` is there for ``without`` and for ``not``, ``DATA`` for ``captions`` and for ``data``.
    """
    flags = dict(_FLAGS)
    for param in command.params if command else ():
        flag = param.opts[-1]
        if isinstance(param, click.Argument):
            placeholder = _PLACEHOLDER.search(param.metavar or str(param.name).upper())
            flag = placeholder[0] if placeholder else flag
        flags[str(param.name)] = flag
        flags.setdefault(flag.lstrip("-").replace("-", "_").lower(), flag)
    return flags


def flag_of(argument: str, command: click.Command | None = None) -> str:
    """The option or the placeholder of an argument: ``--window`` for ``window_s``, ``--cpus`` for ``num_cpus``.

    What is no argument's name in Python, such as ``NAME`` or ``--output``, stays as it is.
    """
    if flag := flags_of(command).get(argument):
        return flag
    if not argument.isidentifier() or not argument.islower():
        return argument
    return f"--{_UNIT.sub('', argument).replace('_', '-')}"


def flag_text(error: VidsiftError, command: click.Command | None = None) -> str:
    """An error's text as ``command`` prints it, such as ``--window: got 0 s, expected 0.1 to 3600 s``.

    Messages that name options themselves stay as they are.
    """
    argument = error.argument
    if argument is None and isinstance(error, LibraryError) and not error.message.startswith("--"):
        argument = "library"
    if argument is None:
        return str(error)
    message = _ARGUMENT.sub(lambda match: flag_of(match[1], command), error.message)
    value = "" if error.value is None else f" {error.value}"
    return f"{flag_of(argument, command)}{value}: {message}"
