"""Own labels of a library that a real ingest made, with a real embedder."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

import jobs.tag.tag
from index.storage.paths import Library
from index.storage.tags_file import read_definitions
from jobs.ingest.ingest import ingest
from jobs.maintain.rollback import compact
from jobs.maintain.verify import verify
from jobs.tag.tag import tag
from jobs.tag.teach import teach
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.registry import load_embedder
from tests.helpers.library_builder import sql
from tests.helpers.videos import write_video
from vidsift import open_library

pytestmark = pytest.mark.usefixtures("inline_run")


def test_new_ingests_are_tagged_with_the_names_that_are_there(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    videos, library = tmp_path / "videos", tmp_path / "library"
    videos.mkdir()
    write_video(videos / "a.mp4", 250)
    write_video(videos / "b.mp4", 250, size=(240, 100))
    ingest([videos], library, classifier=str(classifier_folder), embedder=str(embedder_folder))
    before = DeltaTable(library / "clips").to_pyarrow_table(), DeltaTable(library / "clips").version()

    (found,) = tag(library, ["falling down"], prompts=["a video of {}", "{}"])
    assert (found.tag, found.clips, found.prompt) == ("falling down", 6, "a video of falling down | falling down")
    embedder = load_embedder(find_checkpoint(str(embedder_folder), "--embedder"), "fp32")
    vector = embedder.embed_texts(["a video of falling down", "falling down"]).mean(axis=0)
    cosines = np.stack(before[0]["embedding"].to_numpy()) @ (vector / np.linalg.norm(vector))
    z = (cosines - cosines.mean()) / max(cosines.std(), 1e-3)
    expected = dict(zip(before[0]["clip_id"].to_pylist(), 1 / (1 + np.exp(-2 * (z - 2))), strict=True))
    scores = {row["clip_id"]: row["score"] for row in sql(library, "from tags")}
    assert scores == pytest.approx(expected, abs=1e-4)

    (videos / "examples.csv").write_text("path,start_s,end_s\na.mp4,0,4\nb.mp4,0,4\n")
    teach(library, videos / "examples.csv", "beginning")
    assert DeltaTable(library / "clips").version() == before[1]
    assert DeltaTable(library / "clips").to_pyarrow_table().equals(before[0])

    with open_library(library) as opened:
        assert opened.sql("select count(*) as n from tags").to_pylist() == [{"n": 12}]
        (again,) = opened.tag("falling down", prompts=["a video of {}", "{}"])
        assert again == found
        taught = opened.teach(videos / "examples.csv", "beginning")
        assert [one.tag for one in taught.taught] == ["beginning"]
        assert opened.sql("select count(*) as n from tags").to_pylist() == [{"n": 12}]

    monkeypatch.setattr(jobs.tag.tag, "load_embedder", lambda *_: pytest.fail("the text model is not needed"))
    write_video(videos / "c.mp4", 100)
    (videos / "b.mp4").unlink()
    report = ingest([videos], library)
    assert (report.indexed, report.removed) == (1, 1)
    rows = sql(library, "select path, tag, count(*) as n from tags group by all order by all")
    assert rows == [
        {"path": str(videos / name), "tag": tag, "n": n}
        for name, n in (("a.mp4", 3), ("c.mp4", 1))
        for tag in ("beginning", "falling down")
    ]
    kept = sql(library, "select clip_id, score from tags where tag = 'falling down' and path like '%a.mp4'")
    assert all(scores[row["clip_id"]] == row["score"] for row in kept)
    assert read_definitions(Library(library)).names == ("beginning", "falling down")
    assert [check for check in verify(library) if check.breach] == []


def test_tags_stay_when_one_of_several_videos_in_a_file_of_rows_goes(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    """Delta Lake then rewrites the file of the others' clips, with texts of another Arrow type."""
    videos, library = tmp_path / "videos", tmp_path / "library"
    videos.mkdir()
    for number, name in enumerate("abc"):
        write_video(videos / f"{name}.mp4", 50 + number)
    ingest([videos], library, classifier=str(classifier_folder), embedder=str(embedder_folder))
    compact(library)
    assert len(DeltaTable(library / "clips").file_uris()) == 1
    tag(library, ["falling down"])
    (videos / "b.mp4").unlink()
    assert ingest([videos], library).removed == 1
    write_video(videos / "d.mp4", 60)
    assert ingest([videos], library).indexed == 1
    rows = sql(library, "select path, count(*) as n from tags group by all order by all")
    assert rows == [{"path": str(videos / name), "n": 1} for name in ("a.mp4", "c.mp4", "d.mp4")]
    assert [check for check in verify(library) if check.breach] == []
