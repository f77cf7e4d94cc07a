"""Annotators beside the classifier and the embedder: defined here, given to a run in its list, and read back."""

from __future__ import annotations

import json
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import ray.cloudpickle
from deltalake import DeltaTable

from index.storage.config import LibraryConfig, read_library_config, write_library_config
from index.storage.lock import open_for_writing
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.ingest import ingest
from jobs.ingest.library_config import choose_library_config
from jobs.ingest.make_job import make_job
from pipeline.annotate import Batch
from pipeline.annotators import Annotator, Values, own_tables
from pipeline.decoders.base import Decoded
from pipeline.decoders.registry import load_decoder
from pipeline.process import annotate_video
from schemas.errors import LibraryError, UsageError
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import IngestOptions, Sampling
from schemas.records import ClipRow, SpanDone, SpanJob, VideoFile, VideoRow, Written
from tests.helpers.videos import write_video

ray.cloudpickle.register_pickle_by_value(sys.modules[__name__])  # workers do not see the tests' folder


@dataclass(frozen=True)
class Brightness:
    """The mean of a clip's pixels, of two small frames that no model asks for."""

    name: str = "brightness"
    checkpoint: None = None
    model: None = None

    @property
    def reads(self) -> ModelInput:
        return ModelInput(2, Geometry((24, 32), None))

    @property
    def fills(self) -> Mapping[str, pa.Schema]:
        return {"brightness": pa.schema([("mean", pa.float64())])}

    def load(self, options: IngestOptions) -> Brightness:
        return self

    def annotate(self, batch: Batch) -> Iterator[Values]:
        for frames in batch.frames(self.reads):
            yield {"brightness": {"mean": float(frames.mean())}}


@dataclass(frozen=True)
class Middle:
    """Reads nothing but times."""

    name: str = "middle"
    reads: None = None
    checkpoint: None = None
    model: None = None

    @property
    def fills(self) -> Mapping[str, pa.Schema]:
        return {"middles": pa.schema([("middle_s", pa.float64()), ("words", pa.list_(pa.string()))])}

    def load(self, options: IngestOptions) -> Middle:
        return self

    def annotate(self, batch: Batch) -> list[Values]:
        middles = [(clip.span.start_s + clip.span.end_s) / 2 for clip in batch.clips]
        return [{"middles": {"middle_s": middle_s, "words": [str(middle_s), "s"]}} for middle_s in middles]


FURTHER: list[Annotator] = [Brightness(), Middle()]


class CountingDecoder:
    """The real decoder, and which jobs it was given."""

    def __init__(self) -> None:
        self.jobs: list[SpanJob] = []

    def decode(self, job: SpanJob) -> Decoded:
        self.jobs.append(job)
        return load_decoder("pyav").decode(job)


def rows_of(library: Library, table: str) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = DeltaTable(library.annotator_table(table)).to_pyarrow_table().to_pylist()
    return rows


def config_of(classifier: Checkpoint, embedder: Checkpoint, annotators: Sequence[Annotator] = ()) -> LibraryConfig:
    return choose_library_config(
        None, classifier=classifier.folder, embedder=embedder.folder, window_s=2.0, annotators=annotators
    )


def annotate(
    library: Library, config: LibraryConfig, path: Path, annotators: Sequence[Annotator] = ()
) -> tuple[list[ClipRow], SpanDone, Written, CountingDecoder]:
    """Read one video into files of the library's tables, in this process."""
    job = make_job(library, config, IngestOptions(), annotators=annotators)
    file, decoder = VideoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns), CountingDecoder()
    items = list(annotate_video(file, config.sampling, job.load_annotators(1).annotators, decoder))
    rows, (done,) = [item for item in items if isinstance(item, ClipRow)], [i for i in items if isinstance(i, SpanDone)]
    written = job.write(rows)
    assert isinstance(written, Written)
    return rows, done, written, decoder


