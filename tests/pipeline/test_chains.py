"""Videos in which going to a place does not help: one pass over the file sees to all their jobs."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from pipeline.container import reading as container
from pipeline.decoders import pyav
from pipeline.decoders.base import ChainDecoder
from pipeline.decoders.registry import CHAINED, DECODERS, load_decoder
from pipeline.probe import probe
from pipeline.process import decode_job, decode_jobs, plan_video
from pipeline.sampling import plan_spans
from pipeline.sources.find import find_videos
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, Span, SpanDone, SpanJob, VideoInfo
from tests.helpers.videos import number_in, write_video

WIDE = ModelInput(4, Geometry((64, 128), None))
ONE_KEYFRAME = {"g": "100000", "keyint_min": "100000", "sc_threshold": "0", "preset": "ultrafast"}
MANY = {"g": "10", "keyint_min": "10", "sc_threshold": "0", "preset": "ultrafast"}


def jobs_of(path: Path) -> list[SpanJob]:
    (file,) = find_videos([path])
    assert not isinstance(file, tuple)
    jobs = plan_video(file, Sampling(), (WIDE,))
    assert all(isinstance(job, SpanJob) for job in jobs), jobs
    return [job for job in jobs if isinstance(job, SpanJob)]


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The files that the decoder has opened."""
    paths: list[str] = []

    def counted(path: str) -> object:
        paths.append(path)
        return original(path)

    original = container.open_video
    monkeypatch.setattr(pyav, "open_video", counted)
    return paths


@pytest.mark.parametrize(
    ("name", "options", "muxing"),
    [
        ("one-keyframe.mp4", ONE_KEYFRAME, {}),
        ("one-keyframe.ts", ONE_KEYFRAME, {}),
        ("no-cues.mkv", MANY, {"live": "1"}),
        ("raw.h264", MANY, {}),
    ],
)
def test_one_pass_shows_every_clip_of_a_file_in_which_seeking_does_not_help(
    tmp_path: Path, opened: list[str], name: str, options: dict[str, str], muxing: dict[str, str]
) -> None:
    path = write_video(tmp_path / name, 220, fps=1 if name != "raw.h264" else 25, options=options, muxing=muxing)
    if name == "raw.h264":  # at the 25 frames a second that are assumed, it takes more of them to be long
        path = write_video(tmp_path / name, 25 * 130, options=options)
    jobs = jobs_of(path)
    assert len(jobs) >= 3
    assert [job.chain for job in jobs] == [0] * len(jobs)
    items = list(decode_jobs(jobs, load_decoder("pyav")))
    assert opened == [str(path)], "one pass"
    assert [item.part for item in items if isinstance(item, SpanDone)] == list(range(len(jobs)))
    clips = [item for item in items if isinstance(item, Clip)]
    assert [clip.span for clip in clips] == [span for job in jobs for span in job.spans]
    shown = [number_in(frame) for clip in clips for frame in clip.frames[0]]
    wanted = [job.frame_index[picks[0]] % 256 for job in jobs for picks in job.picks]
    assert shown == np.concatenate(wanted).tolist()
    alone = [item for job in jobs for item in decode_job(job, load_decoder("pyav"))]
    assert [item for item in alone if isinstance(item, SpanDone)] == [item for item in items if isinstance(item, SpanDone)]


def test_a_file_without_an_index_is_read_once_for_all_of_it_and_sought_in_for_a_moment(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mkv", 220, fps=1, options=MANY, muxing={"live": "1"})
    meta = probe(str(path))
    assert meta.seeks_read_all
    assert len(meta.keyframes) == 22
    (file,) = find_videos([path])
    assert not isinstance(file, tuple)
    (moment,) = plan_spans(VideoInfo("x", file), meta, [Span(150.0, 154.0)], (WIDE,))
    assert moment.seek is not None
    assert moment.seek.pts == 150_000
    with_index = probe(str(write_video(tmp_path / "b.mkv", 220, fps=1, options=MANY)))
    assert not with_index.seeks_read_all


def test_flash_video_without_an_index_is_sought_by_bytes(tmp_path: Path, opened: list[str]) -> None:
    path = write_video(tmp_path / "a.flv", 220, fps=1, options=MANY)
    meta = probe(str(path))
    assert not meta.seeks_read_all
    assert all(keyframe.pos for keyframe in meta.keyframes)
    jobs = jobs_of(path)
    assert [job.chain for job in jobs] == [0, 1, 2, 3]
    clips = [item for item in decode_jobs(jobs, load_decoder("pyav")) if isinstance(item, Clip)]
    assert [number_in(frame) for clip in clips for frame in clip.frames[0]] == list(range(220))
    assert len(opened) == len(jobs), "each found its keyframe at once"


def test_the_list_of_decoders_that_do_chains_is_true() -> None:
    loaded = {name: load_decoder(name) for name in ("pyav", "decord") if name in DECODERS}
    assert {name for name, decoder in loaded.items() if isinstance(decoder, ChainDecoder)} == CHAINED


def test_what_is_damaged_in_a_chain_costs_its_own_frames(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 220, fps=1, options=ONE_KEYFRAME | {"x264-params": "scenecut=0"})
    data = bytearray(path.read_bytes())
    jobs = jobs_of(path)
    whole = [item for item in decode_jobs(jobs, load_decoder("pyav")) if isinstance(item, Clip)]
    middle = data.index(b"mdat") + 4 + (len(data) - data.index(b"mdat")) // 2
    data[middle : middle + 200] = b"\xff" * 200
    path.write_bytes(data)
    items = list(decode_jobs(jobs_of(path), load_decoder("pyav")))
    parts = [item for item in items if isinstance(item, SpanDone)]
    assert [part.part for part in parts] == [0, 1, 2, 3], "every part says what became of it"
    assert not parts[0].problems
    assert any(part.problems for part in parts)
    first = next(item for item in items if isinstance(item, Clip))
    assert (first.frames[0] == whole[0].frames[0]).all()
