"""What reading videos from an object store costs, beside reading them from disk: bytes, requests, seconds.

    python -m benchmarks.sources
    python -m benchmarks.sources --latency-ms 50 --seconds 120

Three tables. The first: one made-up film in several containers, planned and decoded in this process from S3 on loopback
(moto, in a process of its own), with the pages on disk and without, and as a user would do instead: the whole file is copied
first. The second: clients of S3, by what listing keys and reading ranges takes of this process. The third: an ingest of
the demo's films with the pocket models, from disk and from S3. `--latency-ms` is what each request waits before its answer.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo.films import plan_films, render
from pipeline.decoders.registry import load_decoder
from pipeline.process import decode_jobs, plan_video
from pipeline.sources import page_cache
from pipeline.sources.fetched import bytes_fetched
from pipeline.sources.find import find_videos
from schemas.models import Geometry, ModelInput
from schemas.options import Sampling
from schemas.records import Clip, SpanJob, VideoFile

_BUCKET = "archive"
_INPUT = ModelInput(16, Geometry(resize=(224, 224), crop=None))

# Containers, and what ffmpeg is told for them.
_KINDS = {
    "mp4, index at its end": ("end.mp4", []),
    "mp4, index in front": ("front.mp4", ["-movflags", "+faststart"]),
    "mp4, fragmented": ("fragmented.mp4", ["-movflags", "frag_keyframe+empty_moov"]),
    "mkv": ("film.mkv", []),
    "ts": ("film.ts", []),
    "avi": ("film.avi", []),
}


def _serve(port: Any, requests: Any, latency_s: float) -> None:
    """S3 on loopback; ``port`` is told its number, ``requests`` counts what is asked for by ranges."""
    import logging

    from moto.server import DomainDispatcherApplication, create_backend_app
    from werkzeug.serving import make_server

    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    backend = DomainDispatcherApplication(create_backend_app)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Any:
        if "HTTP_RANGE" in environ:
            with requests.get_lock():
                requests.value += 1
        time.sleep(latency_s)
        return backend(environ, start_response)

    server = make_server("127.0.0.1", 0, app, threaded=True)
    port.value = server.server_port
    server.serve_forever()


@contextmanager
def object_store(latency_s: float) -> Iterator[Any]:
    """S3 with an empty bucket, to which this process's environment leads; gives the count of requests for ranges."""
    context = multiprocessing.get_context("spawn")
    port, requests = context.Value("i", 0), context.Value("i", 0)
    server = context.Process(target=_serve, args=(port, requests, latency_s), daemon=True)
    server.start()
    while not port.value:
        time.sleep(0.05)
    os.environ |= {
        "AWS_ACCESS_KEY_ID": "someone",
        "AWS_SECRET_ACCESS_KEY": "something",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_ENDPOINT_URL": f"http://127.0.0.1:{port.value}",
    }
    try:
        _client().create_bucket(Bucket=_BUCKET)
        yield requests
    finally:
        server.terminate()


def _client() -> Any:
    import boto3

    return boto3.session.Session().client("s3")


def index(path: str) -> int:
    """Plan and decode a video as an ingest does; gives the number of clips."""
    (file,) = find_videos([path])
    assert isinstance(file, VideoFile)
    jobs = [job for job in plan_video(file, Sampling(), [_INPUT]) if isinstance(job, SpanJob)]
    return sum(isinstance(item, Clip) for item in decode_jobs(jobs, load_decoder("pyav")))


def _copied(key: str, folder: Path) -> int:
    _client().download_file(_BUCKET, key, str(folder / "copy"))
    copy = (folder / "copy").rename(folder / f"copy-{key}")
    try:
        return index(str(copy))
    finally:
        copy.unlink()


def kinds(folder: Path, film: Path, requests: Any) -> None:
    """The first table."""
    print(f"{'container':<24}{'MB':>7}  {'way':<24}{'seconds':>8}{'fetched':>9}{'requests':>9}")
    for kind, (name, options) in _KINDS.items():
        made = folder / name
        subprocess.run(["ffmpeg", "-v", "error", "-y", "-i", film, "-c", "copy", *options, made], check=True)
        _client().upload_file(str(made), _BUCKET, name)
        size = made.stat().st_size
        url = f"s3://{_BUCKET}/{name}"
        ways: dict[str, tuple[str, Callable[[], int]]] = {
            "from disk": ("2048", lambda made=made: index(str(made))),  # type: ignore[misc]
            "S3, pages on disk": ("2048", lambda url=url: index(url)),  # type: ignore[misc]
            "S3, no pages on disk": ("0", lambda url=url: index(url)),  # type: ignore[misc]
            "S3, copied first": ("0", lambda name=name: _copied(name, folder)),  # type: ignore[misc]
        }
        for way, (pages_mb, run) in ways.items():
            os.environ["VIDSIFT_PAGE_CACHE_MB"] = pages_mb
            os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=folder)
            page_cache.page_cache.cache_clear()
            before, asked, began = bytes_fetched(), requests.value, time.perf_counter()
            run()
            seconds, fetched = time.perf_counter() - began, (bytes_fetched() - before) / size
            told = "1.00" if way == "S3, copied first" else f"{fetched:.2f}" if way != "from disk" else "-"
            print(f"{kind:<24}{size / 1e6:>7.1f}  {way:<24}{seconds:>8.2f}{told:>9}{requests.value - asked:>9}", flush=True)
            kind = ""
    os.environ["VIDSIFT_PAGE_CACHE_MB"] = "2048"