def test_a_third_annotator_fills_a_table_of_its_own(
    tmp_path: Path, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> None:
    path = write_video(tmp_path / "a.mp4", 150)  # three clips
    library, pair_only = Library(tmp_path / "library"), Library(tmp_path / "pair")
    library.folder.mkdir()
    config = config_of(classifier_checkpoint, embedder_checkpoint, FURTHER)
    write_library_config(library, config)
    tables = Tables(library, features=True, new_annotators=own_tables(FURTHER))
    rows, done, written, decoder = annotate(library, config, path, FURTHER)

    # One pass decodes what the three of them read: 16 frames for the pair, and two of another size.
    (job,) = decoder.jobs
    assert [shown.num_frames for shown in job.inputs] == [16, 2]
    tables.commit_clips([written])
    tables.commit_videos([VideoRow(done.video, "indexed", len(rows))], replace_paths=False)
    brightness = {row["clip_id"]: row for row in rows_of(library, "brightness")}
    assert list(brightness) == [row.clip_id for row in rows]
    assert len(brightness) == 3
    decoded = load_decoder("pyav").decode(job)
    for row, picks in zip(rows, job.picks, strict=True):
        frames = decoded.frames[1][picks[1]]
        assert frames.shape == (2, 24, 32, 3)
        expected = {"clip_id": row.clip_id, "video_id": row.video_id, "mean": pytest.approx(float(frames.mean()))}
        assert brightness[row.clip_id] == expected
    assert [(row["middle_s"], row["words"]) for row in rows_of(library, "middles")] == [
        (1.0, ["1.0", "s"]), (3.0, ["3.0", "s"]), (5.0, ["5.0", "s"]),
    ]  # fmt: skip

    # The pair's own values are as without it.
    for table in ("clips", "features"):
        (pair_only.folder / table).mkdir(parents=True)
    alone = annotate(pair_only, config_of(classifier_checkpoint, embedder_checkpoint), path)[0]
    for row, other in zip(rows, alone, strict=True):
        assert (row.clip_id, row.labels) == (other.clip_id, other.labels)
        assert np.array_equal(row.embedding, other.embedding)
        assert row.features == other.features

    # Whoever opens the library finds the table by library.json, and it follows the videos.
    with open_for_writing(library.folder) as (_, opened_config, opened):
        assert opened_config == config
        assert opened.versions() == {"videos": 1, "clips": 1, "features": 1, "brightness": 1, "middles": 1}
        assert opened.copy_clips(done.video.video_id, "c" * 16) == 3
        copies = {row["mean"] for row in rows_of(library, "brightness") if row["video_id"] == "c" * 16}
        assert copies == {row["mean"] for row in brightness.values()}
        opened.drop_orphans()  # the copy has no row in videos
        assert {row["clip_id"] for row in rows_of(library, "brightness")} == set(brightness)
        opened.remove_videos([done.video.video_id])
        opened.drop_orphans()
        assert rows_of(library, "brightness") == rows_of(library, "middles") == []

    # Like the library's other folders, it is left alone where it is a link.
    outside = shutil.move(library.annotator_table("brightness"), tmp_path / "outside")
    library.annotator_table("brightness").symlink_to(outside)
    with pytest.raises(LibraryError, match="brightness' is a link"), open_for_writing(library.folder):
        pass


def test_library_json_holds_the_annotators_beside_the_keys_of_before(
    tmp_path: Path, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> None:
    library = Library(tmp_path)
    config = config_of(classifier_checkpoint, embedder_checkpoint, FURTHER)
    write_library_config(library, config)
    content = json.loads(library.config_file.read_text())
    assert content["annotators"] == {
        "classifier": {"clips": ["labels", "classifier"]},
        "embedder": {"clips": ["embedding", "embedder"], "features": ["digest", "kind", "tokens", "dim", "record"]},
        "brightness": {"brightness": ["mean"]},
        "middle": {"middles": ["middle_s", "words"]},
    }
    assert list(content) == ["format_version", "classifier", "embedder", "sampling", "features", "annotators"]
    assert read_library_config(library) == config
    del content["annotators"]
    library.config_file.write_text(json.dumps(content))
    assert read_library_config(library) == replace(config, annotator_tables=()), "one from before is of the pair"


def test_two_annotators_cannot_fill_one_table(classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint) -> None:
    with pytest.raises(UsageError, match=r"annotator 'second': its table 'brightness' is another's"):
        config_of(classifier_checkpoint, embedder_checkpoint, [Brightness(), Brightness(name="second")])


@pytest.mark.parametrize(
    "annotators",
    [
        3, {"brightness": 3}, {"brightness": {"../clips": ["mean"]}}, {"brightness": {"clips": ["mean"]}},
        {"a": {"same": ["x"]}, "b": {"same": ["x"]}}, {"": {"x": []}}, {"brightness": {"brightness": 5}},
    ],
)  # fmt: skip
def test_annotators_that_cannot_be_are_a_damaged_library(
    tmp_path: Path, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint, annotators: object
) -> None:
    library = Library(tmp_path)
    write_library_config(library, LibraryConfig(classifier_checkpoint, embedder_checkpoint, Sampling()))
    content = json.loads(library.config_file.read_text()) | {"annotators": annotators}
    library.config_file.write_text(json.dumps(content))
    with pytest.raises(LibraryError, match="is damaged"):
        read_library_config(library)


@pytest.mark.on_ray
@pytest.mark.usefixtures("ray_session_for_tests")
def test_an_ingest_takes_further_annotators_and_then_needs_them(
    tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    videos, library = tmp_path / "videos", Library(tmp_path / "library")
    videos.mkdir()
    shutil.copy(write_video(videos / "a.mp4", 100), videos / "copy.mp4")
    write_video(videos / "b.mp4", 125)
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    report = ingest([videos], str(library.folder), window_s=2.0, annotators=FURTHER, **models)  # type: ignore[arg-type]
    clips = DeltaTable(library.clips).to_pyarrow_table()["clip_id"].to_pylist()
    assert (report.indexed, report.clips) == (3, len(clips))
    for table in ("brightness", "middles"):
        assert sorted(row["clip_id"] for row in rows_of(library, table)) == sorted(clips)
    with pytest.raises(LibraryError, match=r"the annotators are classifier, embedder here and .*, middle in the library"):
        ingest([videos], library.folder)
    (videos / "b.mp4").unlink()
    assert ingest([videos], library.folder, annotators=FURTHER).removed == 1
    clips = DeltaTable(library.clips).to_pyarrow_table()["clip_id"].to_pylist()
    assert sorted(row["clip_id"] for row in rows_of(library, "brightness")) == sorted(clips)
