"""Videos in S3: as on a disk, in few requests, and in spite of what goes wrong on the way."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from jobs.ingest.changes import compare
from jobs.ingest.ingest import ingest
from jobs.ingest.listing import Listing
from pipeline.decoders.registry import load_decoder
from pipeline.probe import probe
from pipeline.process import decode_jobs, plan_video
from pipeline.sources import exists, is_folder, remote, source_of
from pipeline.sources.base import FileChangedError
from pipeline.sources.fetched import bytes_fetched
from pipeline.sources.find import Choice, PassedOver, find_videos
from pipeline.sources.hashing import content_hash, ends_hash
from pipeline.sources.s3 import _list
from pipeline.speech.sidecar import find_sidecars, read_sidecar
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, SpanDone, SpanJob, VideoFailed, VideoFile
from schemas.tables import KNOWN_VIDEOS
from tests.helpers.ingests import counts
from tests.helpers.library_builder import sql
from tests.helpers.object_store import BUCKET, SECRET, Fault, FaultyStore, answer, broken_off, client, object_store, stalled
from tests.helpers.videos import number_in, write_video

PLAIN = ModelInput(4, Geometry(resize=None, crop=None))
ROOT = f"s3://{BUCKET}"


@pytest.fixture
def store(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[FaultyStore]:
    monkeypatch.setattr(remote, "_FIRST_PAUSE_S", 0.01)
    with object_store(monkeypatch, tmp_path / "cache") as store:
        yield store


@pytest.fixture(params=["a.mp4", "a.mkv", "a.ts"])
def film(request: pytest.FixtureRequest, store: FaultyStore, tmp_path: Path) -> tuple[str, Path]:
    """One film in the bucket and on disk: the two paths."""
    on_the_disk = write_video(tmp_path / request.param, 100)
    store.put(f"films/{request.param}", on_the_disk)
    return f"{ROOT}/films/{request.param}", on_the_disk


def found(source: str, **choice: tuple[str, ...]) -> list[str]:
    return [item.path for item in find_videos([source], choice=Choice(**choice)) if isinstance(item, VideoFile)]


def find_one(path: str) -> VideoFile:
    (file,) = find_videos([path])
    assert isinstance(file, VideoFile)
    return file


def planned(path: str) -> list[SpanJob | VideoFailed]:
    return plan_video(find_one(path), Sampling(window_s=1.0, stride_s=1.0), [PLAIN])


def decoded(path: str) -> tuple[list[list[int]], list[tuple[str, ...]]]:
    """The numbers of the frames of each clip of a second, and what was wrong with each job."""
    jobs = [job for job in planned(path) if isinstance(job, SpanJob)]
    items = list(decode_jobs(jobs, load_decoder("pyav")))
    clips = [[number_in(frame) for frame in item.frames[0]] for item in items if isinstance(item, Clip)]
    return clips, [tuple(problem.reason for problem in item.problems) for item in items if isinstance(item, SpanDone)]


def test_a_film_is_what_it_is_on_disk(film: tuple[str, Path]) -> None:
    in_bucket, on_the_disk = film
    assert content_hash(in_bucket) == content_hash(str(on_the_disk))
    assert ends_hash(in_bucket) == ends_hash(str(on_the_disk))
    meta, expected = probe(in_bucket), probe(str(on_the_disk))
    for name in expected.__slots__:
        np.testing.assert_array_equal(getattr(meta, name), getattr(expected, name), name)
    assert decoded(in_bucket) == decoded(str(on_the_disk))
    assert decoded(in_bucket)[0][0] == [3, 9, 15, 21]


def test_every_byte_is_fetched_once_for_hash_probe_and_frames(film: tuple[str, Path]) -> None:
    in_bucket, on_the_disk = film
    before = bytes_fetched()
    decoded(in_bucket)
    assert bytes_fetched() - before == on_the_disk.stat().st_size


def test_keys_are_taken_as_they_are(store: FaultyStore) -> None:
    """Object stores take any key: those that no path could have are videos as well."""
    keys = [
        "a b/ümlaut #1?.mp4", "a%20b.mp4", "double//slash.mp4", "plus+and&.mp4", "tab\t.mp4",
        "a/b/c/d.mkv", "a.mp4", "a-b.mp4", "A.MP4",
    ]  # fmt: skip
    others = ["folder/", "dot/../z.mp4", ".hidden/a.mp4", "a/.b/c.mp4", "x/.d.mp4", "notes.txt", "a/app.ts"]
    for key in [*keys, *others]:
        store.put(key, b"import x\n" if key.endswith(".ts") else b"x")
    passed = PassedOver()
    items = list(find_videos([ROOT], passed=passed))
    assert [item.path for item in items if isinstance(item, VideoFile)] == [f"{ROOT}/{key}" for key in sorted(keys)]
    assert (len(items), passed.endings) == (len(keys), {".txt": 1, ".ts": 1})
    for key in keys:
        assert source_of(ROOT).read_range(f"{ROOT}/{key}", 0, 10) == b"x"
    assert found(f"{ROOT}/a", exclude=("b",)) == []
    assert found(ROOT, exclude=("a b", "*.mkv", "a*")) == [
        f"{ROOT}/double//slash.mp4",
        f"{ROOT}/plus+and&.mp4",
        f"{ROOT}/tab\t.mp4",
    ]
    assert found(ROOT, include=("a b", "a/b")) == [f"{ROOT}/a b/ümlaut #1?.mp4", f"{ROOT}/a/b/c/d.mkv"]
    assert found(f"{ROOT}/a.mp4") == [f"{ROOT}/a.mp4"]
    assert (is_folder(ROOT), is_folder(f"{ROOT}/a"), exists(f"{ROOT}/b")) == (True, True, False)


def test_many_keys_come_page_by_page(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.sources.s3._KEYS", 3)
    for number in range(11):
        store.put(f"many/{number:04d}.mp4", b"x")
    listed = source_of(ROOT).list_below(f"{ROOT}/many")
    assert listed is not None
    first = next(listed)
    assert (first.name, first.status and first.status.size_bytes) == ("0000.mp4", 1)
    assert len(list(listed)) == 10
    assert sum(1 for _ in source_of(ROOT).list_folder(f"{ROOT}/many")) == 11
    assert [entry.name for entry in source_of(ROOT).list_folder(f"{ROOT}/many", "0004")] == ["0004.mp4"]
    asked: list[str] = []

    def counted(folder: str, **given: object) -> dict[str, object]:
        asked.append(folder)
        return _list(folder, **given)

    monkeypatch.setattr("pipeline.sources.s3._list", counted)
    assert (is_folder(f"{ROOT}/many"), asked) == (True, [f"{ROOT}/many"]), "the first page tells"


def test_an_exports_folder_is_left_out(store: FaultyStore) -> None:
    store.put("clips/001-a.mp4", b"x")
    store.put("clips/moments.csv", b"file,path,start_s,end_s,label\n")
    store.put("trips/001-a.mp4", b"x")
    passed = PassedOver()
    assert [item.path for item in find_videos([ROOT], passed=passed) if isinstance(item, VideoFile)] == [
        f"{ROOT}/trips/001-a.mp4"
    ]
    assert passed.folders == {f"{ROOT}/clips": "exported by vidsift"}
    assert found(f"{ROOT}/clips") == [f"{ROOT}/clips/001-a.mp4"], "unless it is the source"


def test_subtitles_beside_a_film_are_found_by_its_name(store: FaultyStore) -> None:
    store.put("films/a.en.srt", b"1\n00:00:01,000 --> 00:00:02,000\nthe budget is gone\n")
    for name in ("a.mp4", "b.srt", "ab.srt"):
        store.put(f"films/{name}", b"x")
    (sidecar,) = find_sidecars(f"{ROOT}/films/a.mp4")
    assert (sidecar.path, sidecar.language) == (f"{ROOT}/films/a.en.srt", "en")
    assert [said.text for said in read_sidecar(sidecar)] == ["the budget is gone"]


FAULTS: dict[str, list[Fault | None]] = {
    "busy": [answer("503 Slow Down", "SlowDown")] * 3,
    "broken inside": [answer("500 Internal Server Error", "InternalError"), broken_off],
    "broken off": [broken_off, broken_off, broken_off],
    "late": [stalled(1.0)],
}


@pytest.mark.parametrize("name", FAULTS)
def test_what_passes_costs_time_alone(store: FaultyStore, tmp_path: Path, name: str) -> None:
    path = write_video(tmp_path / "a.mp4", 100)
    store.put("a.mp4", path)
    store.faults.extend(FAULTS[name])
    assert decoded(f"{ROOT}/a.mp4") == decoded(str(path))
    assert not store.faults


def test_what_lasts_is_the_videos_reason(store: FaultyStore, tmp_path: Path) -> None:
    store.put("a.mp4", write_video(tmp_path / "a.mp4", 100))
    file = find_one(f"{ROOT}/a.mp4")
    store.faults.extend([answer("503 Slow Down", "SlowDown")] * 7)
    (failed,) = plan_video(file, Sampling(), [PLAIN])
    assert isinstance(failed, VideoFailed)
    assert failed.reason == "cannot be read: S3 is busy (SlowDown: try again); 7 attempts were made"
    store.faults.append(answer("403 Forbidden", "ExpiredToken"))
    (failed,) = plan_video(file, Sampling(), [PLAIN])
    assert isinstance(failed, VideoFailed)
    assert failed.reason == "cannot be read: S3 refuses it (ExpiredToken: try again)"
    assert not store.faults, "what is refused is not asked for again"
    store.faults.append(answer("403 Forbidden", "InvalidObjectState"))
    with pytest.raises(VideoError, match=r"S3 refuses it \(InvalidObjectState"):
        content_hash(file.path)


def test_a_film_that_is_replaced_while_it_is_planned_is_read_anew(store: FaultyStore, tmp_path: Path) -> None:
    old, new = write_video(tmp_path / "old.mp4", 100), write_video(tmp_path / "new.mp4", 50)
    store.put("a.mp4", old)
    file = find_one(f"{ROOT}/a.mp4")

    def replace(path: str) -> None:
        store.before = lambda path: None
        store.put("a.mp4", new)

    store.before = replace
    jobs = [job for job in plan_video(file, Sampling(window_s=1.0, stride_s=1.0), [PLAIN]) if isinstance(job, SpanJob)]
    assert jobs[0].video.content_hash == content_hash(str(new))
    assert (jobs[0].video.file.size_bytes, jobs[0].video.file.version != file.version) == (new.stat().st_size, True)
    assert jobs[0].video.duration_s == 2.0


def test_a_film_that_never_rests_fails(store: FaultyStore, tmp_path: Path) -> None:
    films = [write_video(tmp_path / f"{number}.mp4", 30 + number) for number in range(9)]
    store.put("a.mp4", films.pop())
    store.before = lambda path: store.put("a.mp4", films.pop())
    (failed,) = planned(f"{ROOT}/a.mp4")
    assert isinstance(failed, VideoFailed)
    assert failed.reason == "it changed 3 times while it was read; ingest it once it is complete"


def test_a_film_that_is_replaced_before_it_is_decoded_says_so(store: FaultyStore, tmp_path: Path) -> None:
    store.put("a.mp4", write_video(tmp_path / "old.mp4", 100))
    jobs = [job for job in planned(f"{ROOT}/a.mp4") if isinstance(job, SpanJob)]
    store.put("a.mp4", write_video(tmp_path / "new.mp4", 100, size=(80, 60)))
    (done,) = decode_jobs(jobs, load_decoder("pyav"))
    assert isinstance(done, SpanDone)
    assert done.problems[-1].reason == "it has changed since it was planned; ingest it once more to read it as it is now"


def test_an_open_file_does_not_mix_two_versions(store: FaultyStore) -> None:
    store.put("a.mp4", b"a" * 3_000_000)
    with source_of(ROOT).open(f"{ROOT}/a.mp4") as file:
        assert file.read(10) == b"a" * 10
        store.put("a.mp4", b"b" * 3_000_000)
        with pytest.raises(FileChangedError, match="it has changed while it was read"):
            file.read()
    assert source_of(ROOT).read_range(f"{ROOT}/a.mp4", 0, 3) == b"bbb"


@pytest.mark.usefixtures("inline_run")
def test_an_ingest_reads_what_is_new_and_nothing_else(
    store: FaultyStore, films: list[Path], tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    store.put_folder(films[0].parent, "films/")
    from_disk, library = tmp_path / "disk", tmp_path / "library"
    ingest([films[0].parent], from_disk, **models)  # type: ignore[arg-type]
    report = ingest([f"{ROOT}/films"], library, **models)  # type: ignore[arg-type]
    assert counts(report)["indexed"] == 6
    columns = "size_bytes, content_hash, codec, duration_s, clip_count, status"
    query = f"select parse_filename(path) as name, {columns} from videos order by 1"
    assert sql(library, query) == sql(from_disk, query)
    of_clips = "select parse_filename(path) as name, start_s, end_s, label, label_score from clips order by all"
    assert sql(library, of_clips) == sql(from_disk, of_clips)
    assert [row["path"] for row in sql(library, "select path from videos order by 1 limit 1")] == [
        f"{ROOT}/films/{films[0].name}"
    ]

    store.gets.clear()
    assert counts(ingest([f"{ROOT}/films"], library))["unchanged"] == 6
    assert store.gets == [], "the listing was enough"

    client().put_object(Bucket=BUCKET, Key=f"films/{films[0].name}", Body=films[0].read_bytes(), Metadata={"a": "b"})
    store.put(f"films/{films[1].name}", write_video(tmp_path / "other.mp4", 100))
    client().delete_object(Bucket=BUCKET, Key=f"films/{films[3].name}")
    store.put("films/moved/here.mp4", films[4])
    client().delete_object(Bucket=BUCKET, Key=f"films/{films[4].name}")
    report = ingest([f"{ROOT}/films"], library)
    assert counts(report) == counts(report) | {"indexed": 1, "unchanged": 3, "moved": 1, "removed": 1}
    assert f"{ROOT}/films/moved/here.mp4" in [row["path"] for row in sql(library, "select path from videos")]
    assert counts(ingest([f"{ROOT}/films"], library))["unchanged"] == 5


@pytest.mark.usefixtures("inline_run")
def test_a_copy_of_the_same_bytes_in_another_version_is_hashed_once(
    store: FaultyStore, films: list[Path], tmp_path: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    """An upload in parts has another ETag than one in a piece: the bytes decide, once."""
    models = {"classifier": str(classifier_folder), "embedder": str(embedder_folder)}
    content = films[0].read_bytes() + b"\0" * (6 << 20)
    store.put("a.mp4", content)
    ingest([ROOT], tmp_path / "library", **models)  # type: ignore[arg-type]
    upload = client().create_multipart_upload(Bucket=BUCKET, Key="a.mp4")["UploadId"]
    parts = []
    for number, part in enumerate((content[: 5 << 20], content[5 << 20 :]), 1):
        sent = client().upload_part(Bucket=BUCKET, Key="a.mp4", UploadId=upload, PartNumber=number, Body=part)
        parts.append({"PartNumber": number, "ETag": sent["ETag"]})
    client().complete_multipart_upload(Bucket=BUCKET, Key="a.mp4", UploadId=upload, MultipartUpload={"Parts": parts})
    store.gets.clear()
    assert counts(ingest([ROOT], tmp_path / "library"))["unchanged"] == 1
    assert store.gets, "another version is read"
    store.gets.clear()
    assert counts(ingest([ROOT], tmp_path / "library"))["unchanged"] == 1
    assert store.gets == [], "and then it is known"


def test_a_listing_that_breaks_off_removes_nothing(store: FaultyStore, monkeypatch: pytest.MonkeyPatch) -> None:
    store.put("a.mp4", b"x")

    monkeypatch.setattr("pipeline.sources.s3._KEYS", 1)
    store.put("b.mp4", b"x")
    listing = find_videos([ROOT])
    assert next(listing) == find_one(f"{ROOT}/a.mp4")

    def refused(folder: str, **arguments: object) -> None:
        raise PermissionError(13, "S3 refuses it (AccessDenied)")

    monkeypatch.setattr("pipeline.sources.s3._list", refused)
    items = list(listing)
    known = [
        {"video_id": name, "path": f"{ROOT}/{name}.mp4", "size_bytes": 1, "modified_ns": 1, "status": "indexed", "track": 1}
        for name in ("a", "b")
    ]
    changes = compare(Listing(items), pa.Table.from_pylist(known, schema=KNOWN_VIDEOS), [ROOT])
    assert (changes.removed, changes.moved) == ([], {}), "b.mp4 is there, though it was not listed"
    ((file, error),) = [item for item in items if isinstance(item, tuple)]
    assert (file.path, str(error)) == (ROOT, "find: the folder cannot be read: S3 refuses it (AccessDenied)")


def test_sources_that_cannot_be_reached_say_why(store: FaultyStore, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no such file or folder: 's3://archive/nowhere'"):
        found(f"{ROOT}/nowhere")
    with pytest.raises(UsageError, match="no such file or folder: 's3://no-such-bucket/a'"):
        found("s3://no-such-bucket/a")
    with pytest.raises(UsageError, match="'s3://a b/c' cannot be reached: S3 has no such name"):
        found("s3://a b/c")
    with pytest.raises(UsageError, match="a password in it, expected none"):
        found("sftp://me:password@host/films")
    with pytest.raises(UsageError, match=r"https://host/a\.mp4 has a query or a fragment, expected none") as told:
        found("https://host/a.mp4?X-Amz-Signature=0123")
    assert "0123" not in str(told.value)
    monkeypatch.setenv("AWS_PROFILE", "nobodys")
    source_of(ROOT)
    from pipeline.sources import s3

    s3._client.cache_clear()
    with pytest.raises(UsageError, match="no credentials for S3: The config profile"):
        found(ROOT)


def test_no_credential_is_ever_told_or_kept(store: FaultyStore, tmp_path: Path) -> None:
    store.put("a.mp4", b"x" * 1000)
    file = find_one(f"{ROOT}/a.mp4")
    store.faults.append(answer("403 Forbidden", "SignatureDoesNotMatch"))
    (failed,) = plan_video(file, Sampling(), [PLAIN])
    assert isinstance(failed, VideoFailed)
    assert SECRET not in failed.reason
    kept = [path for path in (tmp_path / "cache").rglob("*") if path.is_file()]
    assert all(SECRET.encode() not in path.read_bytes() for path in kept)
    assert os.environ["AWS_SECRET_ACCESS_KEY"] == SECRET
