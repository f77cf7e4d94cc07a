"""Hashes that tell files apart."""

from __future__ import annotations

from hashlib import blake2b

from pipeline.sources import source_of
from schemas.errors import VideoError

_END_BYTES = 1 << 16
_CHUNK_BYTES = 1 << 20


def ends_hash(path: str) -> bytes:
    """16 bytes of BLAKE2b over the file's first and last 64 KiB; empty where it cannot be read."""
    digest, source = blake2b(digest_size=16), source_of(path)
    try:
        size_bytes = source.stat(path).size_bytes
        digest.update(source.read_range(path, 0, _END_BYTES))
        digest.update(source.read_range(path, max(0, size_bytes - _END_BYTES), _END_BYTES))
    except OSError:
        return b""
    return digest.digest()


def content_hash(path: str) -> str:
    """32 hex digits of BLAKE2b over the whole file. One core hashes about 1 GB/s, far faster than it decodes.

    Raises:
        VideoError: the file cannot be read.
    """
    digest = blake2b(digest_size=16)
    try:
        with source_of(path).open(path) as file:
            while chunk := file.read(_CHUNK_BYTES):
                digest.update(chunk)
    except OSError as exc:
        raise VideoError("find", f"cannot be read: {exc.strerror or exc}") from exc
    return digest.hexdigest()
