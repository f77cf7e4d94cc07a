"""tags.json: the definitions of a library's tags, from which the clips' embeddings give all scores in ``tags``."""

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
    """Reads tags.json; no definitions where there is no such file.

    Raises:
        LibraryError: it was written by another version, or is damaged.
    """
    path = library.tags_file
    try:
        content: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
        if content["format_version"] != _FORMAT_VERSION:
            raise LibraryError(
                f"{str(path)!r} has format {content['format_version']}, this vidsift reads {_FORMAT_VERSION}; "
                "use the vidsift that wrote it, or delete the file and tag again"
            )
        revision = content["revision"]
        if not isinstance(revision, int) or revision < 1:
            raise ValueError(f"revision is {revision!r}")
        tags = tuple(_definition(tag) for tag in content["tags"])
        return TagDefinitions(revision, tuple(sorted(tags, key=lambda tag: tag.name)))
    except FileNotFoundError:
        return TagDefinitions()
    except OSError as exc:
        raise LibraryError(f"{str(path)!r} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise LibraryError(
            f"{str(path)!r} is damaged ({exc!r}); restore it, or delete it and tag again: no video is decoded"
        ) from exc


def tag_digests(library: Library) -> tuple[str, ...]:
    """The digests of the definitions in tags.json, by name; errors as for `read_definitions`."""
    return tuple(tag.digest for tag in read_definitions(library).tags)


def write_definitions(library: Library, definitions: TagDefinitions) -> None:
    """Replace tags.json as a whole."""
    content = {
        "format_version": _FORMAT_VERSION,
        "revision": definitions.revision,
        "tags": [asdict(tag) for tag in definitions.tags],
    }
    replace_file(library.tags_file, json.dumps(content, indent=1) + "\n")


def _definition(content: dict[str, Any]) -> TagDefinition:
    """A definition as tags.json has it; TypeError or ValueError where it has another form."""
    types: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "weights": list,
        "bias": (int, float),
        "embedder": str,
        "prompts": list,
        "moments": int,
    }
    for key, kind in types.items():
        if not isinstance(content[key], kind):
            raise TypeError(f"{key} is {content[key]!r}")
    weights = tuple(map(float, content["weights"]))
    if not all(map(math.isfinite, (*weights, content["bias"]))):
        raise ValueError(f"a weight of {content['name']!r} is no number")
    return TagDefinition(**{**content, "weights": weights, "prompts": tuple(map(str, content["prompts"]))})
