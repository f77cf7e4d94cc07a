"""Published figures of text-to-video retrieval, R@1 without training on the benchmark, by model.

They were measured with other frames, and partly on other splits, than a library's; each says where it is from.
"""

from __future__ import annotations

from jobs.evaluate.benchmarks.results import Published

_MTEB = "the results of MTEB's video benchmark (its MSR-VTT has 1,758 samples)"
_PERCEPTION_ENCODER = "arXiv 2504.13181, table 6"
_VIDEOPRISM = "VideoPrism's README"

_BENCHMARKS = ("msrvtt", "msvd", "didemo", "activitynet")

# R@1 in percent, in the order of _BENCHMARKS, by the last part of a hub id.
_PERCENT: dict[str, tuple[str, tuple[float | None, float | None, float | None, float | None]]] = {
    "xclip-base-patch32": (_MTEB, (10.4, 24.2, 9.9, 9.2)),
    "xclip-base-patch16": (_MTEB, (16.0, 31.4, 13.4, 10.7)),
    "xclip-large-patch14": (_MTEB, (26.8, 41.1, 20.0, 14.7)),
    "clip-vit-base-patch16": (_PERCEPTION_ENCODER, (30.4, 40.5, None, 9.1)),
    "siglip2-base-patch16-224": (_PERCEPTION_ENCODER, (38.5, 49.0, None, 28.6)),
    "siglip2-large-patch16-384": (_PERCEPTION_ENCODER, (41.5, 53.7, None, 35.9)),
    "videoprism-lvt-base-f16r288": (_VIDEOPRISM, (50.1, None, None, 48.8)),
    "videoprism-lvt-large-f8r288": (_VIDEOPRISM, (50.1, None, None, 51.3)),
    "Qwen3-VL-Embedding-2B": (_MTEB, (55.6, 75.2, 55.6, 58.1)),
}


def published(embedder: str, benchmark: str) -> Published | None:
    """The published figure of an embedder; None where none is known.

    Args:
        embedder: its name: a hub id with or without a revision, or a folder that is called like it.
        benchmark: its name on the command line.
    """
    model = embedder.split("@")[0].rstrip("/").rsplit("/", 1)[-1]
    if model not in _PERCENT or benchmark not in _BENCHMARKS:
        return None
    source, figures = _PERCENT[model]
    percent = figures[_BENCHMARKS.index(benchmark)]
    return None if percent is None else Published(model, round(percent / 100, 3), source)
