"""Measures indexing speed: vidsift against a script written from documentation, and against two limits.

    python -m benchmarks.ingest                   the shipped pocket checkpoints on 1080p H.264, then full-size ones
    python -m benchmarks.ingest --only pocket --videos FOLDER

Full-size checkpoints are random ones of VideoMAE-base and X-CLIP base/32. Where there is a GPU, all models are on it. Each
way has a process of its own and all cores:

- plain script: PyAV decodes every frame, transformers' own processors, both models in fp32 and one clip at a time, one video
  after the other.
- in process: `pipeline.process.annotate_video`, one video after the other.
- Ray, whole: `vidsift ingest` as a command, from its start to the published library.
- Ray, steady: the same between the first clip that came out of the models and the last.
- decode alone: planning and decoding in one process per core.
- models alone: both on ready clips, in one process per core and one thread each; on a GPU in one, by two threads.
- arithmetic: the two models' multiplications and additions alone, at the speed at which the same processes multiply large
  matrices in the same precision.
- both alone: what the two limits allow together, where they share the cores: 1 / (1 / decode + 1 / models).

Loading models and starting processes counts only in "Ray, whole". Then how far vidsift's answers are from the plain script's
on the same videos (or --real's, which may be others): top-1, probabilities, and the embeddings' cosine, over clips of a
second. Left out are videos that the plain script shows its models otherwise than players do: turned, with pixels that are
not square, or AVI, which stores no times.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.arithmetic import flop_of, multiply
from benchmarks.plain_script import PlainScript
from benchmarks.videos import KINDS, encode, repeat
from pipeline.sources.find import find_videos
from schemas.records import VideoFile

_SETS = {"pocket": ("h264-1080p.mp4", 12), "full": ("h264-360p.mp4", 8)}


def make_set(folder: Path, name: str, times: int) -> Path:
    """Make files that differ in length: of two with the same content, an ingest would read only one."""
    kind_name, count = _SETS[name]
    (kind,) = (kind for kind in KINDS if kind.name == kind_name)
    target = folder / (name if times == 1 else f"{name}-{times}")
    if not target.exists():
        target.mkdir(parents=True)
        piece = folder / f"piece-{kind.name}"
        encode(piece, kind)
        for number in range(count):
            repeat(piece, target / f"{number:02d}-{kind.name}", times * (2 + number if name == "pocket" else 1 + number))
    return target


def models_of(name: str, folder: Path) -> tuple[str, str]:
    """The classifier and the embedder."""
    if name == "pocket":
        return "pocket", "pocket"
    from demo.checkpoints import write_classifier, write_embedder

    if not (folder / "classifier").exists():
        write_classifier(folder / "classifier", "base", num_labels=400)
        write_embedder(folder / "embedder", "base")
    return str(folder / "classifier"), str(folder / "embedder")


def plain(classifier: str, embedder: str, videos: Sequence[VideoFile], _: Path) -> dict[str, float]:
    """One video after the other, one clip after the other."""
    script = PlainScript(classifier, embedder)
    began = time.perf_counter()
    clips = sum(len(script.video(video.path)) for video in videos)
    return {"clips": clips, "seconds": time.perf_counter() - began}


# vidsift's ways.


def _parts(classifier: str, embedder: str, precision: str = "auto") -> tuple[Any, Any]:
    """The annotators, and the distinct inputs of their models."""
    from pipeline.annotate import Annotators, LoadedClassifier, LoadedEmbedder
    from pipeline.models.checkpoint import find_checkpoint
    from pipeline.models.registry import load_classifier, load_embedder
    from pipeline.sampling import distinct_inputs

    models: Any = (
        load_classifier(find_checkpoint(classifier, "--classifier"), precision),  # type: ignore[arg-type]
        load_embedder(find_checkpoint(embedder, "--embedder"), precision),  # type: ignore[arg-type]
    )
    inputs = distinct_inputs([model.preprocessing.input for model in models])
    return Annotators([LoadedClassifier(models[0]), LoadedEmbedder(models[1], "int8")], inputs=inputs), inputs


def in_process(classifier: str, embedder: str, videos: Sequence[VideoFile], _: Path) -> dict[str, float]:
    """Without Ray."""
    from pipeline.decoders.registry import load_decoder
    from pipeline.process import annotate_video
    from schemas.options import Sampling
    from schemas.records import ClipRow

    annotators, _ = _parts(classifier, embedder)
    clips, decoder, began = 0, load_decoder("pyav"), time.perf_counter()
    for video in videos:
        for row in annotate_video(video, Sampling(), annotators, decoder):
            clips += isinstance(row, ClipRow)
    return {"clips": clips, "seconds": time.perf_counter() - began}


def by_ray(classifier: str, embedder: str, videos: Sequence[VideoFile], scratch: Path) -> dict[str, float]:
    """The command."""
    library = scratch / f"library-{time.time_ns()}"
    command = [sys.executable, "-m", "cli", "ingest", *(video.path for video in videos), "--library", str(library), "--json"]
    began = time.perf_counter()
    done = subprocess.run([*command, "--classifier", classifier, "--embedder", embedder], check=True, capture_output=True)
    seconds = time.perf_counter() - began
    report = json.loads(done.stdout)
    run = report["run"]
    return {
        "clips": report["clips"],
        "seconds": seconds,
        "steady": run["steady_clips_per_s"],
        "first_frame_s": run["first_frame_s"],
        "idle": run["idle_share"],
    }


def decode_alone(classifier: str, embedder: str, videos: Sequence[VideoFile], _: Path) -> dict[str, float]:
    """A process per core."""
    from pipeline.models.checkpoint import find_checkpoint
    from pipeline.models.preprocessing import read_preprocessing
    from pipeline.sampling import distinct_inputs

    inputs = distinct_inputs(
        [
            read_preprocessing(find_checkpoint(classifier, "--classifier"), "--classifier").input,
            read_preprocessing(find_checkpoint(embedder, "--embedder"), "--embedder").input,
        ]
    )
    cores = len(os.sched_getaffinity(0))
    with multiprocessing.get_context("spawn").Pool(cores) as pool:
        pool.map(_ready, range(2 * cores), chunksize=1)
        began = time.perf_counter()
        planned = pool.imap_unordered(_plan, [(video, inputs) for video in videos])
        clips = sum(pool.imap_unordered(_decode, (job for jobs in planned for job in jobs)))
        return {"clips": clips, "seconds": time.perf_counter() - began}


def _ready(_: int) -> None:
    import pipeline.decoders.pyav  # noqa: F401

    time.sleep(0.2)


def _plan(video_and_inputs: tuple[VideoFile, Any]) -> list[Any]:
    from pipeline.process import plan_video
    from schemas.options import Sampling

    video, inputs = video_and_inputs
    return list(plan_video(video, Sampling(), inputs))


def _decode(job: Any) -> int:
    from pipeline.decoders.registry import load_decoder
    from pipeline.process import decode_job
    from schemas.records import Clip

    return sum(isinstance(item, Clip) for item in decode_job(job, load_decoder("pyav")))


def models_alone(classifier: str, embedder: str, videos: Sequence[VideoFile], _: Path) -> dict[str, float]:
    """On clips of the last video."""
    processes, rounds = _computing_processes(), 2 if classifier != "pocket" else 24
    with multiprocessing.get_context("spawn").Pool(processes) as pool:
        ready = pool.starmap(_forward, [(classifier, embedder, videos[-1], rounds)] * processes, chunksize=1)
    clips = sum(count for count, _ in ready)
    return {"clips": clips, "seconds": max(seconds for _, seconds in ready)}


def _computing_processes() -> int:
    """One on a GPU, else one for each core."""
    import torch

    return 1 if torch.cuda.is_available() else len(os.sched_getaffinity(0))


def arithmetic(classifier: str, embedder: str, videos: Sequence[VideoFile], _: Path) -> dict[str, float]:
    """As many clips as the matrix products of both models allow, if nothing else took time."""
    with multiprocessing.get_context("spawn").Pool(processes := _computing_processes()) as pool:
        flop_per_s = sum(pool.map(multiply, range(processes), chunksize=1))
    flop = flop_of(classifier, embedder)
    return {"clips": flop_per_s / flop, "seconds": 1.0, "gflop": flop / 1e9}


def _forward(classifier: str, embedder: str, video: VideoFile, rounds: int) -> tuple[int, float]:
    import torch

    from pipeline.decoders.registry import load_decoder
    from pipeline.process import decode_job, plan_video
    from schemas.options import Sampling
    from schemas.records import Clip, SpanJob

    torch.set_num_threads(1)
    annotators, inputs = _parts(classifier, embedder)
    (job,) = [planned for planned in plan_video(video, Sampling(), inputs)[:1] if isinstance(planned, SpanJob)]
    clips: list[Any] = [item for item in decode_job(job, load_decoder("pyav")) if isinstance(item, Clip)][:8]
    calls = 1
    if torch.cuda.is_available():
        clips, calls, rounds = clips * 8, 2, 8 * rounds
    annotators.annotate(clips)
    with ThreadPoolExecutor(calls) as threads:
        began = time.perf_counter()
        list(threads.map(annotators.annotate, [clips] * rounds))
        return rounds * len(clips), time.perf_counter() - began


def faithfulness(classifier: str, embedder: str, videos: Sequence[VideoFile], _: Path) -> dict[str, float]:
    """Compare the answers with the plain script's."""
    from pipeline.decoders.registry import load_decoder
    from pipeline.probe import probe
    from pipeline.process import annotate_video
    from schemas.options import Sampling
    from schemas.records import ClipRow

    script = PlainScript(classifier, embedder)
    labels = script.classifier.config.id2label
    annotators, _ = _parts(classifier, embedder)
    same, drift, cosines = [], [], []
    for video in videos:
        try:
            meta = probe(video.path)
            if meta.rotation_deg or meta.pixel_aspect != 1 or meta.container == "avi":
                continue
            expected = script.video(video.path, 1.0)
        except Exception:  # noqa: BLE001 - a damaged file ends the plain script
            continue
        rows = list(annotate_video(video, Sampling(window_s=1.0, stride_s=1.0), annotators, load_decoder("pyav")))
        clips = [row for row in rows if isinstance(row, ClipRow) and abs(row.span.end_s - row.span.start_s - 1) < 1e-6]
        for row, (probabilities, vector) in zip(clips, expected, strict=False):
            best = int(probabilities.argmax())
            same.append(labels[best] == row.labels[0].label)
            drift.append(max(abs(label.score - float(probabilities[_index(labels, label.label)])) for label in row.labels))
            cosines.append(float(row.embedding @ vector.numpy()))
    return {
        "clips": len(same),
        "same top-1": float(np.mean(same)),
        "largest probability drift": max(drift),
        "lowest cosine": min(cosines),
    }


