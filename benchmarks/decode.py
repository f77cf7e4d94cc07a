"""How much video a core decodes: vidsift's decoders, what a user would write, and ``ffmpeg -f null`` that only decodes.

    python -m benchmarks.decode [FOLDER]

Of every video in FOLDER (or of those that `benchmarks.videos` makes) 16 frames per 4 s window come out at 224 x 224, as the
full-size models want them, from files that the system has read before. Prints seconds of video per CPU second, planning
included (hashing the file, and reading its packets' times); the best of ``--repeat`` rounds, in which all take turns.

- ffmpeg: the program on the PATH, one thread, all frames decoded and none kept.
- sequential: PyAV, every frame decoded in order, wanted ones to RGB and scaled: the loop that PyAV's documentation shows.
- faithful: vidsift's default decoder with ``--scaling exact``.
- decord, torchcodec, nvdec: vidsift's other decoders, where they can run; what nvdec's GPU does takes no CPU time.

Then how far the frames of the others are from those of `faithful`, in levels of 255 on average over the first minute.
"""

from __future__ import annotations

import argparse
import os
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import av
import numpy as np

from benchmarks.videos import make_videos
from pipeline.decoders.registry import DECODERS, load_decoder
from pipeline.process import decode_job, plan_video
from pipeline.sources.find import find_videos
from schemas.errors import UsageError, VideoError
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling, Scaling
from schemas.records import Clip, SpanJob, VideoFile

INPUT = ModelInput(16, Geometry(224, (224, 224)))


def by_ffmpeg(video: VideoFile) -> int:
    """Decode everything."""
    command = ["ffmpeg", "-v", "error", "-nostdin", "-threads", "1", "-i", video.path, "-map", "0:v:0", "-f", "null", "-"]
    subprocess.run(command, check=True)
    return 0


def by_hand(video: VideoFile) -> int:
    """What a user would write: every frame in order, and of them those nearest to evenly spaced times."""
    count = 0
    with av.open(video.path) as container:
        stream = container.streams.video[0]
        stream.thread_count = 1
        duration_s = float((container.duration or 0) / av.time_base)
        wanted_times_s = np.arange(0.125, duration_s, 0.25)
        for frame in container.decode(stream):
            if count < len(wanted_times_s) and frame.time is not None and frame.time >= wanted_times_s[count]:
                frame.reformat(width=round(frame.width * 224 / frame.height), height=224, format="rgb24").to_ndarray()
                count += 1
    return count


def by_vidsift(decoder: str, scaling: Scaling) -> Callable[[VideoFile], int]:
    """The whole of the two stages before the models, in this process."""
    chosen = load_decoder(decoder)

    def run(video: VideoFile) -> int:
        count = 0
        for planned in plan_video(video, Sampling(), [INPUT], scaling=scaling):
            assert isinstance(planned, SpanJob), planned
            for item in decode_job(planned, chosen):
                count += len(item.frames[0]) if isinstance(item, Clip) else 0
        return count

    return run


def runs_here(name: str) -> bool:
    """Whether a decoder is installed and has what it needs."""
    try:
        return bool(load_decoder(name))
    except UsageError:
        return False


def drift(video: VideoFile, decoder: str, scaling: Scaling) -> float:
    """Mean distance of a decoder's frames from the default one's, scaled as the published processors do."""
    (job, *_) = plan_video(video, Sampling(), [INPUT])
    if not isinstance(job, SpanJob):
        raise VideoError("probe", job.reason)
    expected = load_decoder("pyav").decode(replace(job, scaling="exact"))
    decoded = load_decoder(decoder).decode(replace(job, scaling=scaling))
    _, ours, theirs = np.intersect1d(expected.positions, decoded.positions, return_indices=True)
    return float(np.abs(expected.frames[0][ours].astype(np.int16) - decoded.frames[0][theirs]).mean())


def cpu_s() -> float:
    """CPU seconds of this process and of those it has waited for."""
    return sum(
        usage.ru_utime + usage.ru_stime
        for usage in (resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN))
    )


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, nargs="?")
    parser.add_argument("--repeat", type=int, default=3)
    arguments = parser.parse_args()
    ways: dict[str, Callable[[VideoFile], int]] = {"ffmpeg": by_ffmpeg} if shutil.which("ffmpeg") else {}
    ways |= {"sequential": by_hand, "vidsift": by_vidsift("pyav", "fast"), "faithful": by_vidsift("pyav", "exact")}
    others = [name for name in DECODERS if name != "pyav" and runs_here(name)]
    ways |= {name: by_vidsift(name, "fast") for name in others}
    with tempfile.TemporaryDirectory() as scratch:
        if arguments.folder is None:
            make_videos(Path(scratch))
        videos = [video for video in find_videos([arguments.folder or scratch]) if isinstance(video, VideoFile)]
        print(f"{'seconds of video per CPU second':<32}" + "".join(f"{way:>12}" for way in ways) + "  vidsift / ffmpeg")
        for video in videos:
            best: dict[str, float] = {}
            (first, *_) = plan_video(video, Sampling(), [INPUT])
            duration_s = first.video.duration_s or 0.0
            for _ in range(arguments.repeat):
                for way, run in ways.items():
                    began = cpu_s()
                    try:
                        count = run(video)
                    except Exception:  # noqa: BLE001 - a decoder that cannot read this one has no figure
                        continue
                    if way != "ffmpeg" and count < 4 * duration_s - 1:
                        continue
                    best[way] = max(best.get(way, 0.0), duration_s / (cpu_s() - began))
            figures = "".join(f"{best[way]:12.1f}" if way in best else f"{'-':>12}" for way in ways)
            against = f"{best['vidsift'] / best['ffmpeg']:18.2f}" if "ffmpeg" in best and "vidsift" in best else ""
            print(f"{os.path.basename(video.path)[:31]:<32}{figures}{against}", flush=True)
        compared: list[tuple[str, Scaling]] = [("pyav", "fast"), *((name, "exact") for name in others)]
        print(
            f"\n{'levels of 255 from faithful':<32}"
            + "".join(f"{'vidsift' if name == 'pyav' else name:>12}" for name, _ in compared)
        )
        for video in videos:
            figures = ""
            for name, scaling in compared:
                try:
                    figures += f"{drift(video, name, scaling):12.2f}"
                except VideoError:
                    figures += f"{'-':>12}"
            print(f"{os.path.basename(video.path)[:31]:<32}{figures}", flush=True)
        print(f"{time.strftime('%Y-%m-%d')}, PyAV {av.__version__}, one process")


if __name__ == "__main__":
    main()
