"""How long a page waits for its pictures: thumbnails of moments, beside the ffmpeg program making the same ones.

    python -m benchmarks.pictures [--pictures 30] [--processes 2] [--rounds 3]

The moments are of 4 s, spread over files of two minutes: 1080p H.264 with a keyframe every ten seconds, as x264's
default is, and every two; 1080p HEVC; 720p VP9. Each picture is 320 pixels wide, and as many are made at once as there are
processes. ``ffmpeg`` is called once a picture: for the frame at the moment's middle, and for the keyframe before, which may
be of another moment. Prints the seconds of the best round. ``first`` includes starting the processes; ``cached`` asks
again. Needs the program ffmpeg, also to make the files.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

from schemas.records import Span
from server.media.renderings import Renderings
from server.media.video_file import VideoFile

_LENGTH_S = 120
_WINDOW_S = 4.0
_WIDTH = 320

_X264 = ("-c:v", "libx264", "-preset", "faster", "-crf", "23", "-sc_threshold", "0")
_FILES: dict[str, tuple[str, tuple[str, ...]]] = {
    "H.264 1080p, GOP of 250": ("1920x1080", (*_X264, "-g", "250")),
    "H.264 1080p, GOP of 50": ("1920x1080", (*_X264, "-g", "50")),
    "HEVC 1080p, GOP of 250": ("1920x1080", ("-c:v", "libx265", "-preset", "ultrafast", "-x265-params", "log-level=none")),
    "VP9 720p, GOP of 128": ("1280x720", ("-c:v", "libvpx-vp9", "-deadline", "realtime", "-cpu-used", "8", "-b:v", "2M")),
}


def make_file(folder: Path, name: str) -> VideoFile:
    """A moving picture with some noise, encoded as the name says."""
    size, encoder = _FILES[name]
    path = folder / f"{len(list(folder.iterdir()))}.mkv"
    source = f"testsrc2=size={size}:rate=25:duration={_LENGTH_S},noise=alls=3:allf=t,format=yuv420p"
    subprocess.run(["ffmpeg", "-v", "error", "-nostdin", "-y", "-f", "lavfi", "-i", source, *encoder, path], check=True)
    status = path.stat()
    return VideoFile(path.name, str(path), status.st_size, status.st_mtime_ns // 1000)


def spans(count: int) -> list[Span]:
    """Moments spread over the file."""
    starts = [number * (_LENGTH_S - _WINDOW_S) / count for number in range(count)]
    return [Span(start, start + _WINDOW_S) for start in starts]


async def by_renderings(video: VideoFile, count: int, processes: int) -> tuple[float, float, float, float]:
    """Seconds for the pictures with processes that have to be started, with running ones, cached; and for one strip."""
    with tempfile.TemporaryDirectory() as folder:
        cold = Renderings(Path(folder, "cold"), processes=processes)
        first_s = await _seconds(cold, video, count)
        await cold.close()
        warm = Renderings(Path(folder, "warm"), processes=processes)
        await asyncio.gather(*(warm.picture(video, Span(0.0, 1.0 + number), _WIDTH) for number in range(processes)))
        warm_s, cached_s = await _seconds(warm, video, count), await _seconds(warm, video, count)
        begun_s = time.perf_counter()
        await warm.strip(video, spans(count)[count // 2], _WIDTH)
        strip_s = time.perf_counter() - begun_s
        await warm.close()
    return first_s, warm_s, cached_s, strip_s


async def _seconds(renderings: Renderings, video: VideoFile, count: int) -> float:
    begun_s = time.perf_counter()
    await asyncio.gather(*(renderings.picture(video, span, _WIDTH) for span in spans(count)))
    return time.perf_counter() - begun_s


def by_ffmpeg(video: VideoFile, count: int, processes: int, options: tuple[str, ...]) -> float:
    """Seconds for the pictures by the ffmpeg program, called once for each."""
    before = ("ffmpeg", "-v", "error", "-nostdin", "-y", "-threads", "1")
    after = ("-frames:v", "1", "-vf", f"scale={_WIDTH}:-2", "-q:v", "4")

    def one(span: Span) -> None:
        with tempfile.NamedTemporaryFile(suffix=".jpg") as file:
            middle_s = f"{(span.start_s + span.end_s) / 2:.3f}"
            subprocess.run(
                [*before, *options, "-ss", middle_s, "-i", video.path, *after, file.name],
                check=True,
            )

    begun_s = time.perf_counter()
    with ThreadPoolExecutor(processes) as threads:
        list(threads.map(one, spans(count)))
    return time.perf_counter() - begun_s


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=30)
    parser.add_argument("--processes", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    count, processes = options.pictures, options.processes
    print(f"{count} pictures, {processes} processes, {len(os.sched_getaffinity(0))} CPUs, load {os.getloadavg()[0]:.1f}")
    print(f"{'seconds':26}{'first':>8}{'warm':>8}{'cached':>8}{'strip':>8}{'ffmpeg':>8}{'keyframe':>9}")
    calls: list[Callable[[VideoFile], float]] = [
        lambda video: by_ffmpeg(video, count, processes, ()),
        lambda video: by_ffmpeg(video, count, processes, ("-skip_frame", "nokey", "-noaccurate_seek")),
    ]
    with tempfile.TemporaryDirectory() as folder:
        for name in _FILES:
            video = make_file(Path(folder), name)
            rounds = [
                (*asyncio.run(by_renderings(video, count, processes)), *(call(video) for call in calls))
                for _ in range(options.rounds)
            ]
            first, warm, cached, strip, whole, keyframe = map(min, zip(*rounds, strict=True))
            print(f"{name:26}{first:8.2f}{warm:8.2f}{cached:8.4f}{strip:8.2f}{whole:8.2f}{keyframe:9.2f}", flush=True)


if __name__ == "__main__":
    main()
