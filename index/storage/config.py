"""library.json: what every clip of a library has in common."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import Any, get_args

from index.storage.atomic_file import replace_file
from index.storage.paths import Library
from schemas.errors import LibraryError
from schemas.models import Checkpoint
from schemas.options import FeatureKind, Sampling

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class LibraryConfig:
    """What every clip of a library has in common: the models and the sampling behind it, which make vectors comparable.

    Attributes:
        features: how what exact scores need is kept; ``none`` in libraries from before it could be.
    """

    classifier: Checkpoint
    embedder: Checkpoint
    sampling: Sampling
    features: FeatureKind = "none"

    @property
    def embedding_dim(self) -> int:
        """Dimension of the library's vectors."""
        assert self.embedder.embedding_dim, "check_embedder has seen to this"
        return self.embedder.embedding_dim

    def differences(self, other: LibraryConfig) -> list[str]:
        """What ``other`` has otherwise, a sentence each."""
        found = []
        for role in ("classifier", "embedder"):
            mine, theirs = getattr(self, role), getattr(other, role)
            if mine.sha256 != theirs.sha256:
                found.append(f"--{role} is {theirs.stamp} here and {mine.stamp} in the library")
        for field in ("window_s", "stride_s"):
            mine, theirs = getattr(self.sampling, field), getattr(other.sampling, field)
            if mine != theirs:
                found.append(f"--{field.removesuffix('_s')} is {theirs:g} here and {mine:g} in the library")
        if self.features != other.features:
            found.append(f"--features is {other.features} here and {self.features} in the library")
        return found


def read_library_config(library: Library) -> LibraryConfig | None:
    """What library.json says, or None for a folder that is no library yet.

    Raises:
        LibraryError: it was written by another version, or is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(library.config_file.read_text(encoding="utf-8"))
        if found["format_version"] != FORMAT_VERSION:
            raise LibraryError(
                f"--library: {str(library.folder)!r} has format {found['format_version']}, this vidsift reads "
                f"{FORMAT_VERSION}; use the vidsift that made it, or ingest into a new folder"
            )
        features = found.get("features", "none")
        if features not in get_args(FeatureKind):
            raise ValueError(f"features is {features!r}")
        return LibraryConfig(
            _checkpoint(found["classifier"]), _checkpoint(found["embedder"]), Sampling(**found["sampling"]), features
        )
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise LibraryError(f"--library: {str(library.folder)!r} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise LibraryError(
            f"--library: {str(library.config_file)!r} is damaged ({exc!r}); restore it, or ingest into a new folder"
        ) from exc


def existing_library_config(library: Library) -> LibraryConfig:
    """What library.json says of a library that must be there.

    Raises:
        LibraryError: there is none, or as for `read_library_config`.
    """
    identity = read_library_config(library)
    if identity is None:
        raise LibraryError(
            f"--library: {str(library.folder)!r} is not a vidsift library (it holds no library.json); "
            "make one with: vidsift ingest FOLDER --library DIR"
        )
    return identity


def _checkpoint(found: dict[str, Any]) -> Checkpoint:
    """A checkpoint as library.json has it; TypeError for one that somebody else wrote there."""
    wanted: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "folder": str,
        "revision": (str, type(None)),
        "model_type": str,
        "sha256": str,
        "architectures": list,
        "embedding_dim": (int, type(None)),
    }
    for key, kind in wanted.items():
        if not isinstance(found[key], kind):
            raise TypeError(f"{key} is {found[key]!r}")
    return Checkpoint(**{**found, "architectures": tuple(found["architectures"])})


def write_library_config(library: Library, identity: LibraryConfig) -> None:
    """Write library.json, once in a library's life."""
    content = {"format_version": FORMAT_VERSION, **asdict(identity)}
    replace_file(library.config_file, json.dumps(content, indent=1) + "\n")
