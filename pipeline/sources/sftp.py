"""Files of SSH servers, by paramiko: ``sftp://user@host:port/folder/film.mp4``.

Keys come from the agent and from ``~/.ssh``; names, users, ports and keys of hosts also from ``~/.ssh/config``. A host must
be in ``~/.ssh/known_hosts``: connect to it by ssh once.
"""

from __future__ import annotations

import errno
import getpass
import os
import stat
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import paramiko

from pipeline.sources.base import Entry
from pipeline.sources.remote import RemoteFile, TemporaryError, changed

_CONNECT_S = 15
_ANSWER_S = 60


# By thread, host, port and user: clients are not made for several threads at a time.
_Key = tuple[int, str, int | None, str | None]
_CLIENTS: dict[_Key, paramiko.SFTPClient] = {}


class SftpStore:
    """Files of SSH servers; see `pipeline.sources.remote.RemoteStore`. A version is a time and a size."""

    def head(self, path: str) -> RemoteFile | None:
        """The file's attributes, of what a link leads to."""
        try:
            with _connected(path) as (client, place):
                found = client.stat(place)
        except FileNotFoundError:
            return None
        return _file(path, found) if not stat.S_ISDIR(found.st_mode or 0) else None

    def pages(self, folder: str) -> Iterator[Callable[[], list[RemoteFile]]]:
        """The files of one folder at a time, in the order of names. Links to folders are not followed."""
        folders = [folder]
        while folders:
            current = folders.pop()
            yield lambda current=current: self._page(current, folders)  # type: ignore[misc]

    def _page(self, folder: str, folders: list[str]) -> list[RemoteFile]:
        with _connected(folder) as (client, place):
            listed = sorted(client.listdir_attr(place), key=lambda found: found.filename)
        paths = {f"{folder}/{found.filename}": found for found in listed}
        files = [self._followed(path, found) for path, found in paths.items() if not stat.S_ISDIR(found.st_mode or 0)]
        folders += [path for path, found in reversed(paths.items()) if stat.S_ISDIR(found.st_mode or 0)]
        return [file for file in files if file is not None]

    def _followed(self, path: str, found: paramiko.SFTPAttributes) -> RemoteFile | None:
        return self.head(path) if stat.S_ISLNK(found.st_mode or 0) else _file(path, found)

    def names(self, folder: str, beginning: str) -> Iterator[Entry]:
        """The folder's names."""
        with _connected(folder) as (client, place):
            listed = client.listdir_attr(place)
        for found in listed:
            if found.filename.startswith(beginning):
                is_folder = stat.S_ISDIR(found.st_mode or 0)
                yield Entry(found.filename, is_folder, status=None if is_folder else _file("", found).status)

    def fetch(self, path: str, start: int, end: int, version: str) -> bytes:
        """A range of the file, if its time and size still are ``version``."""
        with _connected(path) as (client, place), client.open(place, "rb") as file:
            if _file(path, file.stat()).version != version:
                raise changed(path)
            return b"".join(file.readv([(start, end - start)]))


def _file(path: str, found: paramiko.SFTPAttributes) -> RemoteFile:
    size_bytes, modified_s = found.st_size or 0, found.st_mtime or 0
    problem = None if stat.S_ISREG(found.st_mode or 0) else "not a regular file"
    return RemoteFile(path, size_bytes, modified_s * 10**9, f"{modified_s}-{size_bytes}", problem)


@contextmanager
def _connected(path: str) -> Iterator[tuple[paramiko.SFTPClient, str]]:
    """A client of the path's server, and the path there; errors as those of the system."""
    parts = urlsplit(path)
    key = threading.get_ident(), parts.hostname or "", parts.port, parts.username
    try:
        if key not in _CLIENTS:
            _CLIENTS[key] = _connect(*key[1:])
        yield _CLIENTS[key], parts.path or "/"
    except (FileNotFoundError, PermissionError) as exc:
        raise type(exc)(exc.errno, os.strerror(exc.errno or errno.EIO), path) from None
    except paramiko.BadHostKeyException as exc:
        raise PermissionError(errno.EACCES, f"the key of {exc.hostname} is not the one in known_hosts", path) from None
    except paramiko.AuthenticationException as exc:
        raise PermissionError(errno.EACCES, f"the server lets nobody in with these keys ({exc})", path) from None
    except paramiko.SSHException as exc:
        if "not found in known_hosts" in str(exc):
            reason = f"{parts.hostname} is not in known_hosts; connect to it by ssh once"
            raise PermissionError(errno.EACCES, reason, path) from None
        _close(key)
        raise TemporaryError(errno.EIO, f"the connection failed ({exc})", path) from None
    except (EOFError, TimeoutError, ConnectionError) as exc:
        _close(key)
        raise TemporaryError(errno.EIO, f"the connection broke off ({type(exc).__name__})", path) from None
    except OSError as exc:
        if exc.errno is not None:
            raise
        _close(key)  # an error of paramiko's own, such as of a closed socket
        raise TemporaryError(errno.EIO, f"the server cannot be asked ({exc})", path) from None


def _close(key: _Key) -> None:
    """Close a connection that has failed; the next call makes another."""
    client = _CLIENTS.pop(key, None)
    channel = None if client is None else client.get_channel()
    if channel is not None:
        channel.get_transport().close()


def _connect(host: str, port: int | None, user: str | None) -> paramiko.SFTPClient:
    """A connection.

    Raises:
        paramiko.SSHException: the host is not known, or does not let this user in.
        OSError: it cannot be reached.
    """
    config = paramiko.SSHConfig()
    with suppress(OSError), (Path.home() / ".ssh" / "config").open(encoding="utf-8") as file:
        config.parse(file)
    said: dict[str, Any] = config.lookup(host)
    ssh = paramiko.SSHClient()
    ssh.load_system_host_keys()
    ssh.set_missing_host_key_policy(paramiko.RejectPolicy())
    try:
        ssh.connect(
            said["hostname"],
            port or int(said.get("port", 22)),
            user or said.get("user") or getpass.getuser(),
            key_filename=said.get("identityfile"),
            timeout=_CONNECT_S,
            banner_timeout=_CONNECT_S,
            auth_timeout=_CONNECT_S,
        )
        client = ssh.open_sftp()
    except BaseException:
        ssh.close()
        raise
    channel = client.get_channel()
    if channel is not None:
        channel.settimeout(_ANSWER_S)
    return client
