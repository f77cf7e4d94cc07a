"""What a clip costs with each published model, by one thread and its CPU time, against X-CLIP B/32.

    python -m benchmarks.model_costs                  every model whose shape is known, by itself
    python -m benchmarks.model_costs siglip AltCLIP   those with one of these in their names, and X-CLIP B/32

`vidsift models --measure` tells how many clips a second a machine computes that does nothing else. CPU time can be compared
on a busy one as well, though others that use its caches and its memory still slow a model down.
"""

from __future__ import annotations

import argparse
import time

import torch

from pipeline.models.known import KNOWN
from pipeline.models.known_report import model_row
from pipeline.models.measure import can_measure, measure
from schemas.options import DEFAULT_EMBEDDER


def main() -> None:
    """Measure, and print each row as soon as it is known."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("names", nargs="*")
    names = parser.parse_args().names
    torch.set_num_threads(1)
    chosen = [known for known in KNOWN if not names or any(name in known.name for name in (*names, DEFAULT_EMBEDDER))]
    print(f"{'model':<46}{'million weights':>16}{'GFLOPs':>8}{'clips/CPU s':>13}{'of X-CLIP':>11}")
    yardstick = None
    for known in chosen:
        cost = measure(known, time.process_time) if can_measure(known) else None
        speed = cost.clips_per_s if cost else None
        yardstick = speed if known.name == DEFAULT_EMBEDDER else yardstick
        name, *_ = model_row(known, None, measured=False)
        weights, gflops = (f"{cost.parameters / 1e6:.0f}", f"{cost.gflops:.0f}") if cost else ("-", "-")
        timed = (f"{speed:.3f}", f"{speed / yardstick:.3f}" if yardstick else "-") if speed else ("-", "-")
        print(f"{name:<46}{weights:>16}{gflops:>8}{timed[0]:>13}{timed[1]:>11}", flush=True)


if __name__ == "__main__":
    main()
