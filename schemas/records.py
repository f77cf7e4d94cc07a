"""One immutable record for each step that a video passes through.

Times are seconds from the container's start time, as players show them. Intervals are half open, [start_s, end_s).
"""

from __future__ import annotations

import os
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from hashlib import blake2b
from typing import TYPE_CHECKING, Literal, NamedTuple

from schemas.models import Geometry, Label, ModelInput
from schemas.video_meta import Crop, Keyframe, Part

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from schemas.options import Scaling
    from schemas.rerank_features import ClipFeatures

VideoStatus = Literal["indexed", "partial", "failed"]


def path_text(path: str) -> str:
    r"""Spell a path so that any text column can hold it: bytes that are no UTF-8 become ``\xNN``."""
    return os.fsencode(path).decode("utf-8", "backslashreplace")


@dataclass(frozen=True, slots=True)
class VideoFile:
    """A file as the file system describes it, before anything is read.

    Attributes:
        path: absolute path; names that are no UTF-8 are surrogate-escaped as ``os`` functions give them.
        size_bytes: size in bytes.
        modified_ns: modification time in nanoseconds since the epoch.
        version: what its store calls this content, such as an ETag; empty for files on a disk.
    """

    path: str
    size_bytes: int
    modified_ns: int
    version: str = ""


class Problem(NamedTuple):
    """Something wrong with a video that did not keep all of it from being indexed.

    Attributes:
        stage: where it showed: ``probe`` for the container, ``decode`` for the frames.
        reason: a sentence for ``videos.error``.
    """

    stage: str
    reason: str


class Span(NamedTuple):
    """An interval of a video, [start_s, end_s)."""

    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class VideoInfo:
    """A video as its row in ``videos`` describes it, where the file could be read that far.

    Attributes:
        width: pixels across, as shown (after rotation and with square pixels).
        height: pixels down, as shown.
        duration_s: from its packets, never from the header alone.
        track: which of its video tracks was taken, from 1.
        tracks: how many it has.
    """

    video_id: str
    file: VideoFile
    content_hash: str | None = None
    container: str | None = None
    codec: str | None = None
    width: int | None = None
    height: int | None = None
    rotation_deg: int | None = None
    fps: float | None = None
    duration_s: float | None = None
    track: int | None = None
    tracks: int | None = None


@dataclass(frozen=True, slots=True, eq=False)
class SpanJob:
    """Up to a minute of one video: all that a decoder needs, so that no other process looks at the container again.

    Attributes:
        video: the video this belongs to.
        part: which job of the video this is, from 0.
        num_parts: how many jobs the video has.
        codec: the codec's short name.
        time_base: seconds per tick.
        rotation_deg: as in `VideoMeta`.
        mirrored: as in `VideoMeta`.
        pixel_aspect: as in `VideoMeta`.
        timed: as in `VideoMeta`.
        seek: where to start decoding; None starts at the beginning.
        seek_index: which frame that is, in presentation order from 0.
        earlier: the keyframe before that one, for streams that are whole only some frames after a keyframe; None starts at
            the beginning.
        chain: the first of the jobs that start decoding at this one's place; one pass does them all.
        spans: the clips' intervals.
        inputs: the distinct inputs to make for each clip.
        frame_index: int64 [n], ascending: which of the video's frames are wanted, in presentation order from 0.
        frame_pts: int64 [n], the same frames' presentation times in ticks.
        picks: for each span and each input, positions in ``frame_pts``.
        max_pixels: frames that turn out larger are refused.
        scaling: how frames come to the inputs' geometry.
        problems: what the demux pass found wrong; carried by the first part alone.
        joined: `VideoMeta.parts`.
        coded_as_fields: as in `VideoMeta`.
        crop: as in `VideoMeta`.
        wide_colours: as in `VideoMeta`.
        stream_index: as in `VideoMeta`.
        start_pts: as in `VideoMeta`.
    """

    video: VideoInfo
    part: int
    num_parts: int
    codec: str
    time_base: Fraction
    rotation_deg: int
    mirrored: bool
    pixel_aspect: Fraction
    timed: bool
    seek: Keyframe | None
    seek_index: int
    earlier: Keyframe | None
    chain: int
    spans: tuple[Span, ...]
    inputs: tuple[ModelInput, ...]
    frame_index: NDArray[np.int64]
    frame_pts: NDArray[np.int64]
    picks: tuple[tuple[NDArray[np.int64], ...], ...]
    max_pixels: int
    scaling: Scaling = "fast"
    problems: tuple[Problem, ...] = ()
    joined: tuple[Part, ...] = ()
    coded_as_fields: bool = False
    crop: Crop | None = None
    wide_colours: bool = False
    stream_index: int | None = None
    start_pts: int = 0

    @property
    def geometries(self) -> tuple[Geometry, ...]:
        """The distinct geometries of the inputs: a frame is scaled once to each."""
        return tuple(dict.fromkeys(model_input.geometry for model_input in self.inputs))


