"""Videos whose pictures are the same, and whose sound tells them apart."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray

RATE = 16_000
TONES = {"low": 440.0, "high": 1760.0}


def tone(hertz: float, seconds: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """A tone of a random phase and loudness, within noise."""
    times = np.arange(round(seconds * RATE)) / RATE
    samples = rng.uniform(0.2, 0.6) * np.sin(2 * np.pi * hertz * times + rng.uniform(0, 6)) + 0.05 * rng.normal(
        size=len(times)
    )
    return samples.astype(np.float32)


def write_sounding(
    path: Path, sound: NDArray[np.float32] | None, *, seconds: float = 1.0, fps: int = 10, seed: int = 0
) -> Path:
    """Write a video of noise that is the same for the same seed, with mono sound or without any."""
    rng = np.random.default_rng(seed)
    with av.open(str(path), "w") as container:
        video = container.add_stream("mpeg4", rate=fps, options={"qscale": "5"})
        video.width, video.height, video.pix_fmt = 48, 32, "yuv420p"
        audio = container.add_stream("aac", rate=RATE, layout="mono") if sound is not None else None
        for _ in range(round(seconds * fps)):
            picture = np.kron(rng.integers(0, 256, (4, 6, 3), dtype=np.uint8), np.ones((8, 8, 1), np.uint8))
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(video.encode())
        if audio is not None and sound is not None:
            for begin in range(0, len(sound), 1024):
                frame = av.AudioFrame.from_ndarray(sound[None, begin : begin + 1024], format="fltp", layout="mono")
                frame.sample_rate, frame.pts, frame.time_base = RATE, begin, Fraction(1, RATE)
                container.mux(audio.encode(frame))
            container.mux(audio.encode())
    return path
