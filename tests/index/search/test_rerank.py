"""Rerank scores over whole libraries: ingested, stored, published, fetched and computed, without Ray."""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import numpy as np
import pytest
from deltalake import DeltaTable, write_deltalake
from numpy.typing import NDArray

from index.search.question import Question
from index.search.rerank import rerank_scores
from index.search.scoring import Scorer
from index.snapshot.clips import SnapshotClips
from index.snapshot.publish import publish_tables
from index.snapshot.snapshot import Snapshot
from index.storage.config import LibraryConfig, read_library_config, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from jobs.ingest.ledger import VideoLedger
from jobs.ingest.make_job import make_job
from jobs.ingest.steps import Job
from jobs.maintain.rollback import compact, rollback
from jobs.maintain.verify import verify
from pipeline.models.checkpoint import find_checkpoint
from pipeline.models.pixels import make_pixels
from pipeline.models.registry import load_embedder
from schemas.errors import LibraryError
from schemas.models import Checkpoint
from schemas.options import FeatureKind, IngestOptions, Sampling
from schemas.records import Clip, ClipRow, SpanDone, SpanJob, VideoFile, Written, video_id_of
from tests.helpers.exact import TEXTS, forward


def identity_of(classifier: Checkpoint, embedder_folder: Path, features: FeatureKind) -> LibraryConfig:
    return LibraryConfig(classifier, find_checkpoint(str(embedder_folder), "--embedder"), Sampling(), features)


def job_of(library: Library, identity: LibraryConfig) -> Job:
    return make_job(library, identity, IngestOptions(precision="fp32"))


def decode(job: Job, path: Path) -> tuple[list[Clip], list[SpanDone]]:
    clips, done = [], []
    for planned in job.plan(VideoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns)):
        assert isinstance(planned, SpanJob)
        for one in job.decode(planned):
            if isinstance(one, Clip):
                clips.append(one)
            else:
                done.append(one)
    return clips, done


def add(library: Library, identity: LibraryConfig, files: list[Path]) -> None:
    """Ingest ``files`` in this process, and publish."""
    write_library_config(library, identity)
    tables, job = Tables(library, features=identity.features != "none"), job_of(library, identity)
    annotate = job.load_annotators(1)
    accounts, written = VideoLedger(VideoFile(str(path), path.stat().st_size, path.stat().st_mtime_ns) for path in files), []
    for path in files:
        clips, done = decode(job, path)
        outcome = job.write([row for row in annotate(clips) if isinstance(row, ClipRow)])
        assert isinstance(outcome, Written)
        written.append(outcome)
        accounts.add(outcome)
        for one in done:
            accounts.add(one)
    tables.commit_clips(written)
    tables.commit_videos(accounts.take_finished(), replace_paths=False)
    publish_tables(library, tables, identity)


def clip_rows(library: Library) -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = Snapshot(library).catalog.sql("from clips order by path, start_s").to_pylist()
    return rows


def rows_of(library: Library, clip_ids: Sequence[int]) -> tuple[SnapshotClips, NDArray[np.int64]]:
    """The clips of the current snapshot, and the rows of some of them."""
    clips = Snapshot(library).clips()
    return clips, clips.rows_of(np.array(clip_ids, np.int64))


def features_of(library: Library, clip_ids: Sequence[int]) -> NDArray[np.float32]:
    """float32 [clips, tokens, dim]."""
    clips, rows = rows_of(library, clip_ids)
    return clips.described(rows)[1]


