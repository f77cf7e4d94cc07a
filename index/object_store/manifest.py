"""Which objects a snapshot is made of, from its description and those of its segments.

A segment or a part of channels is named by the hash of its description, which has the hashes of its other files; so what was
fetched can be checked. See `index.snapshot.snapshot` and `index.snapshot.segment` for the files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from index.object_store.store import DamagedError

DESCRIPTIONS = {"segments": "segment.json", "channel_parts": "part.json"}
"""The folders of folders that are named by their content, and the file in each that says what is in it."""


@dataclass(frozen=True, slots=True)
class SnapshotObjects:
    """What a snapshot refers to.

    Attributes:
        files: SHA-256 by the name of each file of the snapshot's own; its description has none.
        folders: the folders of segments and parts, such as ``segments/0123456789abcdef``.
    """

    files: Mapping[str, str | None]
    folders: tuple[str, ...] = field(default=())


def objects_of_snapshot(number: int, description: bytes) -> SnapshotObjects:
    """What the snapshot with this snapshot.json refers to.

    Raises:
        DamagedError: it is damaged.
    """
    content = _parsed(f"snapshots/{number}/snapshot.json", description)
    try:
        hashes = {f"snapshots/{number}/{_plain(name)}": str(digest) for name, digest in content["sha256"].items()}
        segments = [f"segments/{_plain(ref[0])}" for ref in content.get("segments", ())]
        parts = [f"channel_parts/{_plain(ref[0])}" for ref in content.get("parts", ())]
    except (LookupError, TypeError, AttributeError, ValueError) as exc:
        raise DamagedError(f"snapshot {number} is damaged in its store ({exc}); publish again") from exc
    return SnapshotObjects({f"snapshots/{number}/snapshot.json": None, **hashes}, (*segments, *parts))


def description_of(folder: str) -> str:
    """The name of a folder's description: ``segments/NAME/segment.json`` for ``segments/NAME``."""
    parent, _, _ = folder.partition("/")
    return f"{folder}/{DESCRIPTIONS[parent]}"


def files_of_folder(folder: str, description: bytes) -> dict[str, str]:
    """SHA-256 by name of the other files of a segment or a part with this description.

    Raises:
        DamagedError: it is not as it was written.
    """
    content = _parsed(description_of(folder), description)
    if hashlib.sha256(description).hexdigest()[:16] != folder.rpartition("/")[2]:
        raise DamagedError(f"{description_of(folder)} is damaged in its store; publish again")
    try:
        return {f"{folder}/{_plain(name)}": str(digest) for name, digest in content["sha256"].items()}
    except (LookupError, TypeError, AttributeError, ValueError) as exc:
        raise DamagedError(f"{description_of(folder)} is damaged in its store ({exc}); publish again") from exc


def records_of_folder(description: bytes) -> Iterator[str]:
    """The names of the files of records that a segment with this description refers to, and of those beside them."""
    try:
        features = _parsed("segment.json", description).get("features") or {}
        names = [_plain(name) for name in features.get("files", ())]
    except (TypeError, AttributeError, ValueError) as exc:
        raise DamagedError(f"segment.json is damaged in its store ({exc}); publish again") from exc
    for name in names:
        yield f"records/{name}"
        yield f"records/{name.removesuffix('.bin')}.npy"


def is_as_written(name: str, digest: str, expected: str | None) -> bool:
    """Whether a file has the SHA-256 that it should have; files of records have its beginning for their name."""
    if name.startswith("records/"):
        return name.endswith(".npy") or digest.startswith(name.removeprefix("records/").removesuffix(".bin"))
    return expected in (None, digest)


def _plain(name: str) -> str:
    """The name of a file or a folder, which leads nowhere else.

    Raises:
        ValueError: it does.
    """
    if not name or name.startswith(".") or "/" in name or "\\" in name:
        raise ValueError(f"it names {name!r}")
    return name


def _parsed(name: str, text: bytes) -> dict[str, Any]:
    try:
        content = json.loads(text)
        if not isinstance(content, dict):
            raise ValueError("it is no object")
        return content
    except (ValueError, RecursionError) as exc:
        raise DamagedError(f"{name} is damaged in its store ({exc}); publish again") from exc