def clients(num_keys: int) -> None:
    """The second table."""
    s3, endpoint = _client(), os.environ["AWS_ENDPOINT_URL"]
    for number in range(num_keys):
        s3.put_object(Bucket=_BUCKET, Key=f"keys/{number:06d}.mp4", Body=b"x")
    total, step = 64 << 20, 8 << 20
    s3.put_object(Bucket=_BUCKET, Key="large", Body=os.urandom(total))
    ranges = [(start, start + step) for start in range(0, total, step)]
    pages = s3.get_paginator("list_objects_v2")
    ways: list[tuple[str, Callable[[], int], Callable[[], int]]] = [
        (
            "boto3",
            lambda: sum(len(page["Contents"]) for page in pages.paginate(Bucket=_BUCKET, Prefix="keys/")),
            lambda: sum(
                len(s3.get_object(Bucket=_BUCKET, Key="large", Range=f"bytes={start}-{end - 1}")["Body"].read())
                for start, end in ranges
            ),
        )
    ]
    if importlib.util.find_spec("obstore"):
        from obstore.store import S3Store

        store = S3Store(_BUCKET, config={"endpoint": endpoint}, client_options={"allow_http": True})
        ways.append(
            (
                "obstore",
                lambda: sum(len(chunk) for chunk in store.list("keys", chunk_size=1000)),
                lambda: sum(len(bytes(store.get_range("large", start=start, end=end))) for start, end in ranges),
            )
        )
    if importlib.util.find_spec("s3fs"):
        import s3fs

        files = s3fs.S3FileSystem(endpoint_url=endpoint, use_listings_cache=False)
        ways.append(
            (
                "s3fs",
                lambda: len(files.find(f"{_BUCKET}/keys")),
                lambda: sum(len(files.cat_file(f"{_BUCKET}/large", start=start, end=end)) for start, end in ranges),
            )
        )
    print(f"\n{'client':<10}{'list, us of CPU a key':>24}{'seconds':>9}{'read, ms of CPU a MB':>24}{'MB/s':>7}")
    for name, listed, read in ways:
        figures = []
        for run in (listed, read):
            run()
            wall, cpu = time.perf_counter(), time.process_time()
            run()
            figures.append((time.perf_counter() - wall, time.process_time() - cpu))
        (list_s, list_cpu), (read_s, read_cpu) = figures
        cpu_us, cpu_ms, speed = list_cpu / num_keys * 1e6, read_cpu / total * 1e9, total / 1e6 / read_s
        print(f"{name:<10}{cpu_us:>24.0f}{list_s:>9.2f}{cpu_ms:>24.2f}{speed:>7.0f}", flush=True)


def ingests(folder: Path, num_films: int) -> None:
    """The third table."""
    films = folder / "films"
    films.mkdir()
    for film in plan_films(num_films, seed=1):
        path = render(film, films)
        _client().upload_file(str(path), _BUCKET, f"films/{path.name}")
    print(f"\n{num_films} films{'':<14}{'seconds':>8}{'clips':>7}{'fetched':>9}{'again, seconds':>16}")
    for way, source in {"from disk": str(films), "from S3": f"s3://{_BUCKET}/films"}.items():
        os.environ["XDG_CACHE_HOME"] = tempfile.mkdtemp(dir=folder)
        library = tempfile.mkdtemp(dir=folder)
        command = [sys.executable, "-m", "cli", "ingest", source, "--library", library, "--json"]
        began = time.perf_counter()
        done = subprocess.run([*command, "--classifier", "pocket", "--embedder", "pocket"], check=True, capture_output=True)
        seconds = time.perf_counter() - began
        told = json.loads(done.stdout)
        began = time.perf_counter()
        subprocess.run(command, check=True, capture_output=True)
        again = time.perf_counter() - began
        remote = told["run"].get("remote_bytes") or 0
        fetched = f"{told['run']['fetched_bytes'] / remote:.2f}" if remote else "-"
        print(f"{way:<20}{seconds:>10.1f}{told['clips']:>7}{fetched:>9}{again:>16.1f}", flush=True)


def main() -> None:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=int, default=60, help="length of the film")
    parser.add_argument("--latency-ms", type=float, default=0.0)
    parser.add_argument("--keys", type=int, default=3000)
    parser.add_argument("--films", type=int, default=48)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch, object_store(arguments.latency_ms / 1000) as requests:
        folder = Path(scratch)
        film = folder / "source.mp4"
        lavfi = f"testsrc2=s=1280x720:r=25:d={arguments.seconds},noise=alls=12:allf=t"
        sound = f"sine=f=440:d={arguments.seconds}"
        inputs = ["-f", "lavfi", "-i", lavfi, "-f", "lavfi", "-i", sound]
        coded = ["-c:v", "libx264", "-preset", "veryfast", "-b:v", "6M", "-c:a", "aac", "-pix_fmt", "yuv420p"]
        subprocess.run(["ffmpeg", "-v", "error", *inputs, *coded, film], check=True)
        kinds(folder, film, requests)
        if arguments.keys:
            clients(arguments.keys)
        if arguments.films:
            ingests(folder, arguments.films)


if __name__ == "__main__":
    main()
