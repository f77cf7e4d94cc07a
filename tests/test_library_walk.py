"""Long walks: whatever is done to a folder and its library, in whatever order, the library holds what the folder does.

VIDSIFT_WALKS=200 walks that many times as often, by other ways each time.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections import Counter, defaultdict
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, rule
from numpy.typing import NDArray

from index.history import history
from index.search.searcher import Searcher
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.ingest import ingest
from jobs.ingest.report import IngestReport
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from jobs.tag.tag import tag, untag
from schemas.errors import JobError, LibraryError
from schemas.search import SearchOptions
from tests.helpers.made_up_run import KINDS, Content, MadeUpRun, clips_of, make_up_runs
from tests.helpers.tagged_library import DIM, unit

pytestmark = pytest.mark.slow

WALKS = int(os.environ.get("VIDSIFT_WALKS", "1"))
NAMES = ("a.mp4", "b.mp4", "sub/a.mp4", "sub/c.mp4", "ü '%?.mkv")
TAGS = ("first", "second")

# What happens to a folder between ingests: what, to which name, to or from which other one.
change = st.tuples(
    st.sampled_from(["write", "copy", "move", "swap", "delete", "touch", "empty", "link", "folder"]),
    st.sampled_from(NAMES),
    st.sampled_from(NAMES),
    st.builds(Content, st.sampled_from(KINDS), st.integers(1, 3), st.integers(0, 3)),
)
changes = st.lists(change, max_size=4)


@dataclass(frozen=True)
class Known:
    """A video as the library should know it; an empty file or a link to nothing has no content."""

    video_id: str
    content: Content | None
    status: str
    clip_count: int
    stamp: tuple[int, int]


class LibraryWalk(RuleBasedStateMachine):
    """A folder, its library, and what the library should hold."""

    def __init__(self) -> None:
        super().__init__()
        self.root = Path(tempfile.mkdtemp(prefix="vidsift-walk-"))
        self.source, self.library = self.root / "videos", self.root / "library"
        (self.source / "sub").mkdir(parents=True)
        self.patch = pytest.MonkeyPatch()
        self.run: type[MadeUpRun] = make_up_runs(self.patch, self.library)
        self.clock = 1_700_000_000
        self.known: dict[str, Known] = {}
        self.tags: set[str] = set()
        self.compacted = 0
        self.snapshots: dict[int, dict[str, Known]] = {}

    def teardown(self) -> None:
        self.patch.undo()
        shutil.rmtree(self.root)

    # The folder.

    def make(self, changes: Sequence[tuple[str, str, str, Content]]) -> None:
        for what, name, other_name, content in changes:
            path, other = self.source / name, self.source / other_name
            if what in ("write", "empty", "folder", "link"):
                self.clear(path)
            if what == "write":
                path.write_bytes(bytes(content))
                self.touch(path)
            elif what == "empty":
                path.touch()
                self.touch(path)
            elif what == "folder":
                path.mkdir()
                (path / "inner.mp4").write_bytes(bytes(content))
            elif what == "link" and path != other:
                path.symlink_to(other)
            elif what == "delete":
                self.clear(path)
            elif path.is_file() and what == "touch":
                self.touch(path)
            elif path.is_file() and path != other and what in ("copy", "move", "swap"):
                self.put(what, path, other)

    def put(self, what: str, path: Path, other: Path) -> None:
        if what == "swap" and other.is_file():
            aside = self.root / "aside"
            path.rename(aside)
            other.rename(path)
            aside.rename(other)
        elif what != "swap":
            self.clear(other)
            if path.is_file():
                shutil.copy2(path, other) if what == "copy" else path.rename(other)

    def touch(self, path: Path) -> None:
        self.clock += 1
        os.utime(path, (self.clock, self.clock))

    @staticmethod
    def clear(path: Path) -> None:
        shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink(missing_ok=True)

    def files(self, below: Path) -> dict[str, tuple[Content | None, tuple[int, int]]]:
        """What is there now: by path, the content (None for what cannot be read) with size and time."""
        found: dict[str, tuple[Content | None, tuple[int, int]]] = {}
        for path in below.rglob("*"):
            if path.is_file():
                status = path.stat()
                content = Content.read(path) if status.st_size else None
                found[str(path)] = content, (status.st_size, status.st_mtime_ns)
            elif path.is_symlink() and not path.is_dir():
                found[str(path)] = None, (0, 0)
        return found

    # The library.

    def ingest(self, *, sub: bool = False, **options: Any) -> IngestReport:
        return ingest([self.source / "sub" if sub else self.source], self.library, allow_empty=True, **options)

    @initialize(changes=changes)
    def begins(self, changes: Any) -> None:
        self.ingests(changes, out_of_luck=False)

    @rule(changes=changes, out_of_luck=st.booleans(), sub=st.booleans(), keep_missing=st.booleans(), retry=st.booleans())
    def ingests(
        self, changes: Any, out_of_luck: bool, *, sub: bool = False, keep_missing: bool = False, retry: bool = False
    ) -> None:
        self.make(changes)
        self.run.out_of_luck = out_of_luck
        report = self.ingest(sub=sub, keep_missing=keep_missing, retry_failed=retry)
        expected = self.learn(sub=sub, keep_missing=keep_missing, retry=retry)
        assert {name: count for name, count in report.as_json().items() if name in expected} == expected
        assert report.found == report.indexed + report.partial + report.failed + report.unchanged + report.moved
        self.check()

    @rule(
        changes=changes,
        after=st.integers(0, 3),
        where=st.sampled_from(["run", "commit", "publish"]),
        retry=st.booleans(),
    )
    def ingest_breaks_off_and_is_run_again(self, changes: Any, after: int, where: str, *, retry: bool) -> None:
        """The run ends early, its rows cannot be committed, or what is committed is not published."""
        self.make(changes)
        before = self.files(self.source)
        self.run.out_of_luck = False

        def fails(*_: object, **__: object) -> None:
            raise LibraryError("no more")

        with pytest.MonkeyPatch.context() as patch, suppress(JobError, LibraryError):
            if where == "run":
                patch.setattr(self.run, "breaks_after", after)
            elif where == "commit":
                patch.setattr(Tables, "commit_videos", fails)
            else:
                patch.setattr("index.snapshot.publish.publish", fails)
            self.ingest(retry_failed=retry)
        if where != "publish":
            assert breaches(self.library) == []
            rows = {row["path"] for row in self.sql("select path from videos")}
            assert self.known.keys() & before.keys() <= rows, "nothing that was there is lost"
        self.ingest(retry_failed=retry)
        self.learn(retry=retry)
        self.check()

    @rule(back=st.integers(1, 4))
    def goes_back(self, back: int) -> None:
        numbers = sorted(self.snapshots)
        number = numbers[-min(back, len(numbers))]
        try:
            rollback(self.library, number)
        except LibraryError:
            assert number < self.compacted, "only what was there before a compaction is lost"
        else:
            self.known = self.snapshots[number]
        self.check()

    @rule()
    def is_compacted(self) -> None:
        compact(self.library)
        self.check()
        self.compacted = max(self.snapshots)

    @rule(name=st.sampled_from(TAGS))
    def is_tagged(self, name: str) -> None:
        if any(video.clip_count for video in self.known.values()):
            tag(self.library, [name], prompts=["{}"])
            self.tags.add(name)
            self.check()

    @rule(name=st.sampled_from(TAGS))
    def is_untagged(self, name: str) -> None:
        if name in self.tags:
            untag(self.library, [name])
            self.tags.remove(name)
            self.check()

    def learn(self, *, sub: bool = False, keep_missing: bool = False, retry: bool = False) -> dict[str, int]:
        """Derive what the library should hold after an ingest, taking new ids over from it; and what it should report."""
        here = self.files(self.source / "sub" if sub else self.source)
        rows = {row["path"]: row for row in self.sql("from videos")}
        # What a link to a folder leads to is not looked at, and not gone.
        lost = {path: video for path, video in self.known.items() if os.path.isdir(path) or not os.path.lexists(path)}
        kept: dict[str, Known] = {}
        read: dict[str, Known] = {}
        new: dict[Content, list[str]] = defaultdict(list)
        for path, (content, stamp) in here.items():
            was = self.known.get(path)
            indexed = was is not None and was.status == "indexed"
            if was and ((indexed and was.content == content) or (was.stamp == stamp and (indexed or not retry))):
                kept[path] = was
            elif was is None and content is not None and content.kind != "killer":
                new[content].append(path)
            else:
                read[path] = self.as_read(rows[path], content, stamp)
        outside = {path: video for path, video in self.known.items() if path not in lost and path not in here}
        moved: dict[str, Known] = {}
        for content, paths in new.items():
            old = {
                video.video_id: path
                for path, video in lost.items()
                if video.content == content and (video.status == "indexed" or not retry)
            }
            came = [path for path in paths if rows[path]["video_id"] in old]
            assert len(came) == min(len(paths), len(old)), "a moved video keeps its id"
            for path in paths:
                if path in came:
                    moved[path] = replace(lost.pop(old[rows[path]["video_id"]]), stamp=here[path][1])
                else:
                    read[path] = self.as_read(rows[path], content, here[path][1])
        below = str(self.source / "sub" if sub else self.source) + "/"
        removed = [] if keep_missing else [path for path in lost if path.startswith(below)]
        self.known = kept | moved | read | outside | {path: lost[path] for path in lost if path not in removed}
        statuses = Counter(video.status for video in read.values())
        return {
            "found": len(here),
            "unchanged": len(kept),
            "moved": len(moved),
            "removed": len(removed),
            **{status: statuses[status] for status in ("indexed", "partial", "failed")},
            "clips": sum(video.clip_count for video in read.values()),
        }

    def as_read(self, row: dict[str, Any], content: Content | None, stamp: tuple[int, int]) -> Known:
        status, clip_count = ("failed", 0) if content is None else content.ends
        # One of bad luck is indexed all the same where another of its content is.
        if content is not None and content.kind == "unlucky" and self.run.out_of_luck and row["status"] == "failed":
            status, clip_count = "failed", 0
        return Known(row["video_id"], content, status, clip_count, stamp)

    # What must hold after each step.

    def sql(self, query: str) -> list[dict[str, Any]]:
        catalog = Snapshot(Library(self.library)).catalog
        rows: list[dict[str, Any]] = catalog.sql(query).to_pylist()
        catalog.close()
        return rows

    def check(self) -> None:
        """See that the library holds what it should, and nothing else."""
        assert breaches(self.library) == []
        videos = self.sql("select path, video_id, status, clip_count from videos")
        assert {row.pop("path"): row for row in videos} == {
            path: {"video_id": video.video_id, "status": video.status, "clip_count": video.clip_count}
            for path, video in self.known.items()
        }
        clips = self.sql(
            "select path, video_id, clip_id, start_s, end_s, label, label_score from clips order by path, start_s"
        )
        expected = [
            {"path": path, "video_id": self.known[path].video_id, **clip}
            for path in sorted(self.known, key=str.encode)
            for clip in clips_of(self.known[path].content, self.known[path].clip_count)
        ]
        ids = [clip.pop("clip_id") for clip in clips]
        assert clips == expected
        assert len(set(ids)) == len(ids)
        self.check_vectors(dict(zip(ids, clips, strict=True)))
        tags = self.sql("select tag, clip_id from tags")
        assert Counter((row["tag"], row["clip_id"]) for row in tags) == Counter((name, i) for name in self.tags for i in ids)
        current = history(self.library)[0]
        assert current.current
        self.snapshots[current.number] = dict(self.known)

    def check_vectors(self, clips: dict[int, dict[str, Any]]) -> None:
        """Vectors, features and a search's answers, of clips by id."""
        load: Any = WordEmbedder
        searcher = Searcher(self.library, load=load)
        embeddings, scores = [], []
        for clip in clips.values():
            content, number = self.known[clip["path"]].content, round(clip["start_s"] / 2)
            assert content is not None
            embeddings.append(content.embedding(number))
            scores.append((clip["path"], clip["start_s"], round(float(embeddings[-1][0]), 5)))
        stored = searcher.snapshot.clips()
        assert sorted(stored.ids().tolist()) == sorted(clips)
        if clips:
            rows = stored.rows_of(np.array(list(clips), np.int64))
            assert np.array_equal(stored.vectors_at(rows), np.stack(embeddings))
            assert np.array_equal(stored.described(rows)[0], np.stack(embeddings))
        question = SearchOptions(texts=("first",), by="clip", k=100, rerank=0, show_all=True)
        moments = searcher.search(question).moments
        searcher.snapshot.catalog.close()
        assert sorted((m.path, m.start_s, round(m.score, 5)) for m in moments) == sorted(scores)


class WordEmbedder:
    """Knows one word; all other texts are something else."""

    dim = DIM
    logit_scale = 10.0

    def embed_texts(self, texts: Sequence[str]) -> NDArray[np.float32]:
        return np.stack([unit(1, 0, 0, 0) if text == "first" else unit(0, 1, 1, 1) for text in texts])


def breaches(library: Path) -> list[str]:
    return [str(check) for check in verify(library) if check.breach is not None]


LibraryWalk.TestCase.settings = settings(
    max_examples=8 * WALKS,
    stateful_step_count=12,
    derandomize=WALKS == 1,
    database=None,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
TestLibraryWalk = pytest.mark.timeout(60 * WALKS + 300)(LibraryWalk.TestCase)
