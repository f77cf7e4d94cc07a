"""Made-up videos whose frames carry their number, and a plain decoder to check vidsift's against."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

from demo.encoding import same_scheduling

BITS = 8


def numbered_frame(number: int, width: int, height: int) -> NDArray[np.uint8]:
    """A picture with ``number`` in eight black or white blocks across its middle, over a colour gradient."""
    y, x = np.mgrid[:height, :width]
    picture = np.stack([x * 160 // width + 40, y * 160 // height + 40, np.full_like(x, 90)], axis=-1)
    for bit in range(BITS):
        left, right = bit * width // BITS, (bit + 1) * width // BITS
        picture[height // 3 : 2 * height // 3, left:right] = 235 if number >> bit & 1 else 20
    return picture.astype(np.uint8)


def number_in(picture: NDArray[np.uint8]) -> int:
    """The number that `numbered_frame` put there, from a picture of any size."""
    height, width = picture.shape[:2]
    middle = picture[height // 2 - 1 : height // 2 + 1].mean(axis=(0, 2))
    return sum(1 << bit for bit in range(BITS) if middle[int((bit + 0.5) * width / BITS)] > 128)


def write_video(
    path: Path,
    num_frames: int = 50,
    *,
    fps: int = 25,
    size: tuple[int, int] = (160, 120),
    codec: str = "libx264",
    pts: Sequence[int] | None = None,
    rotation: int = 0,
    mirrored: bool = False,
    pixel_aspect: Fraction | None = None,
    options: dict[str, str] | None = None,
    muxing: dict[str, str] | None = None,
    pixel_format: str | None = None,
) -> Path:
    """Write ``num_frames`` numbered frames.

    Args:
        path: its ending chooses the container.
        num_frames: how many; numbers above 255 start again.
        fps: frame rate, and the time base of ``pts``.
        size: width and height.
        codec: the encoder.
        pts: presentation time of each frame in 1/fps; None gives a constant rate.
        rotation: display rotation in degrees, counter-clockwise.
        mirrored: whether players are to swap left and right.
        pixel_aspect: shape of a pixel.
        options: the encoder's.
        muxing: the container's.
        pixel_format: FFmpeg's name; None takes 8 bit 4:2:0.
    """
    with same_scheduling(), av.open(str(path), "w", options=muxing or {}) as container:
        stream = container.add_stream(codec, rate=fps, options=options or {})
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height = size
        stream.pix_fmt = pixel_format or ("yuvj420p" if codec == "mjpeg" else "yuv420p")
        if pixel_aspect is not None:
            stream.codec_context.sample_aspect_ratio = pixel_aspect
        if rotation or mirrored:
            stream.set_display_rotation(rotation, hflip=mirrored)
        for index in range(num_frames):
            frame = av.VideoFrame.from_ndarray(numbered_frame(index % 256, *size), format="rgb24")
            frame.pts = index if pts is None else pts[index]
            frame.time_base = Fraction(1, fps)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_many(folder: Path, count: int, num_frames: int) -> None:
    """Write ``count`` videos of the same frames, ``00.mp4`` and on, whose contents differ in what players pass over."""
    content = write_video(folder / "00.mp4", num_frames).read_bytes()
    for number in range(count):
        (folder / f"{number:02d}.mp4").write_bytes(content + struct.pack(">I4sI", 12, b"free", number))


def write_audio(path: Path, seconds: int = 1) -> Path:
    """Write silence."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("aac", rate=44100)
        assert isinstance(stream, av.AudioStream)
        for _ in range(seconds):
            frame = av.AudioFrame.from_ndarray(np.zeros((2, 44100), np.float32), format="fltp", layout="stereo")
            frame.rate = 44100
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def write_with_sound(
    path: Path, seconds: int = 10, *, codec: str = "aac", options: dict[str, str] | None = None, samples: int = 1024
) -> Path:
    """Write 25 numbered frames a second, and a beep of 50 ms at the start of every second, ``samples`` to a packet."""
    rate = 48_000
    times_s = np.arange(seconds * rate) / rate
    beeps = np.where(times_s % 1.0 < 0.05, 0.8 * np.sin(2 * np.pi * 1000 * times_s), 0).astype(np.float32)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options=options or {})
        audio = container.add_stream(codec, rate=rate, layout="mono")
        assert isinstance(video, av.VideoStream)
        assert isinstance(audio, av.AudioStream)
        video.width, video.height, video.pix_fmt = 160, 120, "yuv420p"
        resampler = av.AudioResampler(format=audio.codec_context.format, layout="mono", rate=rate)
        sent = 0
        for number in range(seconds * 25):
            frame = av.VideoFrame.from_ndarray(numbered_frame(number % 256, 160, 120), format="rgb24")
            frame.pts, frame.time_base = number, Fraction(1, 25)
            container.mux(video.encode(frame))
            while sent < (number + 1) * rate // 25:
                sound = av.AudioFrame.from_ndarray(beeps[None, sent : sent + samples], format="fltp", layout="mono")
                sound.sample_rate, sound.pts, sound.time_base = rate, sent, Fraction(1, rate)
                sent += samples
                for ready in resampler.resample(sound):
                    container.mux(audio.encode(ready))
        container.mux(video.encode(None))
        container.mux(audio.encode(None))
    return path


def beeps_in(path: Path) -> list[float]:
    """When the beeps of `write_with_sound` begin, in seconds from the container's start."""
    with av.open(str(path)) as container:
        zero_s = (container.start_time or 0) / av.time_base
        resampler = av.AudioResampler(format="fltp", layout="mono", rate=48_000)
        times, loud = [], []
        for frame in container.decode(audio=0):
            for ready in resampler.resample(frame):
                heard = np.abs(ready.to_ndarray()[0]) > 0.3
                loud.append(heard)
                times.append((ready.time or 0.0) - zero_s + np.arange(len(heard)) / 48_000)
    heard_s = np.concatenate(times)[np.concatenate(loud)]
    return [float(heard_s[0]), *map(float, heard_s[1:][np.diff(heard_s) > 0.5])]


def decode_all(path: Path) -> tuple[list[float], list[NDArray[np.uint8]]]:
    """Times in seconds from the container's start, and full-size RGB frames, the plain way."""
    with av.open(str(path)) as container:
        start_s = (container.start_time or 0) / av.time_base
        frames = [(frame.time - start_s, frame.to_ndarray(format="rgb24")) for frame in container.decode(video=0)]
    # Frames come out in the order they are shown in, also where AVI's guessed times do not.
    return sorted(time for time, _ in frames), [pixels.astype(np.uint8, copy=False) for _, pixels in frames]
