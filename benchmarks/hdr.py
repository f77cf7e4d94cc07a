"""Whether HDR is understood as standard range is: the demo's films in PQ and in HLG, and what each is taken for.

    python -m benchmarks.hdr

Films of seed 2 are rendered, and put by FFmpeg's program into BT.2020 with PQ and with HLG: HEVC of 10 bits, diffuse white
at 203 cd/m². Each folder is ingested with the pocket models, and held against the truth as `vidsift evaluate` does. The
promise: PQ and HLG are within .02 of standard range. Beside them the PQ files whose streams say BT.709, so that their values
are taken as they are: what a program shows the models that converts every frame to RGB and knows nothing of HDR.
"""

from __future__ import annotations

import argparse
import csv
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import av

from demo.measure import TEST_SEED, make_world
from demo.tour import STRIDE_S, WINDOW_S
from jobs.evaluate.library import evaluate
from jobs.ingest.ingest import ingest
from pipeline.picture.colour import is_ordinary
from schemas.options import IngestOptions

ALLOWED = 0.02
_TRANSFERS = {"PQ": "smpte2084", "HLG": "arib-std-b67"}

# What the demo's films hold, though they do not say so; 1 in linear light is diffuse white. Without agamma=0 the curves are
# approximate, and HLG is no screen's light.
_LINEAR = (
    "setparams=colorspace=smpte170m:color_primaries=bt709:color_trc=bt709:range=limited,"
    "zscale=m=gbr:t=linear:npl=203:agamma=0,format=gbrpf32le"
)
_X265 = ["-c:v", "libx265", "-preset", "ultrafast", "-crf", "16", "-x265-params", "log-level=error:pools=1:frame-threads=1"]


class Measured(NamedTuple):
    """A version of the world: label right, captions that find their clip, and actions as queries, the last two reranked."""

    top1: float
    recall_at_1: float
    mean_precision: float


def to_hdr(transfer: str) -> Callable[[Path, Path], list[str]]:
    """FFmpeg's arguments to put a film into that transfer function."""
    wide = f"zscale=p=bt2020:t={transfer}:m=bt2020nc:r=limited:npl=203:agamma=0,format=yuv420p10le"
    said = ["-color_primaries", "bt2020", "-color_trc", transfer, "-colorspace", "bt2020nc", "-color_range", "tv"]
    return lambda source, target: [
        *("-i", str(source), "-vf", f"{_LINEAR},{wide}", "-fps_mode", "vfr", *said, *_X265, str(target))
    ]


def to_unknown(source: Path, target: Path) -> list[str]:
    """FFmpeg's arguments to have a stream say of the same values that they are BT.709."""
    change = "hevc_metadata=colour_primaries=1:transfer_characteristics=1"
    return ["-i", str(source), "-c", "copy", "-bsf:v", change, str(target)]


def make_version(source: Path, target: Path, arguments: Callable[[Path, Path], list[str]], *, ordinary: bool) -> None:
    """All films of a world anew, as MP4, and the truth beside them."""
    with (source / "truth.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    paths = {row["path"]: str(Path(row["path"]).with_suffix(".mp4")) for row in rows}

    def write(path: str) -> None:
        made = target / paths[path]
        made.parent.mkdir(parents=True, exist_ok=True)
        command = ["ffmpeg", "-v", "error", "-nostdin", "-y", *arguments(source / path, made)]
        subprocess.run(command, check=True)
        with av.open(str(made)) as container:
            taken = is_ordinary(next(container.decode(video=0)))
        assert taken == ordinary, f"{made}: taken for {'standard range' if taken else 'HDR'}"

    with ThreadPoolExecutor(os.cpu_count()) as pool:
        list(pool.map(write, paths))
    with (target / "truth.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, list(rows[0]), lineterminator="\n")
        writer.writeheader()
        writer.writerows(row | {"path": paths[row["path"]]} for row in rows)


def measure(world: Path, library: Path) -> Measured:
    """Ingest, evaluate."""
    options = IngestOptions(batch_size=32)
    ingest([world], library, classifier="pocket", embedder="pocket", window_s=WINDOW_S, stride_s=STRIDE_S, options=options)
    evaluation = evaluate(world / "truth.csv", library)
    assert evaluation.recognition is not None
    assert not evaluation.unjudged, evaluation.unjudged
    (recall,) = (row.recall_at_1 for row in evaluation.retrieval if row.score == "rerank")
    return Measured(evaluation.recognition.top1, recall, evaluation.mean_precision["rerank"])


def require_ffmpeg() -> None:
    """Tell what is missing on this machine, and end."""
    program = shutil.which("ffmpeg")
    if program is None:
        sys.exit("this benchmark makes HDR with ffmpeg, which is not on the PATH: install it (Debian: apt install ffmpeg)")
    for listing, name in (("-filters", "zscale"), ("-encoders", "libx265"), ("-bsfs", "hevc_metadata")):
        listed = subprocess.run([program, "-v", "error", listing], capture_output=True, text=True, check=True).stdout
        if name not in listed.split():
            sys.exit(
                f"{program} was built without {name}, which makes the HDR films: install one that has it, as Debian's does"
            )


def main() -> None:
    """Make, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--clips", type=int, default=96, help="films of one action")
    parser.add_argument("--films", type=int, default=0, help="long films of several")
    parser.add_argument("--seed", type=int, default=TEST_SEED, help="of the world")
    arguments = parser.parse_args()
    require_ffmpeg()
    results: dict[str, Measured] = {}
    with tempfile.TemporaryDirectory() as scratch:
        root = Path(scratch)
        make_world(root / "SDR", arguments.clips, arguments.seed, arguments.films)
        for name, transfer in _TRANSFERS.items():
            make_version(root / "SDR", root / name, to_hdr(transfer), ordinary=False)
        make_version(root / "PQ", root / "PQ as BT.709", to_unknown, ordinary=True)
        print(f"{'':<14}{'top-1':>8}{'R@1':>8}{'mAP':>8}{'furthest from SDR':>20}")
        for name in ("SDR", *_TRANSFERS, "PQ as BT.709"):
            results[name] = measure(root / name, root / f"library of {name}")
            apart = max(abs(result - standard) for result, standard in zip(results[name], results["SDR"], strict=True))
            print(f"{name:<14}" + "".join(f"{value:8.3f}" for value in results[name]) + f"{apart:20.3f}", flush=True)
    kept = all(
        abs(result - standard) <= ALLOWED
        for name in _TRANSFERS
        for result, standard in zip(results[name], results["SDR"], strict=True)
    )
    print(f"PQ and HLG within {ALLOWED} of standard range: {'yes' if kept else 'NO'}")


if __name__ == "__main__":
    main()