def _index(labels: dict[int, str], label: str) -> int:
    return next(index for index, name in labels.items() if name == label)


WAYS: dict[str, Callable[[str, str, Sequence[VideoFile], Path], dict[str, float]]] = {
    "plain script": plain,
    "in process": in_process,
    "Ray": by_ray,
    "decode alone": decode_alone,
    "models alone": models_alone,
    "arithmetic": arithmetic,
    "faithfulness": faithfulness,
}


def measured(way: str, models: tuple[str, str], videos: Path, scratch: Path) -> dict[str, float]:
    """Measure one way in a process of its own."""
    command = [sys.executable, "-m", "benchmarks.ingest", "--way", way, "--videos", str(videos), "--models", *models]
    done = subprocess.run([*command, "--scratch", str(scratch)], check=True, stdout=subprocess.PIPE)
    figures: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return figures


def table(name: str, models: tuple[str, str], videos: Path, real: Path | None, scratch: Path) -> None:
    """Measure and print one set."""
    figures = {way: measured(way, models, videos, scratch) for way in WAYS if way != "faithfulness"}
    speed = {way: values["clips"] / values["seconds"] for way, values in figures.items()}
    ray = figures["Ray"]
    speed["Ray, whole"], speed["Ray, steady"] = speed.pop("Ray"), ray["steady"]
    speed["both alone"] = 1 / (1 / speed["decode alone"] + 1 / speed["models alone"])
    print(f"\n{name}: {ray['clips']:.0f} clips of {videos.name}, {len(os.sched_getaffinity(0))} cores")
    print(f"{'':<16}{'clips/s':>9}{'to plain':>10}{'to decode':>11}{'to both':>9}")
    for way in (
        "plain script", "in process", "Ray, whole", "Ray, steady", "decode alone", "models alone", "both alone", "arithmetic"
    ):  # fmt: skip
        ratios = [speed[way] / speed[other] for other in ("plain script", "decode alone", "both alone")]
        print(f"{way:<16}{speed[way]:9.2f}{ratios[0]:10.2f}{ratios[1]:11.2f}{ratios[2]:9.2f}")
    reached = speed["models alone"] / speed["arithmetic"]
    print(f"{figures['arithmetic']['gflop']:.3g} GFLOP a clip, of whose speed the models alone reach {reached:.0%}")
    print(f"Ray: first frame decoded after {ray['first_frame_s']:.1f} s, cores idle for {ray['idle']:.0%} of the run")
    exact = measured("faithfulness", models, real or videos, scratch)
    print(", ".join(f"{key} {value:.5g}" for key, value in exact.items()), flush=True)


def main() -> None:
    """Measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", choices=list(_SETS))
    parser.add_argument("--videos", type=Path, help="instead of those made here")
    parser.add_argument("--times", type=int, default=1, help="make them so many times as long: an hour, and not 15 minutes")
    parser.add_argument("--real", type=Path, help="videos for the last line")
    parser.add_argument("--way", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--models", nargs=2, help=argparse.SUPPRESS)
    parser.add_argument("--scratch", type=Path, help="a folder to keep made videos and models in")
    arguments = parser.parse_args()
    if arguments.way:
        files = [file for file in find_videos([arguments.videos]) if isinstance(file, VideoFile)]
        classifier, embedder = arguments.models
        print(json.dumps(WAYS[arguments.way](classifier, embedder, files, arguments.scratch)))
        return
    with tempfile.TemporaryDirectory() as made:
        scratch = arguments.scratch or Path(made)
        for name in [arguments.only] if arguments.only else _SETS:
            videos = arguments.videos or make_set(scratch / "videos", name, arguments.times)
            table(name, models_of(name, scratch / "models"), videos, arguments.real, scratch)


if __name__ == "__main__":
    main()
