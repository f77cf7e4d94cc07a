"""The sound of videos: every sample at its time, whatever the file is like."""

from __future__ import annotations

from collections.abc import Callable
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from numpy.typing import NDArray

from pipeline.probe import probe
from pipeline.speech.audio import RATE, Sound
from tests.helpers.videos import numbered_frame, write_video, write_with_sound


def heard(path: Path, chunk_s: float = 3.0) -> NDArray[np.float32]:
    """All samples from time 0 on; checks that chunks follow each other."""
    samples = np.zeros(0, np.float32)
    chunks = list(Sound(str(path), probe(str(path)), chunk_s))
    for chunk in chunks:
        assert chunk.start_s == pytest.approx(len(samples) / RATE, abs=1e-9)
        assert chunk.samples.dtype == np.float32
        samples = np.concatenate([samples, chunk.samples])
    assert {len(chunk.samples) for chunk in chunks[:-1]} <= {round(chunk_s * RATE)}
    return samples


def beeps(samples: NDArray[np.float32]) -> list[float]:
    """When the beeps of `write_with_sound` begin, in seconds."""
    at = np.flatnonzero(np.abs(samples) > 0.3) / RATE
    return [] if not len(at) else [float(at[0]), *map(float, at[1:][np.diff(at) > 0.5])]


def remux(path: Path, target: Path, change: Callable[[av.Packet[av.AudioStream]], bool]) -> Path:
    """Copy a file; ``change`` may alter a packet of its sound, and says whether it is kept."""
    with av.open(str(path)) as source, av.open(str(target), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None or (packet.stream.type == "audio" and not change(packet)):  # type: ignore[arg-type]
                continue
            packet.stream = streams[packet.stream.index]
            output.mux(packet)
    return target


@pytest.mark.parametrize(
    ("ending", "codec"), [("mp4", "aac"), ("mkv", "flac"), ("ts", "aac"), ("mov", "pcm_s16le"), ("mkv", "libopus")]
)
def test_every_sample_is_at_its_time(tmp_path: Path, ending: str, codec: str) -> None:
    path = write_with_sound(tmp_path / f"film.{ending}", 5, codec=codec)
    samples = heard(path)
    assert beeps(samples) == pytest.approx(range(5), abs=0.005 if ending == "mp4" else 0.03)
    assert len(samples) / RATE == pytest.approx(5, abs=0.1)
    assert np.abs(samples).max() == pytest.approx(0.8, abs=0.1)


def test_missing_packets_are_silence(tmp_path: Path) -> None:
    whole = write_with_sound(tmp_path / "whole.mkv", 6)
    gap = remux(whole, tmp_path / "gap.mkv", lambda packet: not 1.9 < (packet.pts or 0) * (packet.time_base or 0) < 3.95)
    samples = heard(gap)
    assert beeps(samples) == pytest.approx([0, 1, 4, 5], abs=0.03)
    assert not samples[int(2.1 * RATE) : int(3.9 * RATE)].any()
    assert len(samples) == pytest.approx(len(heard(whole)), abs=RATE // 20)


def test_sound_that_begins_late_is_preceded_by_silence(tmp_path: Path) -> None:
    late = remux(
        write_with_sound(tmp_path / "whole.mkv", 5, codec="flac"),
        tmp_path / "late.mkv",
        lambda packet: (packet.pts or 0) > 1900,
    )
    samples = heard(late)
    meta = probe(str(late))
    zero_s = float(meta.start_pts * meta.time_base)  # the muxer moved everything to the back
    assert beeps(samples) == pytest.approx([2 - zero_s, 3 - zero_s, 4 - zero_s], abs=0.003)
    assert not samples[: int(1.85 * RATE)].any()


@pytest.mark.parametrize("offset", ["0", "5", "26000"])
def test_time_0_is_the_container_s_start(tmp_path: Path, offset: str) -> None:
    """The picture begins late too, as in recordings of broadcasts."""
    source = write_with_sound(tmp_path / "film.ts", 4)
    shifted = tmp_path / "shifted.ts"
    with av.open(str(source)) as read, av.open(str(shifted), "w", container_options={"output_ts_offset": offset}) as written:
        streams = {stream.index: written.add_stream_from_template(stream) for stream in read.streams}
        for packet in read.demux():
            if packet.dts is not None:
                packet.stream = streams[packet.stream.index]
                written.mux(packet)
    assert beeps(heard(shifted)) == pytest.approx(range(4), abs=0.05)


def test_recordings_joined_into_one_file_go_on_counting(tmp_path: Path) -> None:
    part = write_with_sound(tmp_path / "part.ts", 4).read_bytes()
    (tmp_path / "joined.ts").write_bytes(part * 2)
    found = beeps(heard(tmp_path / "joined.ts"))
    assert found == pytest.approx([0, 1, 2, 3, 4, 5, 6, 7], abs=0.12)


def test_sound_that_breaks_off_is_heard_up_to_there(tmp_path: Path) -> None:
    path = write_with_sound(tmp_path / "film.mkv", 6)
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])
    found = beeps(heard(path))
    assert 2 <= len(found) <= 4
    assert found == pytest.approx(range(len(found)), abs=0.03)


