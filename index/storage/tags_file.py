"""tags.json: what the names of a library's own labels mean. With the clips' embeddings, all of ``tags`` follows from it."""

from __future__ import annotations

import json
import math
from dataclasses import asdict
from typing import Any

from index.storage.atomic_file import replace_file
from index.storage.paths import Library
from schemas.errors import LibraryError
from schemas.tags import TagDefinition, TagDefinitions

_FORMAT_VERSION = 1


def read_definitions(library: Library) -> TagDefinitions:
    """What tags.json says; none where there is none.

    Raises:
        LibraryError: it was written by another version, or is damaged.
    """
    path = library.tags_file
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if found["format_version"] != _FORMAT_VERSION:
            raise LibraryError(
                f"--library: {str(path)!r} has format {found['format_version']}, this vidsift reads {_FORMAT_VERSION}; "
                "use the vidsift that wrote it, or delete the file and tag again"
            )
        revision = found["revision"]
        if not isinstance(revision, int) or revision < 1:
            raise ValueError(f"revision is {revision!r}")
        tags = tuple(_definition(tag) for tag in found["tags"])
        return TagDefinitions(revision, tuple(sorted(tags, key=lambda tag: tag.name)))
    except FileNotFoundError:
        return TagDefinitions()
    except OSError as exc:
        raise LibraryError(f"--library: {str(path)!r} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise LibraryError(
            f"--library: {str(path)!r} is damaged ({exc!r}); restore it, or delete it and tag again: no video is decoded"
        ) from exc


def write_definitions(library: Library, definitions: TagDefinitions) -> None:
    """Replace tags.json as a whole."""
    content = {
        "format_version": _FORMAT_VERSION,
        "revision": definitions.revision,
        "tags": [asdict(tag) for tag in definitions.tags],
    }
    replace_file(library.tags_file, json.dumps(content, indent=1) + "\n")


def _definition(found: dict[str, Any]) -> TagDefinition:
    """A definition as tags.json has it; TypeError or ValueError for one that somebody else wrote there."""
    wanted: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "weights": list,
        "bias": (int, float),
        "embedder": str,
        "prompts": list,
        "moments": int,
    }
    for key, kind in wanted.items():
        if not isinstance(found[key], kind):
            raise TypeError(f"{key} is {found[key]!r}")
    weights = tuple(map(float, found["weights"]))
    if not all(map(math.isfinite, (*weights, found["bias"]))):
        raise ValueError(f"a weight of {found['name']!r} is no number")
    return TagDefinition(**{**found, "weights": weights, "prompts": tuple(map(str, found["prompts"]))})
