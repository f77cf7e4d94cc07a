"""Videos that are on no disk: a source is one class and one line, and nothing else needs to know of it."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import pipeline.sources
from jobs.ingest.changes import compare
from jobs.ingest.listing import Listing
from pipeline.decoders.registry import load_decoder
from pipeline.frames import decode_seen, probe_file
from pipeline.probe import probe
from pipeline.process import decode_jobs, plan_video
from pipeline.sources import absolute_path, exists, is_file, is_folder
from pipeline.sources.base import Source
from pipeline.sources.find import Choice, PassedOver, find_videos
from pipeline.sources.hashing import content_hash, ends_hash
from pipeline.sources.paths import on_disk
from pipeline.trim.cut import cut_video, has_sound
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, Span, SpanDone, SpanJob, VideoFile
from schemas.tables import KNOWN_VIDEOS
from tests.helpers.memory_source import Memory
from tests.helpers.videos import number_in, write_video, write_with_sound

PLAIN = ModelInput(4, Geometry(resize=None, crop=None))
ROOT = "memory://films"


@pytest.fixture
def memory(monkeypatch: pytest.MonkeyPatch) -> Memory:
    """A source of its own, under a scheme of its own."""
    memory = Memory()
    source: Source = memory
    monkeypatch.setitem(pipeline.sources.SOURCES, "memory", lambda: source)
    return memory


@pytest.fixture(params=["a.mp4", "a.mkv", "a.ts", "raw.h264"])
def film(request: pytest.FixtureRequest, memory: Memory, tmp_path: Path) -> tuple[str, Path]:
    """One film in memory and on disk: the two paths."""
    on_the_disk = write_video(tmp_path / request.param, 100)
    memory.files[f"{ROOT}/{request.param}"] = on_the_disk.read_bytes()
    return f"{ROOT}/{request.param}", on_the_disk


def test_videos_are_listed(memory: Memory) -> None:
    memory.files = {f"{ROOT}/{name}": b"x" for name in ("b.mp4", "a.MKV", "2024/c.webm", "notes.txt", ".hidden.mp4")}
    memory.files |= {f"{ROOT}/app.ts": b"import x\n", f"{ROOT}/proxies/b.mp4": b"x", f"{ROOT}/empty.mp4": b""}
    passed = PassedOver()
    found = list(find_videos([ROOT], choice=Choice(exclude=("proxies",)), passed=passed))
    assert [item.path for item in found if isinstance(item, VideoFile)] == [
        f"{ROOT}/a.MKV", f"{ROOT}/b.mp4", f"{ROOT}/2024/c.webm"
    ]  # fmt: skip
    assert found[0] == VideoFile(f"{ROOT}/a.MKV", 1, 1_000)
    assert [str(item[1]) for item in found if isinstance(item, tuple)] == ["find: the file is empty (0 bytes)"]
    assert (passed.endings, passed.no_videos) == ({".txt": 1, ".ts": 1}, {f"{ROOT}/app.ts"})
    assert memory.opened == [f"{ROOT}/app.ts"], "of the others, names and sizes were enough"
    (named,) = find_videos([f"{ROOT}/notes.txt"])
    assert named == VideoFile(f"{ROOT}/notes.txt", 1, 1_000)
    with pytest.raises(UsageError, match="sources: no such file or folder: 'memory://films/nowhere'"):
        list(find_videos([f"{ROOT}/nowhere"]))


def test_paths_keep_their_scheme(memory: Memory) -> None:
    memory.files = {f"{ROOT}/a.mp4": b"x"}
    assert absolute_path(f"{ROOT}/2024/../a.mp4") == f"{ROOT}/a.mp4"
    assert absolute_path("./a.mp4", ROOT) == f"{ROOT}/a.mp4"
    assert absolute_path("/v/a.mp4", ROOT) == "/v/a.mp4"
    assert on_disk(f"{ROOT}/nowhere.mp4") == f"{ROOT}/nowhere.mp4"
    assert (is_file(f"{ROOT}/a.mp4"), is_folder(ROOT), exists(f"{ROOT}/b.mp4")) == (True, True, False)
    assert absolute_path("nobodys://a.mp4").startswith("/"), "a scheme that nobody has registered is a name like others"


def test_hashes_are_those_of_the_same_file_on_disk(film: tuple[str, Path]) -> None:
    in_memory, on_the_disk = film
    assert content_hash(in_memory) == content_hash(str(on_the_disk))
    assert ends_hash(in_memory) == ends_hash(str(on_the_disk)) != b""
    assert ends_hash(f"{ROOT}/gone.mp4") == b""
    with pytest.raises(VideoError, match="find: cannot be read: nothing is called so"):
        content_hash(f"{ROOT}/gone.mp4")


def test_a_probe_says_what_it_says_of_the_same_file_on_disk(film: tuple[str, Path]) -> None:
    in_memory, on_the_disk = film
    meta, expected = probe(in_memory), probe(str(on_the_disk))
    for name in expected.__slots__:
        np.testing.assert_array_equal(getattr(meta, name), getattr(expected, name), name)
    assert probe_file(in_memory).num_frames == 100
    with pytest.raises(UsageError, match="path: no such file"):
        probe_file(f"{ROOT}/gone.mp4")


def decoded(path: str, decoder: str = "pyav") -> tuple[list[list[int]], list[tuple[str, ...]]]:
    """The numbers of the frames of each clip of a second, and what was wrong with each job."""
    (file,) = find_videos([path])
    assert isinstance(file, VideoFile)
    jobs = [job for job in plan_video(file, Sampling(window_s=1.0, stride_s=1.0), [PLAIN]) if isinstance(job, SpanJob)]
    items = list(decode_jobs(jobs, load_decoder(decoder)))
    clips = [[number_in(frame) for frame in item.frames[0]] for item in items if isinstance(item, Clip)]
    return clips, [tuple(problem.reason for problem in item.problems) for item in items if isinstance(item, SpanDone)]


def test_all_clips_are_decoded_as_from_disk(film: tuple[str, Path], memory: Memory) -> None:
    in_memory, on_the_disk = film
    clips, problems = decoded(in_memory)
    assert clips == [[start + offset for offset in (3, 9, 15, 21)] for start in (0, 25, 50, 75)]
    assert (clips, problems) == decoded(str(on_the_disk))
    assert set(memory.opened) == {in_memory}


def test_a_file_that_goes_away_is_its_own_reason(film: tuple[str, Path], memory: Memory) -> None:
    in_memory, _ = film
    (file,) = find_videos([in_memory])
    assert isinstance(file, VideoFile)
    jobs = [job for job in plan_video(file, Sampling(), [PLAIN]) if isinstance(job, SpanJob)]
    memory.files.clear()
    (done,) = decode_jobs(jobs, load_decoder("pyav"))
    assert isinstance(done, SpanDone)
    assert "nothing is called so" in done.problems[-1].reason
    with pytest.raises(VideoError, match="probe: no video container that FFmpeg can read: nothing is called so"):
        probe(in_memory)


def test_what_has_changed_is_known_without_a_disk(memory: Memory) -> None:
    memory.files = {f"{ROOT}/a.mp4": b"one", f"{ROOT}/b.mp4": b"two", f"{ROOT}/c.mp4": b"two"}
    row = {"video_id": "1", "status": "indexed", "error_stage": None, "track": 1, "tracks": 1, "ingested_at": 0}
    known = [
        row | {"path": f"{ROOT}/{name}.mp4", "size_bytes": 3, "modified_ns": time, "content_hash": "0"}
        for name, time in (("a", 1_000), ("gone", 1))
    ]
    changes = compare(Listing(find_videos([ROOT])), pa.Table.from_pylist(known, schema=KNOWN_VIDEOS), [ROOT])
    assert (changes.unchanged, changes.removed) == (1, ["1"])
    assert [file.path for file in changes.to_do] == [f"{ROOT}/b.mp4"]
    assert [copy.file.path for copy in changes.copies] == [f"{ROOT}/c.mp4"]


@pytest.mark.parametrize("start_s", [1.0, 1.6])
def test_pieces_are_cut_out(memory: Memory, tmp_path: Path, start_s: float) -> None:
    path = f"{ROOT}/a.mp4"
    memory.files[path] = write_with_sound(tmp_path / "a.mp4", 3, options={"g": "25"}).read_bytes()
    assert has_sound(path)
    cut_video(path, probe(path), Span(start_s, 2.0), tmp_path / "piece.mp4")
    seen = decode_seen(str(tmp_path / "piece.mp4"), probe(str(tmp_path / "piece.mp4")), [Span(0.0, 0.04)], PLAIN)
    assert number_in(seen.frames[0][0]) == round(start_s * 25)


@pytest.mark.parametrize("decoder", ["decord", "torchcodec"])
def test_other_decoders_read_file_objects_too(memory: Memory, tmp_path: Path, decoder: str) -> None:
    path = f"{ROOT}/a.mp4"
    memory.files[path] = write_video(tmp_path / "a.mp4", 50).read_bytes()
    try:
        load_decoder(decoder)
    except UsageError as exc:
        pytest.skip(str(exc))
    assert decoded(path, decoder) == ([[3, 9, 15, 21], [28, 34, 40, 46]], [()])