def test_damaged_packets_are_counted_and_silent(tmp_path: Path) -> None:
    path = write_with_sound(tmp_path / "whole.mkv", 6, codec="flac")
    with av.open(str(path)) as source, av.open(str(tmp_path / "damaged.mkv"), "w") as output:
        streams = {stream.index: output.add_stream_from_template(stream) for stream in source.streams}
        for packet in source.demux():
            if packet.dts is None:
                continue
            if packet.stream.type == "audio" and 1900 < (packet.pts or 0) < 3900:
                broken = av.Packet(bytes(packet.size))
                broken.pts, broken.dts, broken.time_base, broken.duration = (
                    packet.pts,
                    packet.dts,
                    packet.time_base,
                    packet.duration,
                )
                packet = broken
                packet.stream = streams[1]
            else:
                packet.stream = streams[packet.stream.index]
            output.mux(packet)
    sound = Sound(str(tmp_path / "damaged.mkv"), probe(str(tmp_path / "damaged.mkv")))
    samples = np.concatenate([chunk.samples for chunk in sound])
    assert sound.num_damaged > 10
    assert beeps(samples) == pytest.approx([0, 1, 4, 5], abs=0.03)


def write_sound(
    path: Path, blocks: list[tuple[int, NDArray[np.float32]]], rate: int, layout: str, codec: str = "pcm_f32le"
) -> Path:
    """Write two seconds of picture, and blocks of sound, each [channels, samples] at a time in samples."""
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=5)
        audio = container.add_stream(codec, rate=rate, layout=layout)
        assert isinstance(video, av.VideoStream)
        assert isinstance(audio, av.AudioStream)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        for number in range(10):
            container.mux(video.encode(av.VideoFrame.from_ndarray(numbered_frame(number, 160, 120), format="rgb24")))
        container.mux(video.encode(None))
        for begin, samples in blocks:
            interleaved = np.ascontiguousarray(samples.T.reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(interleaved, format="flt", layout=layout)
            frame.sample_rate, frame.pts, frame.time_base = rate, begin, Fraction(1, rate)
            container.mux(audio.encode(frame))
        container.mux(audio.encode(None))
    return path


def test_eight_channels_of_192_khz_become_one_of_16(tmp_path: Path) -> None:
    times_s = np.arange(2 * 192_000) / 192_000
    tone = (0.4 * np.sin(2 * np.pi * 440 * times_s)).astype(np.float32)
    path = write_sound(tmp_path / "film.mkv", [(0, np.tile(tone, (8, 1)))], 192_000, "7.1")
    samples = heard(path)
    assert len(samples) == pytest.approx(2 * RATE, abs=20)
    spectrum = np.abs(np.fft.rfft(samples[:RATE]))
    assert spectrum.argmax() == 440
    assert 0.2 < np.abs(samples).max() <= 1.0


def test_what_is_no_number_is_silence(tmp_path: Path) -> None:
    block = np.full((1, 4800), np.nan, np.float32)
    block[0, ::2] = np.inf
    path = write_sound(tmp_path / "film.mkv", [(0, block), (4800, np.full((1, 4800), 1e30, np.float32))], 48_000, "mono")
    samples = heard(path)
    assert np.isfinite(samples).all()
    assert np.abs(samples).max() <= 1.0


def test_of_sound_that_overlaps_the_first_is_heard(tmp_path: Path) -> None:
    first, second = np.full((1, 48_000), 0.5, np.float32), np.full((1, 48_000), 0.25, np.float32)
    samples = heard(write_sound(tmp_path / "film.mkv", [(0, first), (24_000, second)], 48_000, "mono"))
    assert len(samples) == pytest.approx(1.5 * RATE, abs=20)
    assert samples[[RATE // 4, 3 * RATE // 4, 5 * RATE // 4]] == pytest.approx([0.5, 0.5, 0.25], abs=0.02)


def test_sound_years_after_the_picture_is_left_out(tmp_path: Path) -> None:
    block = np.full((1, 4800), 0.5, np.float32)
    path = write_sound(tmp_path / "film.mkv", [(0, block), (48_000 * 1_000_000, block)], 48_000, "mono")
    assert len(heard(path)) <= 8 * RATE


def test_a_video_without_sound_has_none(tmp_path: Path) -> None:
    assert len(heard(write_video(tmp_path / "film.mp4", 25))) == 0


def test_only_a_chunk_is_held(tmp_path: Path) -> None:
    """Ten minutes in chunks of a second: what the reader holds at any time is no more than that."""
    times = np.zeros((1, 48_000), np.float32)
    path = write_sound(tmp_path / "film.mkv", [(0, times), (48_000 * 4, times)], 48_000, "mono")
    sound = Sound(str(path), probe(str(path)), 1.0)
    line = sound._line
    for _ in sound:
        assert line._num_pending <= RATE
