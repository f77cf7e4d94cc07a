"""What sound costs an ingest: decoding with and without a classifier that hears.

    python -m benchmarks.sound

Writes a film of two minutes, 640 x 360 in H.264 with AAC, and decodes its clips of 4 seconds as an ingest does for a
classifier of 16 frames of 224 x 224: pictures alone, and with 4 seconds of sound of each clip, which is read in a pass of
its own. The best of five runs each, in one process.
"""

from __future__ import annotations

import tempfile
import time
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from pipeline.decoders.registry import load_decoder
from pipeline.process import decode_jobs, plan_video
from pipeline.sources.find import find_videos
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import SpanJob, VideoFile

_RATE, _FPS, _SECONDS = 48_000, 25, 120


def write_film(path: Path) -> None:
    """Write moving gradients and noise."""
    rng = np.random.default_rng(0)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=_FPS, options={"preset": "veryfast", "threads": "1"})
        video.width, video.height, video.pix_fmt = 640, 360, "yuv420p"
        audio = container.add_stream("aac", rate=_RATE, layout="stereo")
        across, down = np.meshgrid(np.arange(640), np.arange(360))
        for number in range(_SECONDS * _FPS):
            picture = np.stack([across + number, down + 2 * number, across + down], -1) % 256
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture.astype(np.uint8), format="rgb24")))
        container.mux(video.encode())
        for begin in range(0, _SECONDS * _RATE, 1024):
            samples = rng.normal(0, 0.1, (2, 1024)).astype(np.float32)
            frame = av.AudioFrame.from_ndarray(samples, format="fltp", layout="stereo")
            frame.sample_rate, frame.pts, frame.time_base = _RATE, begin, Fraction(1, _RATE)
            container.mux(audio.encode(frame))
        container.mux(audio.encode())


def main() -> None:
    """Write the film, decode it, and print a table."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "film.mp4"
        write_film(path)
        (file,) = (one for one in find_videos([str(path)]) if isinstance(one, VideoFile))
        shown = ModelInput(16, Geometry(224, (224, 224)))
        planned = plan_video(file, Sampling(window_s=4.0, stride_s=4.0), [shown])
        jobs = [item for item in planned if isinstance(item, SpanJob)]
        decoder = load_decoder("pyav")
        print(f"| {_SECONDS} s of film, {len(jobs)} parts | seconds |\n|---|---|")
        for name, num_samples in (("pictures", 0), ("pictures and sound", 64_000)):
            times = []
            for _ in range(5):
                began = time.perf_counter()
                for _ in decode_jobs(jobs, decoder, num_samples=num_samples):
                    pass
                times.append(time.perf_counter() - began)
            print(f"| {name} | {min(times):.2f} |", flush=True)


if __name__ == "__main__":
    main()
