"""Videos of an SSH server, which paramiko plays here."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import paramiko
import pytest

from pipeline.probe import probe
from pipeline.sources import page_cache, remote, sftp, source_of
from pipeline.sources.base import FileChangedError
from pipeline.sources.find import find_videos
from pipeline.sources.hashing import content_hash
from schemas.errors import UsageError
from schemas.records import VideoFile
from tests.helpers.videos import write_video


class Login(paramiko.ServerInterface):  # type: ignore[misc]
    """Lets in whoever has the right key."""

    key: paramiko.PKey

    def check_auth_publickey(self, username: str, key: paramiko.PKey) -> int:
        return int(paramiko.AUTH_SUCCESSFUL if key == self.key else paramiko.AUTH_FAILED)

    def get_allowed_auths(self, username: str) -> str:
        return "publickey"

    def check_channel_request(self, kind: str, chanid: int) -> int:
        return int(paramiko.OPEN_SUCCEEDED)


class Files(paramiko.SFTPServerInterface):  # type: ignore[misc]
    """A folder of this machine as the server's root."""

    root = ""

    def _at(self, path: str) -> str:
        return f"{self.root}{self.canonicalize(path)}"

    def list_folder(self, path: str) -> Any:
        try:
            names = os.listdir(self._at(path))
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)
        return [paramiko.SFTPAttributes.from_stat(os.lstat(os.path.join(self._at(path), name)), name) for name in names]

    def stat(self, path: str) -> Any:
        try:
            return paramiko.SFTPAttributes.from_stat(os.stat(self._at(path)))
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)

    def open(self, path: str, flags: int, attr: paramiko.SFTPAttributes) -> Any:
        handle = paramiko.SFTPHandle(flags)
        try:
            handle.readfile = open(self._at(path), "rb")  # noqa: SIM115 - the handle closes it
        except OSError as exc:
            return paramiko.SFTPServer.convert_errno(exc.errno or 0)
        handle.stat = lambda: paramiko.SFTPAttributes.from_stat(os.stat(self._at(path)))
        return handle


@pytest.fixture
def served(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """The address of a folder, and the folder."""
    host_key, own_key = paramiko.RSAKey.generate(2048), paramiko.RSAKey.generate(2048)
    root, home = tmp_path / "root", tmp_path / "home"
    (home / ".ssh").mkdir(parents=True)
    (root / "films").mkdir(parents=True)
    own_key.write_private_key_file(str(home / ".ssh" / "id_rsa"))
    Login.key, Files.root = own_key, str(root)
    listener = socket.create_server(("127.0.0.1", 0))
    port, open_transports = listener.getsockname()[1], list[paramiko.Transport]()
    (home / ".ssh" / "known_hosts").write_text(f"[127.0.0.1]:{port} {host_key.get_name()} {host_key.get_base64()}\n")
    (home / ".ssh" / "config").write_text(f"Host archive\n HostName 127.0.0.1\n Port {port}\n User someone\n")

    def accept() -> None:
        with suppress(OSError):
            while True:
                transport = paramiko.Transport(listener.accept()[0])
                transport.add_server_key(host_key)
                transport.set_subsystem_handler("sftp", paramiko.SFTPServer, Files)
                open_transports.append(transport)
                with suppress(Exception):
                    transport.start_server(server=Login())

    threading.Thread(target=accept, daemon=True).start()
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("SSH_AUTH_SOCK", raising=False)
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    page_cache.page_cache.cache_clear()
    sftp._CLIENTS.clear()
    yield f"sftp://someone@127.0.0.1:{port}", root
    listener.close()
    for transport in open_transports:
        transport.close()
    sftp._CLIENTS.clear()
    page_cache.page_cache.cache_clear()


def test_videos_are_listed_and_read_as_on_disk(served: tuple[str, Path]) -> None:
    url, root = served
    film = write_video(root / "films" / "a b ü.mp4", 100)
    (root / "films" / "deep").mkdir()
    write_video(root / "films" / "deep" / "c.mkv", 30)
    (root / "films" / ".hidden.mp4").write_bytes(b"x")
    (root / "films" / "link.mp4").symlink_to(film)
    (root / "films" / "nowhere.mp4").symlink_to("nowhere")
    (root / "films" / "empty.mp4").touch()
    items = list(find_videos([f"{url}/films"]))
    files = [item for item in items if isinstance(item, VideoFile)]
    names = ["a b ü.mp4", "link.mp4", "deep/c.mkv"]
    assert [file.path for file in files] == [f"{url}/films/{name}" for name in names]
    assert [str(item[1]) for item in items if isinstance(item, tuple)] == ["find: the file is empty (0 bytes)"]
    assert files[0].size_bytes == film.stat().st_size
    assert content_hash(files[0].path) == content_hash(str(film))
    assert probe(files[0].path).num_frames == 100
    (by_config,) = find_videos(["sftp://archive/films/deep"])
    assert isinstance(by_config, VideoFile)
    assert by_config.path == "sftp://archive/films/deep/c.mkv"


def test_a_replaced_file_is_found_out(served: tuple[str, Path]) -> None:
    url, root = served
    (root / "a.mp4").write_bytes(b"a" * 2_000_000)
    with source_of(url).open(f"{url}/a.mp4") as file:
        file.read(1)
        (root / "a.mp4").write_bytes(b"b" * 2_000_001)
        with pytest.raises(FileChangedError):
            file.read()


def test_a_connection_that_is_gone_is_made_anew(served: tuple[str, Path]) -> None:
    url, root = served
    (root / "a.mp4").write_bytes(b"a" * 1000)
    source = source_of(url)
    assert source.stat(f"{url}/a.mp4").size_bytes == 1000
    (client,) = sftp._CLIENTS.values()
    client.sock.close()
    assert source.read_range(f"{url}/a.mp4", 0, 10) == b"a" * 10
    assert not client.get_channel().get_transport().is_active(), "the one that failed is closed"


def test_hosts_and_keys_that_are_not_known_are_refused(served: tuple[str, Path], tmp_path: Path) -> None:
    url, _ = served
    with pytest.raises(UsageError, match="no such file or folder"):
        list(find_videos([f"{url}/nowhere"]))
    paramiko.RSAKey.generate(2048).write_private_key_file(str(tmp_path / "home" / ".ssh" / "id_rsa"))
    sftp._CLIENTS.clear()
    with pytest.raises(UsageError, match="cannot be reached: the server lets nobody in with these keys"):
        list(find_videos([f"{url}/films"]))
    (tmp_path / "home" / ".ssh" / "known_hosts").write_text("")
    with pytest.raises(UsageError, match=r"127\.0\.0\.1 is not in known_hosts; connect to it by ssh once"):
        list(find_videos([f"{url}/films"]))
