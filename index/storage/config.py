"""library.json: the models and the sampling that all clips of a library have in common."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, NamedTuple, get_args

from index.storage.atomic_file import replace_file
from index.storage.paths import Library
from index.storage.working_copies import refresh
from schemas.channels import CHANNELS
from schemas.errors import LibraryError
from schemas.models import Checkpoint
from schemas.options import FeatureKind, Sampling
from schemas.tables import CLASSIFIER_COLUMNS, EMBEDDER_COLUMNS, FEATURE_COLUMNS

FORMAT_VERSION = 1

# Annotators' own tables are folders beside the library's, so their names must be safe and not taken.
_NAME = re.compile("[a-z][a-z_]*")
_TAKEN = frozenset(
    {"videos", "clips", "labels", "features", "tags", "snapshots", "segments", "records"}
    | {"annotations", "channel_parts", "duplicates", *CHANNELS}
)


class AnnotatorTable(NamedTuple):
    """A table that an annotator fills alone.

    Attributes:
        annotator: the annotator's name.
        table: the table's, which is its folder's too.
        columns: its columns, beside clip_id and video_id.
    """

    annotator: str
    table: str
    columns: tuple[str, ...]


class ChannelConfig(NamedTuple):
    """An annotator of whole videos, as a library has it on.

    Attributes:
        version: of the annotator: the model and its settings.
        settings: what `pipeline.video_annotators` makes it of again.
    """

    version: str
    settings: dict[str, str]


class TextEmbedder(NamedTuple):
    """The sentence encoder that embeds what is said and can be read in a library.

    Attributes:
        checkpoint: its files.
        version: of it and of how texts become passages; vectors of another are made anew.
        mean: of the cosines that it gives a question and a text which has nothing to do with it.
        spread: their standard deviation.
    """

    checkpoint: Checkpoint
    version: str
    mean: float
    spread: float


@dataclass(frozen=True, slots=True)
class LibraryConfig:
    """The models and the sampling of a library. All clips share them, so that their vectors can be compared.

    Attributes:
        classifier: the model that gave the labels.
        embedder: the model that gave the vectors.
        sampling: how videos are cut into clips.
        features: the format of rerank features; ``none`` where the library keeps none.
        annotator_tables: the tables of annotators other than the classifier and the embedder.
        channels: the annotators of whole videos that an ingest runs, by name, each with its version and its settings.
        text_embedder: what embeds their texts; None where nothing does.
    """

    classifier: Checkpoint
    embedder: Checkpoint
    sampling: Sampling
    features: FeatureKind = "none"
    annotator_tables: tuple[AnnotatorTable, ...] = ()
    channels: Mapping[str, ChannelConfig] = field(default_factory=dict)
    text_embedder: TextEmbedder | None = None

    def __post_init__(self) -> None:
        """Refuse tables that cannot be folders beside the library's own.

        Raises:
            ValueError: a name is not safe, or is taken.
        """
        taken = set(_TAKEN)
        for annotator, table, _ in self.annotator_tables:
            if not (_NAME.fullmatch(annotator) and _NAME.fullmatch(table)) or annotator in ("classifier", "embedder"):
                raise ValueError(f"annotator {annotator!r} with table {table!r}: expected other names of a-z and _")
            if table in taken:
                raise ValueError(f"annotator {annotator!r}: its table {table!r} is another's")
            taken.add(table)

    @property
    def embedding_dim(self) -> int:
        """The dimension of the library's vectors."""
        assert self.embedder.embedding_dim, "check_embedder refuses an embedder without one"
        return self.embedder.embedding_dim

    def differences(self, other: LibraryConfig) -> list[str]:
        """The ways in which ``other`` differs from this, one sentence each."""
        sentences = []
        for role in ("classifier", "embedder"):
            sentences += _model_differences(role, getattr(self, role), getattr(other, role))
        for name in ("window_s", "stride_s"):
            mine, theirs = getattr(self.sampling, name), getattr(other.sampling, name)
            if mine != theirs:
                sentences.append(f"`{name}` is {theirs:g} here and {mine:g} in the library")
        if self.sampling.shots != other.sampling.shots:
            mine, theirs = (_clips_text(of.sampling) for of in (self, other))
            sentences.append(f"`clips` are {theirs} here and {mine} in the library")
        if self.features != other.features:
            sentences.append(f"`features` is {other.features} here and {self.features} in the library")
        if self.annotator_tables != other.annotator_tables:
            here, there = (", ".join(config.annotators) for config in (other, self))
            sentences.append(f"the annotators are {here} here and {there} in the library")
        return sentences

    @property
    def annotators(self) -> dict[str, dict[str, list[str]]]:
        """The columns that each annotator fills, by its name and by table: the classifier and the embedder come first."""
        filled = {
            "classifier": {"clips": list(CLASSIFIER_COLUMNS.names)},
            "embedder": {"clips": list(EMBEDDER_COLUMNS.names)},
        }
        if self.features != "none":
            filled["embedder"]["features"] = list(FEATURE_COLUMNS.names)
        for annotator, table, columns in self.annotator_tables:
            filled.setdefault(annotator, {})[table] = list(columns)
        return filled


def _model_differences(role: str, mine: Checkpoint, theirs: Checkpoint) -> list[str]:
    """At most one sentence."""
    if mine.sha256 != theirs.sha256:
        return [f"`{role}` is {theirs.stamp} here and {mine.stamp} in the library"]
    if mine.embedding_dim != theirs.embedding_dim:
        return [f"`dim` is {theirs.embedding_dim} here and {mine.embedding_dim} in the library"]
    if mine.num_frames != theirs.num_frames:
        here, there = (of.num_frames or "the model's own" for of in (theirs, mine))
        return [f"`frames` is {here} here and {there} in the library"]
    if mine.views != theirs.views:
        here, there = (of.views or "left out" for of in (theirs, mine))
        return [f"`views` is {here} here and {there} in the library"]
    return []


