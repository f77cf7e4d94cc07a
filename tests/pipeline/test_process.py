"""The whole way of one video in this process, and what a decoder's failure becomes."""

from __future__ import annotations

from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
from pipeline.decoders.base import Decoded
from pipeline.decoders.registry import load_decoder
from pipeline.models.registry import load_classifier, load_embedder
from pipeline.process import annotate_video, decode_job, plan_video
from pipeline.sampling import distinct_inputs
from schemas.errors import ModelError, VideoError
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, ClipRow, Problem, SpanDone, SpanJob, VideoFailed, VideoFile
from tests.helpers.videos import write_video

SQUARE = ModelInput(16, Geometry(64, (64, 64)))


class Fake:
    """A decoder that gives the frames at some positions, each filled with its position, or raises."""

    def __init__(self, positions: list[int] | None = None, error: Exception | None = None, *problems: str) -> None:
        self.positions, self.error, self.problems = positions, error, problems

    def decode(self, job: SpanJob) -> Decoded:
        if self.error:
            raise self.error
        have = np.arange(len(job.frame_pts)) if self.positions is None else np.asarray(self.positions)
        frames = np.stack([np.full((64, 64, 3), position, np.uint8) for position in have])
        return Decoded(have, (frames,), self.problems)


def job_of(path: Path) -> SpanJob:
    (job,) = plan_video(VideoFile(str(path), path.stat().st_size, 1), Sampling(), [SQUARE])
    assert isinstance(job, SpanJob)
    return job


@pytest.fixture
def job(tmp_path: Path) -> SpanJob:
    """Two clips of 16 samples each."""
    return job_of(write_video(tmp_path / "a.mp4", 200))


def outcome(job: SpanJob, decoder: Fake) -> tuple[list[Clip], SpanDone]:
    items = list(decode_job(job, decoder))
    done = items.pop()
    assert isinstance(done, SpanDone)
    assert all(isinstance(item, Clip) for item in items)
    return [item for item in items if isinstance(item, Clip)], done


def test_a_sound_job_gives_its_clips_and_no_problem(job: SpanJob) -> None:
    clips, done = outcome(job, Fake())
    assert [clip.span for clip in clips] == [(0.0, 4.0), (4.0, 8.0)]
    assert [clip.frames[0][:, 0, 0, 0].tolist() for clip in clips] == [list(range(16)), list(range(16, 32))]
    assert done.clip_ids == tuple(clip.clip_id for clip in clips)
    assert (done.part, done.num_parts, done.problems) == (0, 1, ())


def test_a_frame_that_is_missing_is_stood_in_for_by_the_one_before(job: SpanJob) -> None:
    have = [position for position in range(32) if position not in (0, 5, 6)]
    (clip, _), done = outcome(job, Fake(have, None, "damaged"))
    assert clip.frames[0][:, 0, 0, 0].tolist() == [1, 1, 2, 3, 4, 4, 4, 7, *range(8, 16)]
    assert done.problems == (Problem("decode", "damaged"),)


def test_a_clip_of_which_nothing_was_seen_is_left_out(job: SpanJob) -> None:
    (clip,), done = outcome(job, Fake(list(range(16))))
    assert clip.span == (0.0, 4.0)
    assert done.problems == (Problem("decode", "1 of 2 clips hold no frame that could be decoded"),)


@pytest.mark.parametrize(
    ("error", "problem"),
    [
        (VideoError("decode", "no keyframe"), Problem("decode", "no keyframe")),
        (MemoryError(), Problem("decode", "reading it takes more memory than --max-memory allows")),
        (ZeroDivisionError("rate"), Problem("decode", "cannot be decoded: ZeroDivisionError: rate")),
    ],
)
def test_whatever_a_decoder_raises_is_the_videos_reason(job: SpanJob, error: Exception, problem: Problem) -> None:
    clips, done = outcome(job, Fake(error=error))
    assert (clips, done.clip_ids, done.problems) == ([], (), (problem,))


