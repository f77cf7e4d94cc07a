"""library.json: the models and the sampling that all clips of a library have in common."""

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
    """The models and the sampling of a library. All clips share them, so that their vectors can be compared.

    Attributes:
        classifier: the model that gave the labels.
        embedder: the model that gave the vectors.
        sampling: how videos are cut into clips.
        features: the format of rerank features; ``none`` where the library keeps none.
    """

    classifier: Checkpoint
    embedder: Checkpoint
    sampling: Sampling
    features: FeatureKind = "none"

    @property
    def embedding_dim(self) -> int:
        """The dimension of the library's vectors."""
        assert self.embedder.embedding_dim, "check_embedder refuses an embedder without one"
        return self.embedder.embedding_dim

    def differences(self, other: LibraryConfig) -> list[str]:
        """The ways in which ``other`` differs from this, one sentence each."""
        sentences = []
        for role in ("classifier", "embedder"):
            mine, theirs = getattr(self, role), getattr(other, role)
            if mine.sha256 != theirs.sha256:
                sentences.append(f"--{role} is {theirs.stamp} here and {mine.stamp} in the library")
        for field in ("window_s", "stride_s"):
            mine, theirs = getattr(self.sampling, field), getattr(other.sampling, field)
            if mine != theirs:
                sentences.append(f"--{field.removesuffix('_s')} is {theirs:g} here and {mine:g} in the library")
        if self.features != other.features:
            sentences.append(f"--features is {other.features} here and {self.features} in the library")
        return sentences


def read_library_config(library: Library) -> LibraryConfig | None:
    """Reads library.json; None for a folder that is not a library yet.

    Raises:
        LibraryError: it was written by another version, or is damaged.
    """
    try:
        content: dict[str, Any] = json.loads(library.config_file.read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            raise LibraryError(
                f"--library: {str(library.folder)!r} has format {content['format_version']}, this vidsift reads "
                f"{FORMAT_VERSION}; use the vidsift that made it, or ingest into a new folder"
            )
        features = content.get("features", "none")
        if features not in get_args(FeatureKind):
            raise ValueError(f"features is {features!r}")
        return LibraryConfig(
            _checkpoint(content["classifier"]), _checkpoint(content["embedder"]), Sampling(**content["sampling"]), features
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
    """Reads library.json of a library that has to exist.

    Raises:
        LibraryError: there is no library, or as for `read_library_config`.
    """
    config = read_library_config(library)
    if config is None:
        raise LibraryError(
            f"--library: {str(library.folder)!r} is not a vidsift library (it holds no library.json); "
            "make one with: vidsift ingest FOLDER --library DIR"
        )
    return config


def _checkpoint(content: dict[str, Any]) -> Checkpoint:
    """A checkpoint as library.json has it; TypeError where it has another form."""
    types: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "folder": str,
        "revision": (str, type(None)),
        "model_type": str,
        "sha256": str,
        "architectures": list,
        "embedding_dim": (int, type(None)),
    }
    for key, kind in types.items():
        if not isinstance(content[key], kind):
            raise TypeError(f"{key} is {content[key]!r}")
    return Checkpoint(**{**content, "architectures": tuple(content["architectures"])})


def write_library_config(library: Library, config: LibraryConfig) -> None:
    """Write library.json; a library's first ingest does this once."""
    content = {"format_version": FORMAT_VERSION, **asdict(config)}
    replace_file(library.config_file, json.dumps(content, indent=1) + "\n")
