"""Hashes that tell files apart."""

from __future__ import annotations

import os
from hashlib import blake2b

from schemas.errors import VideoError


def ends_hash(path: str) -> bytes:
    """16 bytes of BLAKE2b over the file's first and last 64 KiB; empty where it cannot be read."""
    digest = blake2b(digest_size=16)
    try:
        with open(path, "rb") as stream:
            digest.update(stream.read(1 << 16))
            stream.seek(max(0, os.fstat(stream.fileno()).st_size - (1 << 16)))
            digest.update(stream.read())
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
        with open(path, "rb") as stream:
            while chunk := stream.read(1 << 20):
                digest.update(chunk)
    except OSError as exc:
        raise VideoError("find", f"cannot be read: {exc.strerror}") from exc
    return digest.hexdigest()
