"""The sound of clips, and its spectrogram."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import av
import numpy as np
import pytest
import torch

from pipeline.decoders.registry import load_decoder
from pipeline.models.classifiers.log_mel import LogMel, LogMelByConvolution
from pipeline.probe import probe
from pipeline.process import decode_jobs, plan_video
from pipeline.sources.find import find_videos
from pipeline.speech.audio import Sound
from pipeline.speech.clip_sound import sound_of_job, sound_of_spans
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, Span, SpanDone, SpanJob, VideoFile
from tests.helpers.sounding import RATE, tone, write_sounding


@pytest.fixture(scope="module")
def film(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Twenty-four seconds, each of which has a tone of its own: 400 Hz, 500 Hz, ..."""
    rng = np.random.default_rng(0)
    sound = np.concatenate([tone(400.0 + 100 * second, 1.0, rng) for second in range(24)])
    return write_sounding(tmp_path_factory.mktemp("film") / "a.mp4", sound, seconds=24.0, fps=5)


def pitch(samples: np.ndarray[tuple[int, ...], np.dtype[np.float32]]) -> float:
    """The loudest frequency in Hz."""
    return float(np.abs(np.fft.rfft(samples)).argmax() * RATE / len(samples))


def test_each_span_gets_the_sound_of_its_own_time(film: Path) -> None:
    spans = [Span(0.0, 1.0), Span(5.0, 6.0), Span(20.0, 21.0)]
    heard, _ = sound_of_spans(str(film), probe(str(film)), spans, RATE)
    assert heard is not None
    assert [pitch(row) for row in heard] == pytest.approx([400, 900, 2400], abs=3)


def test_later_sound_is_sought_and_is_the_same(film: Path) -> None:
    meta = probe(str(film))
    whole, _ = sound_of_spans(str(film), meta, [Span(0.0, 1.0), Span(20.0, 21.0)], RATE)
    sought, _ = sound_of_spans(str(film), meta, [Span(20.0, 21.0)], RATE)
    assert whole is not None
    assert sought is not None
    assert np.allclose(whole[1], sought[0], atol=1e-3)
    assert [chunk.start_s for chunk in Sound(str(film), meta, 4.0, from_s=13.0)] == [12.0, 16.0, 20.0]


def test_longer_spans_give_their_middle_and_shorter_ones_lie_in_silence(film: Path) -> None:
    heard, _ = sound_of_spans(str(film), probe(str(film)), [Span(1.0, 4.0), Span(2.0, 2.5)], RATE)
    assert heard is not None
    assert pitch(heard[0]) == pytest.approx(600, abs=3)
    assert not heard[1, : RATE // 4].any()
    assert not heard[1, -RATE // 4 :].any()
    assert pitch(heard[1, RATE // 4 : -RATE // 4]) == pytest.approx(600, abs=3)


def test_without_sound_there_is_none(tmp_path: Path) -> None:
    path = write_sounding(tmp_path / "a.mp4", None)
    assert sound_of_spans(str(path), probe(str(path)), [Span(0.0, 1.0)], RATE) == (None, None)


def test_sound_that_breaks_off_is_said(film: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    frames = Sound._frames

    def break_off(self: Sound) -> Iterator[tuple[av.AudioFrame, float | None]]:
        for frame, time_s in frames(self):
            if time_s is not None and time_s > 2.5:
                raise av.FFmpegError(5, "Input/output error")
            yield frame, time_s

    monkeypatch.setattr(Sound, "_frames", break_off)
    heard, problem = sound_of_spans(str(film), probe(str(film)), [Span(1.0, 2.0), Span(3.0, 4.0)], RATE)
    assert heard is not None
    assert [bool(row.any()) for row in heard] == [True, False]
    assert problem is not None
    assert problem.startswith("its sound breaks off: ")
    (file,) = (one for one in find_videos([str(film)]) if isinstance(one, VideoFile))
    jobs = [one for one in plan_video(file, Sampling(), [ModelInput(2, Geometry(32, (32, 32)))]) if isinstance(one, SpanJob)]
    done = [one for one in decode_jobs(jobs, load_decoder("pyav"), num_samples=RATE) if isinstance(one, SpanDone)]
    assert problem in [each.reason for one in done for each in one.problems]


def test_clips_hold_sound_where_it_is_asked_for(film: Path) -> None:
    (file,) = (one for one in find_videos([str(film)]) if isinstance(one, VideoFile))
    sampling = Sampling(window_s=2.0, stride_s=2.0)
    jobs = [one for one in plan_video(file, sampling, [ModelInput(2, Geometry(32, (32, 32)))]) if isinstance(one, SpanJob)]
    decoder = load_decoder("pyav")
    clips = [one for one in decode_jobs(jobs, decoder, num_samples=RATE) if isinstance(one, Clip)]
    expected, _ = sound_of_job(jobs[0], RATE)
    assert expected is not None
    assert np.array_equal(np.stack([clip.sound for clip in clips if clip.sound is not None]), expected)
    assert all(clip.sound is None for clip in decode_jobs(jobs, decoder) if isinstance(clip, Clip))


def test_a_tone_is_loudest_in_its_band() -> None:
    """The middle of band b of 64 on the mel scale from 125 to 7,500 Hz: 1,000 Hz, which is 1,000 mel, lies in band 21."""
    sound = torch.sin(2 * torch.pi * 1000 * torch.arange(RATE) / RATE)[None]
    levels = LogMel()(sound)
    assert levels.shape == (1, 64, 101)
    edges = np.linspace(2595 * np.log10(1 + 125 / 700), 2595 * np.log10(1 + 7500 / 700), 66)
    assert levels[0].mean(1).argmax().item() == int(np.abs(edges[1:-1] - 1000).argmin())
    assert LogMel()(torch.zeros(1, RATE)).numpy() == pytest.approx(np.log(0.01))


def test_convolutions_give_the_same_spectrogram() -> None:
    sound = 0.3 * torch.randn(2, 7_003, generator=torch.Generator().manual_seed(0))
    expected = LogMel()(sound)
    assert LogMelByConvolution()(sound).numpy() == pytest.approx(expected.numpy(), abs=1e-4)
