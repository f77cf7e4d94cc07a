"""Published figures of text-to-video retrieval, R@1 without training on the benchmark, by model.

They were measured with other frames, and partly on other splits, than a library's; each says where it is from.
"""

from __future__ import annotations

from jobs.evaluate.benchmarks.results import Published
from pipeline.models.known import KNOWN

# By name on the command line, the name in `pipeline.models.known.KnownModel.figures`.
_NAMES = {"msrvtt": "MSR-VTT", "msvd": "MSVD", "didemo": "DiDeMo", "activitynet": "ActivityNet"}


def published(embedder: str, benchmark: str) -> Published | None:
    """The published figure of an embedder; None where none is known.

    Args:
        embedder: its name: a hub id with or without a revision, or a folder that is called like it.
        benchmark: its name on the command line.
    """
    model = _last_part(embedder)
    known = next((known for known in KNOWN if known.role == "embedder" and _last_part(known.name) == model), None)
    percent = known.figures.get(_NAMES.get(benchmark, "")) if known else None
    return None if known is None or percent is None else Published(model, round(percent / 100, 3), known.source)


def _last_part(name: str) -> str:
    """The last part of a hub id without its revision, or of a folder's path."""
    return name.split("@")[0].rstrip("/").rsplit("/", 1)[-1]
