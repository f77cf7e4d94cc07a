"""Keeps processes from importing modules that lie in the current folder; they import only what is installed.

Folders of video hold strangers' files, and Python looks for modules in the current folder: in every process that it starts
with ``-c`` (those of its pools), and wherever PYTHONPATH has an empty or a relative entry. Ray's workers do so too.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

# The folder that vidsift's packages are in.
_ROOT = os.path.realpath(Path(__file__).parents[1])


def keep_to_what_is_installed() -> None:
    """Let neither this process nor its children import from the current folder from now on."""
    environment = _environment()
    untrusted = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if not _is_trusted(entry)]
    refused = {os.path.realpath(entry) for entry in untrusted if os.path.isabs(entry)} | {_current_folder()}
    sys.path[:] = [entry for entry in sys.path if entry and os.path.realpath(entry) not in refused - {_ROOT}]
    os.environ.update(environment)


@contextmanager
def installed_only() -> Iterator[None]:
    """Let processes that start within the block import nothing from the current folder; this one stays as it is."""
    with changed_environment(_environment()):
        yield


@contextmanager
def changed_environment(change: Mapping[str, str | None]) -> Iterator[None]:
    """Change environment variables for processes that start within the block; None removes a variable."""
    before = {name: os.environ.get(name) for name in change}
    _set(change)
    try:
        yield
    finally:
        _set(before)


def _set(change: Mapping[str, str | None]) -> None:
    for name, value in change.items():
        if value is not None:
            os.environ[name] = value
        elif name in os.environ:
            del os.environ[name]


def start_fork_server() -> None:
    """Start the process that pools fork their workers from. It has none of this process's threads."""
    from multiprocessing import forkserver

    with installed_only():
        forkserver.ensure_running()


def _environment() -> dict[str, str]:
    """The variables that keep a child's Python from the current folder."""
    kept = [entry for entry in os.environ.get("PYTHONPATH", "").split(os.pathsep) if _is_trusted(entry)]
    if _current_folder() == _ROOT and _ROOT in sys.path and _ROOT not in kept:  # python -m cli, in vidsift's own folder
        kept.append(_ROOT)
    return {"PYTHONSAFEPATH": "1", "PYTHONPATH": os.pathsep.join(kept)}


def _is_trusted(entry: str) -> bool:
    """Whether an entry of PYTHONPATH is a folder that packages are installed in, or vidsift's own folder."""
    if not os.path.isabs(entry):
        return False
    folder = os.path.realpath(entry)
    return folder == _ROOT or (folder != _current_folder() and any(Path(folder).glob("*.dist-info")))


def _current_folder() -> str:
    try:
        return os.getcwd()
    except FileNotFoundError:  # it was deleted
        return ""
