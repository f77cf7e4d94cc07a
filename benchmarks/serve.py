"""Measures `vidsift serve` under load: users who search, look at pictures, play, and ask SQL, while an ingest publishes.

    python -m benchmarks.serve --clips 100000 --users 20 --seconds 600

The library has made-up vectors under the pocket models, and links to a few rendered films as its videos, so that pictures
and playback are real. In the second half of the time, ten publishes add a video each. Prints latencies by kind of request,
errors and the server's memory; and beside them what one search takes as a command, which is what a user would do instead.
"""

from __future__ import annotations

import argparse
import http.client
import os
import random
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlencode

import numpy as np

from demo.render import render_all
from demo.world import plan
from index.snapshot.publish import publish_tables
from index.storage.config import LibraryConfig, write_library_config
from index.storage.paths import Library
from index.storage.tables import Tables
from pipeline.models.checkpoint import find_checkpoint
from pipeline.probe import probe
from pipeline.write import write_clips
from schemas.models import Label
from schemas.options import Sampling
from schemas.records import ClipRow, Span, VideoFile, VideoInfo, VideoRow, clip_id_of
from schemas.text import columns_text

_PER_VIDEO = 200
_TEXTS = (
    "someone juggling", "a person waving", "someone in a blue shirt", "bowing on the beach", "kicking a ball", "jumping",
    "a person in the gym", "picking up a box", "someone sitting down", "a red shirt in the forest",
)  # fmt: skip
_PUBLISHES = 10


@dataclass
class Measured:
    """Seconds of each kind of request, and what went wrong."""

    seconds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    errors: list[str] = field(default_factory=list)


