"""What a library holds, from its current snapshot."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

from index.snapshot.snapshot import Snapshot
from index.sql.catalog import several_tracks
from index.storage.config import read_library_config
from index.storage.paths import Library
from schemas.tags import LIKELY
from schemas.text import lines_text


@dataclass(frozen=True, slots=True)
class Failure:
    """A video that could not be indexed whole."""

    path: str
    status: str
    error_stage: str
    error: str


@dataclass(frozen=True, slots=True)
class TagStatus:
    """One of the library's own labels.

    Attributes:
        likely: clips that have a score of 0.5 or more.
        prompt: the texts that the name stands for; None for a taught one.
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
class LibraryStatus:
    """What `vidsift status` tells.

    Attributes:
        videos: by status: indexed, partial, failed.
        hours: hours of video that can be found.
        clips: clips that can be found.
        classifier: the model behind the labels, as the user named it.
        embedder: the model behind the vectors.
        window_s: seconds of a clip.
        stride_s: seconds between clips' starts.
        snapshot: number of the snapshot that this describes.
        published_at: when it was published; ISO 8601, UTC.
        failures: videos that are not whole, by path.
        tags: the library's own labels, by name.
        several_tracks: videos with several video tracks, by path.
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


def library_status(folder: Path) -> LibraryStatus:
    """Describe the library in ``folder``.

    Raises:
        LibraryError: no library, nothing published, or a damaged snapshot.
    """
    library = Library(folder)
    return status_of(library, Snapshot(library))


def status_of(library: Library, snapshot: Snapshot) -> LibraryStatus:
    """Describe a snapshot of ``library`` that is open already."""
    identity = read_library_config(library)
    assert identity is not None, "a library with a snapshot has its library.json"
    counts = snapshot.catalog.sql("select status, count(*) as n from videos group by status").to_pylist()
    seen = snapshot.catalog.sql("select coalesce(sum(duration_s), 0) as s from videos where clip_count > 0").to_pylist()
    failures = snapshot.catalog.sql(
        "select path, status, error_stage, error from videos where status <> 'indexed' order by path"
    )
    tags = snapshot.catalog.sql(
        "select tag, count(*) filter (where score >= $likely) as likely, any_value(prompt) as prompt "
        "from tags group by tag order by tag",
        {"likely": LIKELY},
    )
    return LibraryStatus(
        folder=str(library.folder),
        videos={"indexed": 0, "partial": 0, "failed": 0} | {row["status"]: row["n"] for row in counts},
        hours=seen[0]["s"] / 3600,
        clips=snapshot.info.rows["clips"],
        classifier=identity.classifier.name,
        embedder=identity.embedder.name,
        window_s=identity.sampling.window_s,
        stride_s=identity.sampling.stride_s,
        snapshot=snapshot.number,
        published_at=snapshot.info.published_at,
        failures=[Failure(**row) for row in failures.to_pylist()],
        tags=[TagStatus(**row) for row in tags.to_pylist()],
        several_tracks=[TrackStatus(**row) for row in several_tracks(snapshot.catalog)],
    )


_MAX_TRACKS = 20


def status_text(status: LibraryStatus) -> str:
    """What a library holds, in lines."""
    lines = [
        f"library     {status.folder} (snapshot {status.snapshot}, {status.published_at})",
        f"videos      {sum(status.videos.values())}: " + ", ".join(f"{n} {name}" for name, n in status.videos.items()),
        f"video time  {status.hours:.2f} h in {status.clips} clips of {status.window_s:g} s every {status.stride_s:g} s",
        f"classifier  {status.classifier}",
        f"embedder    {status.embedder}",
    ]
    if status.tags:
        told = (f"{t.tag} ({t.likely} clip{'s' * (t.likely != 1)}{'' if t.prompt else ', taught'})" for t in status.tags)
        lines.append(f"tags        {len(status.tags)}: {', '.join(told)}")
    lines += [f"  track {one.track} of {one.tracks}: {one.path}" for one in status.several_tracks[:_MAX_TRACKS]]
    if len(status.several_tracks) > _MAX_TRACKS:
        lines.append(f"  and {len(status.several_tracks) - _MAX_TRACKS} more with several video tracks")
    lines += [f"  {f.status} ({f.error_stage}): {f.path}: {f.error}" for f in status.failures]
    return lines_text(lines)
