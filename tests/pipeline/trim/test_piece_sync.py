"""Sound and picture stay in step in pieces: a click is as far from its flash as in the source."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest

from pipeline.probe import probe
from pipeline.trim.cut import cut_video
from schemas.records import Span

RATE, FPS = 48_000, 25
FRAME_S = 1 / FPS


def write(
    path: Path, sound: str, *, gop: int, seconds: int = 8, sound_from_s: float = 0.0, gap_s: tuple[float, float] = (0, 0)
) -> Path:
    """A flash of two frames and a click of 40 ms, both 0.4 s after every full second.

    Args:
        path: its ending chooses the container.
        sound: the encoder of the sound.
        gop: frames between keyframes.
        seconds: how long it is.
        sound_from_s: nothing is heard, and no packet of the sound comes, before.
        gap_s: the same between these.
    """
    times_s = np.arange(seconds * RATE) / RATE
    clicks = np.where(np.abs(times_s % 1 - 0.42) <= 0.02, 0.9 * np.sin(2 * np.pi * 1000 * times_s), 0).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=FPS, options={"g": str(gop), "bf": "2", "sc_threshold": "0"})
        audio = container.add_stream(sound, rate=RATE, layout="mono")
        assert isinstance(video, av.VideoStream)
        assert isinstance(audio, av.AudioStream)
        video.width, video.height, video.pix_fmt = 64, 48, "yuv420p"
        to_format = av.AudioResampler(format=audio.codec_context.format, layout="mono", rate=RATE)
        packets = []
        for number in range(seconds * FPS):
            level = 255 if number % FPS in (10, 11) else 0
            frame = av.VideoFrame.from_ndarray(np.full((48, 64, 3), level, np.uint8), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, FPS)
            packets += video.encode(frame)
        packets += video.encode(None)
        for begin in range(round(sound_from_s * RATE), len(clicks), 1024):
            part = av.AudioFrame.from_ndarray(clicks[None, begin : begin + 1024], format="fltp", layout="mono")
            part.sample_rate, part.pts, part.time_base = RATE, begin, Fraction(1, RATE)
            for ready in to_format.resample(part):
                packets += audio.encode(ready)
        packets += audio.encode(None)
        for packet in sorted(packets, key=lambda packet: float((packet.dts or 0) * packet.time_base)):
            in_gap = gap_s[0] <= float((packet.pts or 0) * packet.time_base) < gap_s[1]
            if packet.stream is video or not in_gap:
                container.mux(packet)
    return path


def flashes_and_clicks(path: Path) -> tuple[list[float], list[float]]:
    """When they begin, in seconds from the container's start."""
    with av.open(str(path)) as container:
        zero_s = (container.start_time or 0) / av.time_base
        bright = [(frame.time - zero_s, frame.to_ndarray(format="gray").mean() > 120) for frame in container.decode(video=0)]
    with av.open(str(path)) as container:
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=RATE)
        times, loud = [], []
        for frame in container.decode(audio=0):
            for ready in resampler.resample(frame):
                loud.append(np.abs(ready.to_ndarray()[0]) > 0.3)
                times.append((ready.time or 0.0) - zero_s + np.arange(ready.samples) / RATE)
    heard_s = np.concatenate(times)[np.concatenate(loud)]
    flashes = [time_s for n, (time_s, now) in enumerate(bright) if now and not (n and bright[n - 1][1])]
    return flashes, [float(heard_s[0]), *map(float, heard_s[1:][np.diff(heard_s) > 0.3])]


@pytest.mark.parametrize(
    ("name", "sound"),
    [
        ("a.mp4", "aac"),
        ("a.mov", "pcm_s16le"),
        ("a.mkv", "libopus"),
        ("b.mkv", "flac"),
        ("a.ts", "aac"),
        ("b.ts", "mp2"),
        ("a.flv", "aac"),
    ],
)
@pytest.mark.parametrize("gop", [25, 250])
@pytest.mark.parametrize("sound_from_s", [0.0, 1.7])
def test_clicks_stay_with_their_flashes(tmp_path: Path, name: str, sound: str, gop: int, sound_from_s: float) -> None:
    source = write(tmp_path / name, sound, gop=gop, sound_from_s=sound_from_s)
    meta = probe(str(source))
    flashes, clicks = flashes_and_clicks(source)
    for start_s, end_s in ((1.12, 4.9), (0.0, 5.9), (3.37, 5.9), (2.7, 5.9)):
        output = tmp_path / "piece.mp4"
        made = cut_video(str(source), meta, Span(max(start_s, meta.first_s), end_s), output)
        assert made.how == ("copied" if start_s == 0 or (gop == 25 and start_s != 2.7) else "re-encoded")
        found = flashes_and_clicks(output)
        for wanted, of_piece in zip((flashes, clicks), found, strict=True):
            expected = [time_s - made.start_s for time_s in wanted if made.start_s <= time_s < end_s]
            assert len(expected) >= 2
            assert of_piece[: len(expected)] == pytest.approx(expected, abs=FRAME_S / 2)


@pytest.mark.parametrize("sound", ["pcm_s16le", "aac"])
@pytest.mark.parametrize("gop", [25, 250])
def test_sound_goes_on_in_step_after_a_gap(tmp_path: Path, sound: str, gop: int) -> None:
    source = write(tmp_path / "a.mkv", sound, gop=gop, gap_s=(2.6, 3.2))
    made = cut_video(str(source), probe(str(source)), Span(2.3, 6.0), tmp_path / "piece.mp4")
    clicks = [time_s - made.start_s for time_s in flashes_and_clicks(source)[1] if made.start_s <= time_s < 6]
    assert flashes_and_clicks(tmp_path / "piece.mp4")[1] == pytest.approx(clicks, abs=FRAME_S / 2)
