"""Errors a user can act on. Every message says what is wrong, what was given, what is expected and what to do."""

from __future__ import annotations

from typing import Literal

Stage = Literal["find", "probe", "decode", "annotate"]


class VidsiftError(Exception):
    """Base of every error that the command line prints as one line.

    Where one argument is at fault, the error's text begins with its name and, for a file or a model, with its value:
    ``window_s: got 0 s, expected 0.1 to 3600 s``, ``examples moments.csv: line 3: the path is empty``. The message puts the
    names of other arguments in backticks. The command line prints options in place of all these names
    (`commands.flags.flag_text`).

    Attributes:
        message: the text without the argument.
        argument: the argument's name in Python; None where the fault is not one argument's.
        value: the argument's value, where the text names it; else None.
    """

    exit_code = 1

    def __init__(self, message: str, *, argument: str | None = None, value: object = None) -> None:
        names = [str(part) for part in (argument, value) if part is not None]
        super().__init__(f"{' '.join(names)}: {message}" if names else message)
        self.message = message
        self.argument = argument
        self.value = value


class UsageError(VidsiftError):
    """The call itself is wrong: an option, a path or a query that cannot work as given."""

    exit_code = 2


class QueryError(UsageError):
    """A SQL query that is malformed, or asks for more than reading the library."""


class UnknownNameError(QueryError):
    """A SQL query that names a column or a table that is not there, or uses one as what it is not."""


class LibraryError(VidsiftError):
    """The library on disk is missing, damaged, of another format, or held by another ingest.

    The library's folder is the argument at fault, and need not be named.
    """


class LockedError(LibraryError):
    """Another job is writing the library, or keeps writers away; it can be written once that has ended."""


class ModelError(VidsiftError):
    """A checkpoint that cannot be found, or that vidsift will not or cannot load."""


class JobError(VidsiftError):
    """A run that had to end before its videos were done, through no fault of theirs."""


def check_utf8(argument: str, text: str) -> None:
    """Refuse a text that came as bytes of another encoding.

    Args:
        argument: the argument that it was given as, for the error.
        text: the text.

    Raises:
        UsageError: ``text`` holds surrogates, which stand for such bytes.
    """
    try:
        text.encode()
    except UnicodeEncodeError as exc:
        message = "got bytes that are no UTF-8, expected UTF-8; set the terminal's encoding to it"
        raise UsageError(message, argument=argument) from exc


class VideoError(VidsiftError):
    """A fault of one video. It becomes that video's row and never ends a job.

    Attributes:
        stage: the step that failed.
        reason: the sentence that is stored in ``videos.error``.
    """

    def __init__(self, stage: Stage, reason: str) -> None:
        super().__init__(f"{stage}: {reason}")
        self.stage = stage
        self.reason = reason

    def __reduce__(self) -> tuple[type[VideoError], tuple[Stage, str]]:
        """Travel between processes with both arguments (``Exception`` would keep only the message)."""
        return VideoError, (self.stage, self.reason)
