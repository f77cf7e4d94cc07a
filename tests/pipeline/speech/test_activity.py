"""Voice activity: the trained detector, and the arithmetic from its answers to windows."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.speech.activity import FRAME, FRAME_S, SpeechDetector, speech_spans, speech_windows
from pipeline.speech.audio import RATE
from schemas.errors import ModelError
from schemas.records import Span


@pytest.fixture(scope="module")
def detector() -> SpeechDetector:
    pytest.importorskip("onnxruntime")
    pytest.importorskip("silero_vad.data", reason="no silero-vad here: pip install 'vidsift[speech]'")
    return SpeechDetector()


def frames(*runs: tuple[float, float]) -> NDArray[np.float32]:
    """Probabilities: each for so many seconds."""
    return np.concatenate([np.full(round(seconds / FRAME_S), probability, np.float32) for probability, seconds in runs])


def test_speech_begins_at_one_threshold_and_ends_below_another() -> None:
    (span,) = speech_spans(frames((0.1, 1.024), (0.6, 0.032), (0.4, 0.512), (0.2, 2.048)))
    assert span == pytest.approx((1.024 - 0.2, 1.024 + 0.544 + 0.2))


def test_short_sounds_are_left_out_and_short_pauses_are_not() -> None:
    assert speech_spans(frames((0.0, 1.024), (0.9, 0.224), (0.0, 1.024))) == []
    assert len(speech_spans(frames((0.9, 1.024), (0.0, 0.288), (0.9, 1.024)))) == 1
    first, second = speech_spans(frames((0.9, 1.024), (0.0, 0.320), (0.9, 1.024)))
    assert (first.end_s, second.start_s) == pytest.approx((1.224, 1.224))  # what is put around them does not overlap
    assert second.end_s == pytest.approx(2.368)
    (only,) = speech_spans(frames((0.9, 0.96)))
    assert only == pytest.approx((0.0, 0.96))
    assert speech_spans(np.zeros(0, np.float32)) == []


def test_windows_hold_neighbours_up_to_30_s() -> None:
    probabilities = np.ones(4000, np.float32)
    spans = [Span(0, 10), Span(12, 29), Span(29.5, 31), Span(35, 36), Span(38.5, 50)]
    assert speech_windows(spans, probabilities) == [Span(0, 29), Span(29.5, 31), Span(35, 50)]


def test_long_speech_is_cut_where_it_is_least_likely() -> None:
    probabilities = np.full(4000, 0.9, np.float32)
    probabilities[[round(5 / FRAME_S), round(27.2 / FRAME_S)]] = 0.1, 0.5
    windows = speech_windows([Span(0, 60)], probabilities)
    assert windows[0].start_s == 0
    assert windows[0].end_s == pytest.approx(27.2, abs=FRAME_S)
    assert all(window.end_s - window.start_s <= 30 for window in windows)
    assert [window.start_s for window in windows[1:]] == [window.end_s for window in windows[:-1]]
    assert windows[-1].end_s == 60


def test_pieces_give_what_the_whole_gives(detector: SpeechDetector) -> None:
    sound = np.random.default_rng(0).normal(0, 0.1, 20 * RATE + 100).astype(np.float32)
    whole = detector.probabilities([sound])
    assert len(whole) == -(-len(sound) // FRAME)
    pieces = [sound[:7], sound[7:100_000], sound[100_000:100_001], sound[100_001:]]
    np.testing.assert_array_equal(detector.probabilities(pieces), whole)
    assert len(detector.probabilities([])) == 0


@pytest.mark.skipif(shutil.which("espeak-ng") is None, reason="no espeak-ng on this machine: apt install espeak-ng")
def test_speech_is_told_from_silence_noise_and_tones(detector: SpeechDetector, tmp_path: Path) -> None:
    subprocess.run(["espeak-ng", "-w", tmp_path / "said.wav", "We will meet again tomorrow, at nine o'clock."], check=True)
    with av.open(str(tmp_path / "said.wav")) as container:
        resampler = av.AudioResampler(format="flt", layout="mono", rate=RATE)
        parts = [ready.to_ndarray()[0] for frame in container.decode(audio=0) for ready in resampler.resample(frame)]
    said = np.concatenate(parts)
    random = np.random.default_rng(0)
    times_s = np.arange(4 * RATE) / RATE
    tones = sum(0.1 * np.sin(2 * np.pi * pitch * times_s * (1 + np.floor(times_s * 2) % 4 / 4)) for pitch in (220, 440, 660))
    sound = np.concatenate([np.zeros(3 * RATE), random.normal(0, 0.1, 3 * RATE), tones, said, np.zeros(2 * RATE)]).astype(
        np.float32
    )
    (span,) = speech_spans(detector.probabilities([sound]))
    assert span == pytest.approx((10, 10 + len(said) / RATE), abs=0.35)


def test_a_missing_package_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.speech.activity.find_spec", lambda name: None)
    with pytest.raises(ModelError, match=r"silero-vad and onnxruntime: pip install 'vidsift\[speech\]'"):
        SpeechDetector()
