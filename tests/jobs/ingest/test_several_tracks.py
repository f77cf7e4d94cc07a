"""Libraries of videos with several tracks."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import pytest
from deltalake import write_deltalake

from index.search.searcher import search
from index.snapshot.snapshot import current_snapshot
from index.status import library_status, status_text
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.export.export import export
from jobs.ingest.ingest import ingest
from jobs.ingest.report import ingest_text
from jobs.maintain.verify import verify
from pipeline.frames import decode_seen
from pipeline.probe import probe
from pipeline.sources.hashing import content_hash
from schemas.options import IngestOptions
from schemas.records import Span, VideoFile, VideoInfo, VideoRow
from schemas.search import SearchOptions, moment_json
from schemas.tables import videos_table
from schemas.text import json_text
from tests.helpers.format_1 import as_format_1
from tests.helpers.library_builder import sql
from tests.helpers.made_up_run import Content, make_up_runs
from tests.helpers.videos import number_in
from tests.pipeline.test_tracks import PLAIN, write_tracks


@pytest.mark.usefixtures("inline_run")
def test_a_library_says_which_track_it_has_and_takes_another_when_asked(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    videos, library = tmp_path / "videos", tmp_path / "library"
    videos.mkdir()
    write_tracks(videos / "a.mkv", (0, 50, 160), (100, 150, 160))
    write_tracks(videos / "b.mp4", (0, 50, 160))
    report = ingest([videos], library, classifier=str(classifier_folder), embedder=str(embedder_folder))
    assert (report.indexed, report.partial, report.several_tracks) == (2, 0, 1)
    assert "1 of them has several video tracks, of which one was taken" in ingest_text(report)
    assert "  track 1 of 2: " + str(videos / "a.mkv") in status_text(library_status(library)).splitlines()
    rows = "select path[-5:] as path, track, tracks, duration_s from videos order by path"
    assert sql(library, rows) == [
        {"path": "a.mkv", "track": 1, "tracks": 2, "duration_s": 2.0},
        {"path": "b.mp4", "track": 1, "tracks": 1, "duration_s": 2.0},
    ]
    before = sql(library, "select clip_id from clips")
    question = SearchOptions(texts=("anything",), by="clip", show_all=True)
    assert sorted((one.path[-5:], one.track) for one in search(library, question).moments) == [("a.mkv", 1), ("b.mp4", None)]
    report = ingest([videos], library, options=IngestOptions(track=2))
    assert (report.indexed, report.unchanged) == (1, 1)
    assert sql(library, rows)[0] == {"path": "a.mkv", "track": 2, "tracks": 2, "duration_s": 6.0}
    assert len(before) == 2
    moments = [one for one in search(library, question).moments if one.path.endswith("a.mkv")]
    assert {one.track for one in moments} == {2}
    lines = "".join(json_text(moment_json(one)) + "\n" for one in moments if one.start_s == 4.0)
    (tmp_path / "hits.jsonl").write_text(lines)
    (exported,) = export(str(tmp_path / "hits.jsonl"), tmp_path / "moments", pad_s=0.0).moments
    assert exported.file
    cut = str(tmp_path / "moments" / exported.file)
    seen = decode_seen(cut, probe(cut), [Span(0.6, 1.4)], PLAIN)
    assert all(number_in(picture) >= 200 for picture in seen.frames[0]), "cut from the track that was indexed"
    assert len(sql(library, "select clip_id from clips")) == 3
    assert [str(check) for check in verify(library) if check.breach is not None] == []
    for options in (None, IngestOptions(track=2)):
        assert ingest([videos], library, options=options).unchanged == 2, "what is there stays"


def test_a_library_from_before_tracks_were_counted_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    videos, library = tmp_path / "videos", tmp_path / "library"
    make_up_runs(monkeypatch, library)
    videos.mkdir()
    path = videos / "a.mp4"
    path.write_bytes(bytes(Content("whole", 1, 0)))
    Tables(Library(library), features=True)
    shutil.rmtree(library / "videos")
    file = VideoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns)
    row = VideoRow(VideoInfo("a" * 16, file, content_hash(str(path))), "indexed", 0)
    table = videos_table([row], ingested_at=datetime(2026, 1, 2, tzinfo=UTC)).drop_columns(["track", "tracks"])
    write_deltalake(library / "videos", table)
    assert ingest([videos], library).unchanged == 1
    assert sql(library, "select track, tracks from videos") == [{"track": None, "tracks": None}]
    as_format_1(library)
    with duckdb.connect(str(current_snapshot(Library(library)) / "catalog.duckdb")) as catalog:
        catalog.execute("alter table videos drop column tracks")  # as it was published then
    assert library_status(library).several_tracks == []
    assert ingest([videos], library, options=IngestOptions(track=2)).indexed == 1, "it may have a second one"
    assert sql(library, "select clip_count from videos") == [{"clip_count": 1}]
    assert [str(check) for check in verify(library) if check.breach is not None] == []