def _clips_text(sampling: Sampling) -> str:
    return "windows" if sampling.shots == "none" else f"cut at shots by {sampling.shots}"


def read_library_config(library: Library) -> LibraryConfig | None:
    """Reads library.json; None for a folder that is not a library yet.

    Raises:
        LibraryError: it was written by another version, or is damaged; or its store cannot be read.
    """
    refresh(library.folder)
    try:
        content: dict[str, Any] = json.loads(library.config_file.read_text(encoding="utf-8"))
        if content["format_version"] != FORMAT_VERSION:
            raise LibraryError(
                f"{library.shown!r} has format {content['format_version']}, this vidsift reads "
                f"{FORMAT_VERSION}; use the vidsift that made it, or ingest into a new folder"
            )
        features = content.get("features", "none")
        if features not in get_args(FeatureKind):
            raise ValueError(f"features is {features!r}")
        return LibraryConfig(
            _checkpoint(content["classifier"]),
            _checkpoint(content["embedder"]),
            Sampling(**content["sampling"]),
            features,
            _annotator_tables(content.get("annotators", {})),
            _channels(content.get("channels", {})),
            _text_embedder(content.get("text_embedder")),
        )
    except FileNotFoundError:
        return None
    except OSError as exc:
        raise LibraryError(f"{library.shown!r} cannot be read: {exc.strerror}") from exc
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as exc:
        raise LibraryError(
            f"{str(library.config_file)!r} is damaged ({exc!r}); restore it, or ingest into a new folder"
        ) from exc


def existing_library_config(library: Library) -> LibraryConfig:
    """Reads library.json of a library that has to exist.

    Raises:
        LibraryError: there is no library, or as for `read_library_config`.
    """
    config = read_library_config(library)
    if config is None:
        raise LibraryError(
            f"{library.shown!r} is not a vidsift library (it holds no library.json); "
            "make one with: vidsift ingest FOLDER --library DIR"
        )
    return config


def _annotator_tables(annotators: dict[str, dict[str, list[str]]]) -> tuple[AnnotatorTable, ...]:
    """The tables of annotators beside the pair, as library.json has them. A library from before has none.

    Raises:
        TypeError: they are not a dictionary of dictionaries of names.
    """
    tables = []
    for annotator, filled in annotators.items() if isinstance(annotators, dict) else [("", None)]:
        if not isinstance(filled, dict):
            raise TypeError(f"annotators is {annotators!r}")
        if annotator not in ("classifier", "embedder"):
            tables += [AnnotatorTable(annotator, table, tuple(map(str, columns))) for table, columns in filled.items()]
    return tuple(tables)


def _channels(content: dict[str, dict[str, Any]]) -> dict[str, ChannelConfig]:
    """The annotators of whole videos, as library.json has them. A library from before has none.

    Raises:
        TypeError: a value is not of its type.
    """
    channels = {}
    for name, channel in content.items():
        version, settings = channel["version"], channel["settings"]
        if not isinstance(version, str) or not all(isinstance(value, str) for value in settings.values()):
            raise TypeError(f"channels.{name} is {channel!r}")
        channels[name] = ChannelConfig(version, dict(settings))
    return channels


def _text_embedder(content: dict[str, Any] | None) -> TextEmbedder | None:
    """The sentence encoder, as library.json has it. A library from before has none.

    Raises:
        TypeError: a value is not of its type.
    """
    if content is None:
        return None
    version, mean, spread = (content[name] for name in ("version", "mean", "spread"))
    if not isinstance(version, str) or not all(isinstance(value, float) for value in (mean, spread)):
        raise TypeError(f"text_embedder is {content!r}")
    return TextEmbedder(_checkpoint(content["checkpoint"]), version, mean, spread)


def _checkpoint(content: dict[str, Any]) -> Checkpoint:
    """A checkpoint as library.json has it.

    Raises:
        TypeError: a value is not of its type.
    """
    types: dict[str, type | tuple[type, ...]] = {
        "name": str,
        "folder": str,
        "revision": (str, type(None)),
        "model_type": str,
        "sha256": str,
        "architectures": list,
        "embedding_dim": (int, type(None)),
        "num_frames": (int, type(None)),
        "views": (int, type(None)),
    }
    content = {"num_frames": None, "views": None, **content}
    for key, kind in types.items():
        if not isinstance(content[key], kind):
            raise TypeError(f"{key} is {content[key]!r}")
    return Checkpoint(**{**content, "architectures": tuple(content["architectures"])})


def write_library_config(library: Library, config: LibraryConfig) -> None:
    """Write library.json: by a library's first ingest, and when its annotators of whole videos change."""
    content = {"format_version": FORMAT_VERSION, **asdict(config), "annotators": config.annotators}
    del content["annotator_tables"], content["channels"]
    if config.sampling.shots == "none":
        del content["sampling"]["shots"]  # which earlier versions do not know
    if config.text_embedder is None:
        del content["text_embedder"]  # likewise
    else:
        content["text_embedder"] = config.text_embedder._asdict() | {"checkpoint": asdict(config.text_embedder.checkpoint)}
    models = [content["classifier"], content["embedder"]]
    for model in models if config.text_embedder is None else [*models, content["text_embedder"]["checkpoint"]]:
        for setting in ("num_frames", "views"):
            if model[setting] is None:
                del model[setting]  # likewise
    if config.channels:
        content["channels"] = {name: channel._asdict() for name, channel in config.channels.items()}
    replace_file(library.config_file, json.dumps(content, indent=1) + "\n")