@dataclass(frozen=True, slots=True, eq=False)
class Clip:
    """A decoded clip: the only record that holds frames, and it does not outlive annotation.

    Attributes:
        frames: for each distinct input, uint8 [num_frames, height, width, 3], RGB.
        sound: float32 [num_samples], 16,000 a second, where an annotator hears and the video has sound; else None.
    """

    clip_id: int
    video_id: str
    span: Span
    frames: tuple[NDArray[np.uint8], ...]
    sound: NDArray[np.float32] | None = None


@dataclass(frozen=True, slots=True)
class SpanDone:
    """The outcome of one `SpanJob`.

    Attributes:
        clip_ids: the clips that were decoded.
        problems: what was wrong; not empty where there are no clips.
    """

    video: VideoInfo
    part: int
    num_parts: int
    clip_ids: tuple[int, ...]
    problems: tuple[Problem, ...] = ()


@dataclass(frozen=True, slots=True)
class VideoFailed:
    """A video of which nothing can be indexed, with the stage that said so and its reason."""

    video: VideoInfo
    stage: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class ClipRow:
    """A clip's row: its labels, its embedding and its features.

    Attributes:
        labels: the best labels with their softmax probabilities, best first.
        embedding: float32 [dim], L2-normalised, so that a dot product is a cosine.
        features: what rerank scores need; None where the library keeps none.
        others: for each table of an annotator's own, the values by column.
    """

    clip_id: int
    video_id: str
    span: Span
    labels: tuple[Label, ...]
    embedding: NDArray[np.float32]
    features: ClipFeatures | None = None
    others: Mapping[str, Mapping[str, object]] = field(default_factory=dict)


class WrittenFile(NamedTuple):
    """A Parquet file on disk, not yet committed.

    Attributes:
        name: file name within its table's folder.
        size_bytes: its size.
    """

    name: str
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Written:
    """One Parquet file of clips on disk, and the files of the same clips in other tables; none is committed yet.

    Attributes:
        name: file name within the table's folder.
        size_bytes: its size.
        clip_ids: the clips in it, per video.
        features: the file of the same clips' features; None where the library keeps none.
        others: the files of the same clips in annotators' own tables, by table.
    """

    name: str
    size_bytes: int
    clip_ids: dict[str, tuple[int, ...]]
    features: WrittenFile | None = None
    others: Mapping[str, WrittenFile] = field(default_factory=dict)

    @property
    def num_clips(self) -> int:
        """Clips in it, and rows in each of the other files."""
        return sum(map(len, self.clip_ids.values()))


@dataclass(frozen=True, slots=True)
class JobFailed:
    """A step failed for a reason that is no video's fault, such as a full disk or a model that cannot compute."""

    reason: str


# What a run over many videos reports, in any order.
Outcome = Written | SpanDone | VideoFailed | JobFailed


@dataclass(frozen=True, slots=True)
class VideoRow:
    """One row of ``videos``: what is known of a video and what became of it."""

    video: VideoInfo
    status: VideoStatus
    clip_count: int = 0
    error_stage: str | None = None
    error: str | None = None


def video_id_of(content_hash: str | None, path: str, taken: Collection[str] = ()) -> str:
    """16 hex digits naming this content at this path, the same on every run.

    A moved video keeps its id. Where the same content comes back to the old path, the id is ``taken``, and another is made.
    """
    name = f"{content_hash or ''}\0{path_text(path)}"
    while (video_id := blake2b(name.encode(), digest_size=8).hexdigest()) in taken:
        name += "\0again"
    return video_id


def clip_id_of(video_id: str, span: Span) -> int:
    """An int64 >= 0 naming this span of this video, the same on every run.

    63 bits of a hash: among 1e8 clips any two collide with probability 5e-4.
    """
    digest = blake2b(f"{video_id}\0{span.start_s!r}\0{span.end_s!r}".encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1