def test_what_is_no_video_is_planned_as_failed(tmp_path: Path) -> None:
    (tmp_path / "a.mp4").write_text("no video")
    (failed,) = plan_video(VideoFile(str(tmp_path / "a.mp4"), 8, 1), Sampling(), [SQUARE])
    assert isinstance(failed, VideoFailed)
    assert (failed.stage, failed.video.content_hash is not None) == ("probe", True)


def test_a_title_in_another_encoding_harms_nobody(tmp_path: Path) -> None:
    path = tmp_path / "a.avi"
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "caf__ au lait"
        stream = container.add_stream("mpeg4", rate=25)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for _ in range(10):
            container.mux(stream.encode(av.VideoFrame.from_ndarray(np.zeros((48, 64, 3), np.uint8), format="rgb24")))
        container.mux(stream.encode(None))
    data = path.read_bytes()
    assert b"caf__ au lait" in data
    path.write_bytes(data.replace(b"caf__", b"caf\xe9\xff"))
    _, done = outcome(job_of(path), Fake())
    assert done.problems == ()


def test_frames_larger_than_allowed_are_refused(tmp_path: Path) -> None:
    path = write_video(tmp_path / "a.mp4", 5)
    file = VideoFile(str(path), path.stat().st_size, 1)
    (failed,) = plan_video(file, Sampling(), [SQUARE], max_pixels=160 * 120 - 1)
    assert isinstance(failed, VideoFailed)
    assert failed.reason == "its frames are 160 x 120, expected 0.019199 million pixels; raise --max-pixels"
    (failed,) = plan_video(file, Sampling(), [SQUARE], max_frames=4)
    assert isinstance(failed, VideoFailed)
    assert failed.reason == "it holds more than 4 frames; raise --max-frames"


def test_the_whole_way_in_one_process(
    films: list[Path], classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> None:
    models = load_classifier(classifier_checkpoint, "fp32"), load_embedder(embedder_checkpoint, "fp32")
    inputs = distinct_inputs([model.preprocessing.input for model in models])
    annotators = Annotators([LoadedClassifier(models[0], top_labels=3), LoadedEmbedder(models[1])], inputs=inputs)
    file = VideoFile(str(films[0]), films[0].stat().st_size, 1)
    outcomes = list(annotate_video(file, Sampling(), annotators, load_decoder("pyav")))
    rows = [item for item in outcomes if isinstance(item, ClipRow)]
    (done,) = (item for item in outcomes if isinstance(item, SpanDone))
    assert tuple(row.clip_id for row in rows) == done.clip_ids
    assert rows
    for row in rows:
        assert len(row.labels) == 3
        assert row.embedding.shape == (64,)
        assert row.embedding.dtype == np.float32


@pytest.mark.parametrize(
    ("error", "why"),
    [
        (VideoError("decode", "no frame could be decoded whole"), "no frame could be decoded whole"),
        (MemoryError(), "reading it takes more memory than --max-memory allows"),
        (ValueError("a bug"), "ValueError: a bug"),
    ],
)
def test_a_video_whose_shots_cannot_be_found_is_cut_into_windows(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception, why: str
) -> None:
    def fail(*_: object) -> None:
        raise error

    monkeypatch.setattr("pipeline.process.spans_at_shots", fail)
    path = write_video(tmp_path / "a.mp4", 200)
    (job,) = plan_video(VideoFile(str(path), path.stat().st_size, 1), Sampling(shots="content"), [SQUARE])
    assert isinstance(job, SpanJob)
    clips, done = outcome(job, Fake())
    assert [clip.span for clip in clips] == [(0.0, 4.0), (4.0, 8.0)]
    assert done.problems == (Problem("annotate", f"its shots could not be found, so its clips are windows ({why})"),)


def test_a_detector_that_is_not_there_is_no_fault_of_the_video(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        raise ModelError("the weights are missing")

    monkeypatch.setattr("pipeline.process.spans_at_shots", fail)
    path = write_video(tmp_path / "a.mp4", 200)
    (failed,) = plan_video(VideoFile(str(path), path.stat().st_size, 1), Sampling(shots="transnetv2"), [SQUARE])
    assert isinstance(failed, VideoFailed)
    assert "the weights are missing" in failed.reason
