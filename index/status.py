"""The status of a library: its contents and the videos that could not be indexed, from the current snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from index.snapshot.snapshot import Snapshot
from index.sql.catalog import several_tracks
from index.storage.config import read_library_config
from index.storage.paths import Library
from schemas.tags import LIKELY
from schemas.text import lines_text


@dataclass(frozen=True, slots=True)
class Failure:
    """A video of which some or all could not be indexed."""

    path: str
    status: str
    error_stage: str
    error: str


@dataclass(frozen=True, slots=True)
class TagStatus:
    """One of the library's own labels.

    Attributes:
        likely: the number of clips with a score of 0.5 or more.
        prompt: the texts that the tag was made from; None for one that was taught from examples.
    """

    tag: str
    likely: int
    prompt: str | None


@dataclass(frozen=True, slots=True)
class TrackStatus:
    """A video with several video tracks.

    Attributes:
        track: the one that was taken, from 1.
        tracks: how many there are.
    """

    path: str
    track: int
    tracks: int


@dataclass(frozen=True, slots=True)
class AnnotatorStatus:
    """An annotator of whole videos.

    Attributes:
        annotator: shots, subtitles, speech or text.
        done: videos that it has read whole.
        not_done: videos of which it could read only some, or nothing.
        rows: that it wrote.
    """

    annotator: str
    done: int
    not_done: int
    rows: int


@dataclass(frozen=True, slots=True)
class AnnotatorFailure:
    """A video of which an annotator could not read some, or anything."""

    path: str
    annotator: str
    error: str


@dataclass(frozen=True, slots=True)
class LibraryStatus:
    """The facts that `vidsift status` prints.

    Attributes:
        videos: the number of videos by status: indexed, partial, failed.
        hours: hours of video that can be searched.
        clips: clips that can be searched.
        classifier: the model behind the labels, as the user named it.
        embedder: the model behind the vectors.
        window_s: seconds of a clip.
        stride_s: seconds between clips' starts.
        snapshot: number of the snapshot that this describes.
        published_at: when it was published; ISO 8601, UTC.
        failures: videos that are not fully indexed, by path.
        tags: the library's own labels, by name.
        several_tracks: videos with several video tracks, by path.
        annotators: of whole videos, that have read any.
        unread: what these could not read, by path.
        shown: what of a clip the classifier is shown where an ingest said so: ``frames``, ``views``.
    """

    folder: str
    videos: dict[str, int]
    hours: float
    clips: int
    classifier: str
    embedder: str
    window_s: float
    stride_s: float
    snapshot: int
    published_at: str
    failures: list[Failure]
    tags: list[TagStatus]
    several_tracks: list[TrackStatus] = field(default_factory=list)
    annotators: list[AnnotatorStatus] = field(default_factory=list)
    unread: list[AnnotatorFailure] = field(default_factory=list)
    shown: dict[str, int] = field(default_factory=dict)


def library_status(folder: Path) -> LibraryStatus:
    """Describe the library in ``folder``.

    Raises:
        LibraryError: no library, nothing published, or a damaged snapshot.
    """
    library = Library(folder)
    return status_of(library, Snapshot(library))


def status_of(library: Library, snapshot: Snapshot) -> LibraryStatus:
    """Describe a snapshot of ``library`` that is open already."""
    config = read_library_config(library)
    assert config is not None, "a library with a snapshot has its library.json"
    by_status = snapshot.catalog.sql("select status, count(*) as n from videos group by status").to_pylist()
    searchable = snapshot.catalog.sql(
        "select coalesce(sum(duration_s), 0) as s from videos where clip_count > 0"
    ).to_pylist()
    failures = snapshot.catalog.sql(
        "select path, status, error_stage, error from videos where status <> 'indexed' order by path"
    )
    tags = snapshot.catalog.sql(
        "select tag, count(*) filter (where score >= $likely) as likely, any_value(prompt) as prompt "
        "from tags group by tag order by tag",
        {"likely": LIKELY},
    )
    return LibraryStatus(
        folder=library.shown,
        videos={"indexed": 0, "partial": 0, "failed": 0} | {row["status"]: row["n"] for row in by_status},
        hours=searchable[0]["s"] / 3600,
        clips=snapshot.info.rows["clips"],
        classifier=config.classifier.name,
        embedder=config.embedder.name,
        window_s=config.sampling.window_s,
        stride_s=config.sampling.stride_s,
        snapshot=snapshot.number,
        published_at=snapshot.info.published_at,
        failures=[Failure(**row) for row in failures.to_pylist()],
        tags=[TagStatus(**row) for row in tags.to_pylist()],
        several_tracks=[TrackStatus(**row) for row in several_tracks(snapshot.catalog)],
        annotators=[AnnotatorStatus(**row) for row in _of_annotations(snapshot, _ANNOTATORS)],
        unread=[AnnotatorFailure(**row) for row in _of_annotations(snapshot, _UNREAD)],
        shown={
            name: number
            for name, number in (("frames", config.classifier.num_frames), ("views", config.classifier.views))
            if number is not None
        },
    )


_ANNOTATORS = (
    "select annotator, count(*) filter (where status = 'done') as done, "
    "count(*) filter (where status <> 'done') as not_done, "
    "cast(sum(num_rows) as bigint) as rows from annotations group by annotator order by annotator"
)
_UNREAD = "select path, annotator, error from annotations where error is not null order by path, annotator"


def _of_annotations(snapshot: Snapshot, query: str) -> list[dict[str, Any]]:
    """The rows of a query of ``annotations``; none in a snapshot that has no such table, or nothing in it."""
    rows: list[dict[str, Any]] = []
    if snapshot.info.rows.get("annotations"):
        rows = snapshot.catalog.sql(query).to_pylist()
    return rows


_MAX_TRACKS = 20  # named in the text


def status_text(status: LibraryStatus) -> str:
    """The status in lines for people."""
    lines = [
        f"library     {status.folder} (snapshot {status.snapshot}, {status.published_at})",
        f"videos      {sum(status.videos.values())}: " + ", ".join(f"{n} {name}" for name, n in status.videos.items()),
        f"video time  {status.hours:.2f} h in {status.clips} clips of {status.window_s:g} s every {status.stride_s:g} s",
        f"classifier  {status.classifier}" + "".join(f", {number} {name}" for name, number in status.shown.items()),
        f"embedder    {status.embedder}",
    ]
    if status.tags:
        names = (f"{t.tag} ({t.likely} clip{'s' * (t.likely != 1)}{'' if t.prompt else ', taught'})" for t in status.tags)
        lines.append(f"tags        {len(status.tags)}: {', '.join(names)}")
    lines += [
        f"{of.annotator:<12}{of.done} videos read"
        + (f", {of.not_done} not or in part" if of.not_done else "")
        + f", {of.rows} rows"
        for of in status.annotators
    ]
    lines += [f"  track {video.track} of {video.tracks}: {video.path}" for video in status.several_tracks[:_MAX_TRACKS]]
    if len(status.several_tracks) > _MAX_TRACKS:
        lines.append(f"  and {len(status.several_tracks) - _MAX_TRACKS} more with several video tracks")
    lines += [f"  {f.status} ({f.error_stage}): {f.path}: {f.error}" for f in status.failures]
    lines += [f"  not read ({f.annotator}): {f.path}: {f.error}" for f in status.unread]
    return lines_text(lines)