def num_stored(library: Library) -> int:
    """Records in the files of records."""
    layout = Snapshot(library).clips().feature_layout()
    assert layout is not None
    return sum(path.stat().st_size // layout.record_bytes for path in library.records.glob("*.bin"))


def breaches(library: Library) -> dict[str, str]:
    return {check.what: str(check.breach) for check in verify(library.folder) if check.breach is not None}


def agrees(library: Library) -> bool:
    """Whether the clips that readers see are those with features, and every invariant holds."""
    return Snapshot(library).clips().have_features() and breaches(library) == {}


@pytest.fixture(scope="module")
def classifier(classifier_checkpoint: Checkpoint) -> Checkpoint:
    return classifier_checkpoint


@pytest.fixture(scope="module")
def made(
    tmp_path_factory: pytest.TempPathFactory,
    classifier: Checkpoint,
    sharp_folder: Path,
    films: list[Path],
) -> dict[str, Path]:
    """A library of each kind, of the same films."""
    folders = {}
    for kind in get_args(FeatureKind):
        folders[kind] = tmp_path_factory.mktemp("rerank") / kind
        folders[kind].mkdir()
        add(Library(folders[kind]), identity_of(classifier, sharp_folder, kind), films)
    return folders


@pytest.fixture
def library(made: dict[str, Path], tmp_path: Path) -> Library:
    return Library(Path(shutil.copytree(made["int8"], tmp_path / "library")))


@pytest.fixture(scope="module")
def expected(
    made: dict[str, Path], classifier: Checkpoint, sharp_folder: Path, films: list[Path]
) -> dict[int, NDArray[np.float32]]:
    """``XCLIPModel.forward`` over the frames of the whole library: clip id -> logits [texts]."""
    library, embedder = Library(made["none"]), load_embedder(find_checkpoint(str(sharp_folder), "--embedder"), "fp32")
    found = {}
    for film in films:
        for clip in decode(job_of(library, identity_of(classifier, sharp_folder, "none")), film)[0]:
            pixels = make_pixels(clip.frames[0][None, ::2], embedder.preprocessing, embedder.device, embedder.dtype)
            found[clip.clip_id] = forward(sharp_folder, TEXTS, pixels.cpu())[:, 0]
    return found


@pytest.mark.parametrize(("kind", "most"), [("fp16", 1e-3), ("int8", 2e-2)])
def test_a_library_scores_as_the_model_itself_would(
    made: dict[str, Path], sharp_folder: Path, expected: dict[int, NDArray[np.float32]], kind: str, most: float
) -> None:
    embedder = load_embedder(find_checkpoint(str(sharp_folder), "--embedder"), "fp32")
    ids = [row["clip_id"] for row in clip_rows(Library(made[kind]))]
    assert sorted(ids) == sorted(expected)
    clips, rows = rows_of(Library(made[kind]), ids)
    found = rerank_scores(clips, embedder, TEXTS, rows)
    assert found is not None
    assert found.dtype == np.float32
    assert found.shape == (len(TEXTS), len(ids))
    assert np.abs(found - np.stack([expected[i] for i in ids], axis=1)).max() < most
    back = rerank_scores(clips, embedder, TEXTS[:1], rows[::-1])
    assert back is not None
    assert back[0, ::-1] == pytest.approx(found[0], abs=1e-5)
    assert agrees(Library(made[kind]))


def test_rerank_scores_are_moved_to_the_dot_products_of_the_same_windows(
    made: dict[str, Path], sharp_folder: Path, expected: dict[int, NDArray[np.float32]]
) -> None:
    """So that windows with a rerank score can be ranked among those without one; their order is the model's own."""
    embedder = load_embedder(find_checkpoint(str(sharp_folder), "--embedder"), "fp32")
    scorer = Scorer(Snapshot(Library(made["fp16"])), lambda: embedder, Sampling(), lambda note: None)
    scores = scorer.score(scorer.encoder.encode(Question((TEXTS[0],))))
    positions = np.arange(0, len(scores.calibrated), 2)
    reranked = scorer.rerank(scores, positions)
    others = np.setdiff1d(np.arange(len(scores.calibrated)), positions)
    assert len(positions) >= 3
    assert reranked.calibrated[positions].mean() == pytest.approx(scores.before_rerank[positions].mean())
    assert reranked.calibrated[positions].std() == pytest.approx(scores.before_rerank[positions].std())
    own = np.array([expected[int(i)][0] for i in scorer.timeline.ids[positions]]) / embedder.logit_scale  # type: ignore[attr-defined]
    assert reranked.score[positions] == pytest.approx(own, abs=1e-4)
    moved = (own - own.mean()) / own.std() * scores.before_rerank[positions].std() + scores.before_rerank[positions].mean()
    assert reranked.calibrated[positions] == pytest.approx(moved, abs=1e-3)
    assert np.array_equal(reranked.calibrated[others], scores.calibrated[others])
    assert reranked.reranked.tolist() == [number % 2 == 0 for number in range(len(scores.calibrated))]


def test_none_where_there_are_no_features_or_no_rerank_score(made: dict[str, Path], sharp_folder: Path) -> None:
    embedder = load_embedder(find_checkpoint(str(sharp_folder), "--embedder"), "fp32")
    without = Library(made["none"])
    assert not without.features.exists()
    assert rerank_scores(Snapshot(without).clips(), embedder, TEXTS, np.array([1])) is None
    assert breaches(without) == {}
    assert len(verify(without.folder)) == 14

    class Plain:
        dim = 64

    assert rerank_scores(Snapshot(Library(made["int8"])).clips(), Plain(), TEXTS, np.array([1])) is None  # type: ignore[arg-type]


def test_a_clip_without_features_is_an_error(library: Library, classifier: Checkpoint, sharp_folder: Path) -> None:
    """A row of features that was lost: the rest can be published and searched."""
    embedder = load_embedder(find_checkpoint(str(sharp_folder), "--embedder"), "fp32")
    lost = clip_rows(library)[0]["clip_id"]
    DeltaTable(library.features).delete(f"clip_id = {lost}")
    shutil.rmtree(library.snapshots)
    publish_tables(library, Tables(library, features=True), identity_of(classifier, sharp_folder, "int8"))
    clips, rows = rows_of(library, [row["clip_id"] for row in clip_rows(library)])
    assert rerank_scores(clips, embedder, TEXTS, rows[1:]) is not None
    with pytest.raises(LibraryError, match=f"clip {lost} has no features in the snapshot"):
        rerank_scores(clips, embedder, TEXTS, rows)
    assert breaches(library)["its catalog and its features hold the same clips"] == "they differ"


def test_a_library_from_before_features_is_as_it_was(made: dict[str, Path], tmp_path: Path) -> None:
    library = Library(Path(shutil.copytree(made["none"], tmp_path / "old")))
    content = json.loads(library.config_file.read_text())
    assert content.pop("features") == "none"
    library.config_file.write_text(json.dumps(content))
    identity = read_library_config(library)
    assert identity is not None
    assert identity.features == "none"
    publish_tables(library, Tables(library), identity)
    assert Snapshot(library).number == 1, "nothing changed, nothing published"
    assert breaches(library) == {}


def test_removed_videos_take_their_features_with_them(library: Library, classifier: Checkpoint, sharp_folder: Path) -> None:
    identity = identity_of(classifier, sharp_folder, "int8")
    compact(library.folder)  # or a video's rows would be a file of their own
    tables = Tables(library, features=True)
    gone = clip_rows(library)[0]["video_id"]
    tables.remove_videos([gone])
    publish_tables(library, tables, identity)
    assert agrees(library), "invisible from then on"
    tables.drop_orphans()
    assert gone not in DeltaTable(library.features).to_pyarrow_table()["video_id"].to_pylist()
    publish_tables(library, tables, identity)
    assert agrees(library)
    assert rollback(library.folder, 2) == 5
    assert agrees(library)
    assert gone in {row["video_id"] for row in clip_rows(library)}


def test_copies_get_features_of_their_own(
    library: Library,
    classifier: Checkpoint,
    sharp_folder: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = identity_of(classifier, sharp_folder, "int8")
    tables = Tables(library, features=True)
    stored = num_stored(library)
    original = clip_rows(library)[0]["video_id"]
    row = tables.video_rows([original])[original]
    copy_id = video_id_of(row.video.content_hash, "/copy.mp4")
    assert tables.copy_clips(original, copy_id) == row.clip_count
    file = replace(row.video.file, path="/copy.mp4")
    tables.commit_videos([replace(row, video=replace(row.video, video_id=copy_id, file=file))], replace_paths=False)
    publish_tables(library, tables, identity)
    assert agrees(library)
    ids = {
        path: [r["clip_id"] for r in clip_rows(library) if r["path"] == path] for path in (row.video.file.path, "/copy.mp4")
    }
    assert np.array_equal(features_of(library, ids["/copy.mp4"]), features_of(library, ids[row.video.file.path]))
    assert num_stored(library) == stored, "the same content is stored once"


def test_features_whose_clips_never_came_are_not_seen_and_not_kept(
    library: Library,
    classifier: Checkpoint,
    sharp_folder: Path,
    films: list[Path],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    identity = identity_of(classifier, sharp_folder, "int8")
    before = clip_rows(library)
    later = Path(shutil.copy(films[0], library.folder.parent / "later.mp4"))

    def dies(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    for step in ("_append", "commit_videos"):  # before clips are committed, before their videos are
        with monkeypatch.context() as patched:
            if step == "_append":
                first = Tables._append

                def append(self: Tables, table: DeltaTable, files: Any, first: Any = first) -> None:
                    if table is self.clips:
                        raise KeyboardInterrupt
                    first(self, table, files)

                patched.setattr(Tables, "_append", append)
            else:
                patched.setattr(Tables, "commit_videos", dies)
            with pytest.raises(KeyboardInterrupt):
                add(library, identity, [later])
        assert DeltaTable(library.features).to_pyarrow_table().num_rows > len(before)
        publish_tables(library, Tables(library, features=True), identity)
        assert clip_rows(library) == before
        assert agrees(library)
        Tables(library, features=True).drop_orphans()
        assert DeltaTable(library.features).to_pyarrow_table().num_rows == len(before)


def test_compacting_keeps_features_and_clips_in_agreement(library: Library, films: list[Path]) -> None:
    ids = [row["clip_id"] for row in clip_rows(library)]
    before, files = features_of(library, ids), sorted(path.name for path in library.records.iterdir())
    (library.features / "part-never-committed.parquet").write_bytes(b"rubbish")
    assert compact(library.folder) == {"files_before": 1 + 2 * len(films) + 1, "files_after": 3}
    assert agrees(library)
    assert np.array_equal(features_of(library, ids), before)
    assert sorted(path.name for path in library.records.iterdir()) == files, "nothing new, so the same file"


def test_a_rollback_that_cannot_be_leaves_all_tables_as_they_are(library: Library) -> None:
    tables = Tables(library, features=True)
    versions = tables.versions()
    tables.remove_videos([clip_rows(library)[0]["video_id"]])
    tables.drop_orphans()
    before = tables.read(), DeltaTable(library.features).to_pyarrow_table().num_rows
    with pytest.raises(LibraryError):
        tables.restore(versions | {"features": 99})
    after = Tables(library, features=True).read(), DeltaTable(library.features).to_pyarrow_table().num_rows
    assert after == before


def test_each_breach_is_found(library: Library, made: dict[str, Path]) -> None:
    table = DeltaTable(library.features)
    one = table.to_pyarrow_table().slice(0, 1)
    table.delete(f"clip_id = {one['clip_id'][0]}")
    found = breaches(library)
    assert found["every clip has its features, once"] == f"clip {one['clip_id'][0]}"
    write_deltalake(table, one, mode="append")
    assert "every clip has its features, once" not in breaches(library)
    write_deltalake(table, one, mode="append")
    assert breaches(library)["every clip has its features, once"] == f"clip {one['clip_id'][0]}"
    table.delete(f"clip_id = {one['clip_id'][0]}")
    record = bytearray(one["record"][0].as_py())
    record[100] ^= 1
    at = one.schema.get_field_index("record")
    write_deltalake(table, one.set_column(at, "record", [[bytes(record)]]), mode="append")
    assert breaches(library)["features are as they were computed"] == f"those of clip {one['clip_id'][0]}"

    shutil.rmtree(library.folder)
    shutil.copytree(made["int8"], library.folder)
    (records,) = library.records.glob("*.bin")
    content = bytearray(records.read_bytes())
    content[-1] ^= 1
    records.write_bytes(content)
    assert breaches(library) == {"its files are as they were written": records.name}
    records.unlink()
    assert "the current snapshot can be opened" in breaches(library)


def test_a_snapshot_that_lost_its_features_is_published_again(library: Library) -> None:
    (places,) = library.segments.glob("*/features.npy")
    places.unlink()
    identity = read_library_config(library)
    assert identity is not None
    publish_tables(library, Tables(library, features=True), identity)
    assert Snapshot(library).number == 2
    assert agrees(library)