def make_library(folder: Path, clips: int) -> Library:
    """A library of about ``clips`` clips under the pocket models, whose videos are links to a few rendered films."""
    for _ in render_all(plan(0, 4, 4, "base"), folder / "films"):
        pass
    films = sorted((folder / "films").rglob("*.mp4"))
    classifier, embedder = find_checkpoint("pocket", "--classifier"), find_checkpoint("pocket", "--embedder")
    config = LibraryConfig(classifier, embedder, Sampling(window_s=2.4, stride_s=0.15), "none")
    library = Library(folder / "library")
    library.folder.mkdir()
    write_library_config(library, config)
    tables = Tables(library)
    for begin in range(0, clips // _PER_VIDEO, 100):
        add_videos(library, tables, config, films, folder, range(begin, min(begin + 100, clips // _PER_VIDEO)))
    publish_tables(library, tables, config)
    return library


def add_videos(
    library: Library, tables: Tables, config: LibraryConfig, films: Sequence[Path], folder: Path, numbers: range
) -> None:
    """Commit videos by number, with `_PER_VIDEO` clips each."""
    assert config.embedder.embedding_dim is not None
    (folder / "videos").mkdir(exist_ok=True)
    rows, videos = list[ClipRow](), list[VideoRow]()
    for number in numbers:
        film = films[number % len(films)]
        path = folder / "videos" / f"{number:06}.mp4"
        os.link(film, path)
        meta, status = probe(str(film)), path.stat()
        video_id = f"{number:016x}"
        rng = np.random.default_rng(number)
        vectors = rng.normal(size=(_PER_VIDEO, config.embedder.embedding_dim)).astype(np.float32)
        vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
        for part, start_s in enumerate(np.linspace(0, meta.end_s - 2.4, _PER_VIDEO)):
            span = Span(float(start_s), float(start_s) + 2.4)
            label = Label(f"label {(number + part // 20) % 40}", 0.9)
            rows.append(ClipRow(clip_id_of(video_id, span), video_id, span, (label,), vectors[part]))
        file = VideoFile(str(path), status.st_size, status.st_mtime_ns)
        info = VideoInfo(video_id, file, container="mp4", codec=meta.codec, duration_s=meta.end_s, width=320, height=240)
        videos.append(VideoRow(info, "indexed", _PER_VIDEO))
    classifier, embedder = config.classifier.stamp, config.embedder.stamp
    tables.commit_clips([write_clips(rows, library.clips, classifier=classifier, embedder=embedder)])
    tables.commit_videos(videos, replace_paths=False)


class User(threading.Thread):
    """Somebody who asks, looks, plays and thinks for a while, again and again."""

    def __init__(self, port: int, number: int, ends_at: float, measured: Measured) -> None:
        super().__init__(daemon=True)
        self._connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
        self._random, self._ends_at, self._measured = random.Random(number), ends_at, measured

    def run(self) -> None:
        """Go on until the time is over."""
        while time.monotonic() < self._ends_at:
            self._session()

    def _session(self) -> None:
        draw = self._random
        given = {"text": draw.choice(_TEXTS), "k": "24", "all": "1"}
        if draw.random() < 0.2:
            given["where"] = f"label = 'label {draw.randrange(40)}'"
        page = self._get("search page", f"/?{urlencode(given)}").decode()
        pictures = re.findall(r'src="(/api/moments/[^"]+\.jpg[^"]*)"', page)
        for address in pictures[:6]:
            self._get("picture", address.replace("&amp;", "&"))
        moments = re.findall(r'href="(/moment/[^"]+)"', page)
        if moments and draw.random() < 0.4:
            player = self._get("player", draw.choice(moments).replace("&amp;", "&")).decode()
            for source in re.findall(r'src="(/media/[^"]+)"', player)[:1]:
                self._get("media, 256 kB", source.replace("&amp;", "&"), {"Range": "bytes=0-262143"})
        if draw.random() < 0.2:
            query = "select label, count(*) as clips from labels where rank = 1 group by label order by clips desc"
            self._get("SQL", f"/api/sql?query={quote(query)}")
        if draw.random() < 0.3:
            self._get("search, JSON", f"/api/search?{urlencode({**given, 'k': '10'})}")
        time.sleep(draw.uniform(0.5, 2.5))

    def _get(self, kind: str, address: str, headers: dict[str, str] | None = None) -> bytes:
        began = time.perf_counter()
        try:
            self._connection.request("GET", address, headers=headers or {})
            answer = self._connection.getresponse()
            body = answer.read()
            if answer.status not in (200, 206):
                self._measured.errors.append(f"{kind}: {answer.status} {body[:200]!r}")
        except (OSError, http.client.HTTPException) as exc:
            self._measured.errors.append(f"{kind}: {exc!r}")
            self._connection.close()
            return b""
        self._measured.seconds[kind].append(time.perf_counter() - began)
        return body


def resident_mb(process: int) -> float:
    """Resident memory of a process without pages that files back, in MB."""
    found = re.search(r"RssAnon:\s+(\d+) kB", Path(f"/proc/{process}/status").read_text())
    return int(found[1]) / 1024 if found else 0.0


def publish_more(library: Library, folder: Path, every_s: float) -> None:
    """Add a video and publish, `_PUBLISHES` times."""
    classifier, embedder = find_checkpoint("pocket", "--classifier"), find_checkpoint("pocket", "--embedder")
    config = LibraryConfig(classifier, embedder, Sampling(window_s=2.4, stride_s=0.15), "none")
    films = sorted((folder / "films").rglob("*.mp4"))
    tables = Tables(library)
    for number in range(_PUBLISHES):
        add_videos(library, tables, config, films, folder, range(10**6 + number, 10**6 + number + 1))
        publish_tables(library, tables, config)
        time.sleep(every_s)


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=100_000)
    parser.add_argument("--users", type=int, default=20)
    parser.add_argument("--seconds", type=int, default=600)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        library = make_library(folder, arguments.clips)
        command = [sys.executable, "-m", "cli", "serve", "--library", str(library.folder), "--port", "0"]
        began = time.perf_counter()
        with subprocess.Popen([*command, "--cache", str(folder / "cache")], stdout=subprocess.PIPE, text=True) as server:
            try:
                assert server.stdout is not None
                port = int(server.stdout.readline().rsplit(":", 1)[1].strip().strip("/"))
                measure(port, server.pid, library, folder, began, arguments.users, arguments.seconds)
            finally:
                server.terminate()
        began = time.perf_counter()
        subprocess.run(
            [sys.executable, "-m", "cli", "search", _TEXTS[0], "--library", str(library.folder)],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        print(f"one search as a command, beside nothing else: {time.perf_counter() - began:.1f} s")


def measure(port: int, server: int, library: Library, folder: Path, began: float, users: int, seconds: int) -> None:
    """Let users ask a server for some time, half of it while ten publishes happen, and print what was seen."""
    first = Measured()
    one = User(port, 0, time.monotonic(), first)
    one._get("page", "/")
    page_s = time.perf_counter() - began
    one._get("search", "/?text=someone+juggling&all=1")
    print(f"from the start of the command: first page {page_s:.1f} s, first answer {time.perf_counter() - began:.1f} s")
    memory_mb = [resident_mb(server)]
    for name, publishes in (("quiet", False), (f"{_PUBLISHES} publishes", True)):
        measured = Measured()
        ends_at = time.monotonic() + seconds / 2
        asking = [User(port, number, ends_at, measured) for number in range(users)]
        for user in asking:
            user.start()
        if publishes:
            publish_more(library, folder, seconds / 2 / _PUBLISHES * 0.8)
        for user in asking:
            while user.is_alive():
                user.join(seconds / 10)
                memory_mb.append(resident_mb(server))
        rows = [
            (kind, str(len(times)), *(f"{1000 * float(np.quantile(times, share)):.0f}" for share in (0.5, 0.95)))
            for kind, times in sorted(measured.seconds.items())
        ]
        print(f"\n{users} users for {seconds / 2:g} s, {name}: {len(measured.errors)} errors")
        print(columns_text(("request", "count", "p50 ms", "p95 ms"), rows))
        for error in measured.errors[:5]:
            print(" ", error)
    print(f"\nanonymous memory of the server, MB: {', '.join(f'{one:.0f}' for one in memory_mb[:1] + memory_mb[-6:])}")


if __name__ == "__main__":
    main()
