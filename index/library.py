"""A library's folder: what is where, which models made it, and which snapshot readers open."""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, get_args

from schemas.errors import LibraryError
from schemas.models import Checkpoint
from schemas.options import FeatureKind, Sampling

FORMAT_VERSION = 1


@dataclass(frozen=True, slots=True)
class Library:
    """Paths within a library. Making one of these touches nothing."""

    folder: Path

    @property
    def _absolute(self) -> Path:
        """The folder by a path that Delta Lake and DuckDB take for nothing else: to them a ~ at its start is the home."""
        return self.folder.absolute()

    @property
    def identity_file(self) -> Path:
        """library.json: what every clip in it has in common."""
        return self.folder / "library.json"

    @property
    def videos(self) -> Path:
        """The Delta table of videos."""
        return self._absolute / "videos"

    @property
    def clips(self) -> Path:
        """The Delta table of clips."""
        return self._absolute / "clips"

    @property
    def features(self) -> Path:
        """The Delta table of what exact scores need; not there in a library that keeps none."""
        return self._absolute / "features"

    @property
    def tags(self) -> Path:
        """The Delta table of the library's own labels."""
        return self._absolute / "tags"

    @property
    def tags_file(self) -> Path:
        """tags.json: what the names in ``tags`` mean."""
        return self.folder / "tags.json"

    @property
    def snapshots(self) -> Path:
        """The folder of snapshots, one numbered folder each."""
        return self._absolute / "snapshots"

    @property
    def current_file(self) -> Path:
        """Names the snapshot that readers open."""
        return self.folder / "CURRENT"

    @property
    def lock_file(self) -> Path:
        """Held by the one ingest that may write."""
        return self.folder / "ingest.lock"

    def current_snapshot(self) -> Path:
        """The folder of the snapshot that readers open.

        Raises:
            LibraryError: there is no library here, or nothing has been published in it yet.
        """
        if read_identity(self) is None:
            raise LibraryError(
                f"--library: {str(self.folder)!r} is no vidsift library (it holds no library.json); "
                "make one with: vidsift ingest FOLDER --library DIR"
            )
        try:
            number = int(self.current_file.read_text(encoding="ascii"))
        except FileNotFoundError as exc:
            raise LibraryError(
                f"--library: nothing has been published in {str(self.folder)!r} yet; "
                "wait for its first ingest to end, or run it again"
            ) from exc
        except (OSError, ValueError) as exc:
            raise LibraryError(
                f"--library: {str(self.current_file)!r} names no snapshot; run the ingest again to publish one"
            ) from exc
        return self.snapshots / str(number)


@dataclass(frozen=True, slots=True)
class Identity:
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

    def differences(self, other: Identity) -> list[str]:
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


def read_identity(library: Library) -> Identity | None:
    """What library.json says, or None for a folder that is no library yet.

    Raises:
        LibraryError: it was written by another version, or is damaged.
    """
    try:
        found: dict[str, Any] = json.loads(library.identity_file.read_text(encoding="utf-8"))
        if found["format_version"] != FORMAT_VERSION:
            raise LibraryError(
                f"--library: {str(library.folder)!r} has format {found['format_version']}, this vidsift reads "
                f"{FORMAT_VERSION}; use the vidsift that made it, or ingest into a new folder"
            )
        features = found.get("features", "none")
        if features not in get_args(FeatureKind):
            raise ValueError(f"features is {features!r}")
        return Identity(
            _checkpoint(found["classifier"]), _checkpoint(found["embedder"]), Sampling(**found["sampling"]), features
        )
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise LibraryError(f"--library: {str(library.folder)!r} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, RecursionError) as exc:
        raise LibraryError(
            f"--library: {str(library.identity_file)!r} is damaged ({exc!r}); restore it, or ingest into a new folder"
        ) from exc


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


def write_identity(library: Library, identity: Identity) -> None:
    """Write library.json, once in a library's life."""
    content = {"format_version": FORMAT_VERSION, **asdict(identity)}
    replace_file(library.identity_file, json.dumps(content, indent=1) + "\n")


def replace_file(path: Path, text: str) -> None:
    """Replace a file as a whole: readers see the old content or the new, also after a power cut."""
    aside = path.with_name(f".{path.name}.{os.getpid()}")
    with aside.open("w", encoding="utf-8") as stream:
        stream.write(text)
        stream.flush()
        os.fsync(stream.fileno())
    aside.replace(path)
