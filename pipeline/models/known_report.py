"""The list of known models, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from pipeline.models.known import KnownModel

if TYPE_CHECKING:
    from pipeline.models.measure import Cost

_COLUMNS = ("model", "kind", "for", "frames", "dim", "licence", "published", "cached")
_MEASURED = ("GFLOPs", "clips/s")
_SHORT_REVISION = 8


def names_of_columns(*, measured: bool) -> Sequence[str]:
    """The columns of `model_row`."""
    return (*_COLUMNS, *_MEASURED) if measured else _COLUMNS


def model_row(known: KnownModel, cost: Cost | None, *, measured: bool) -> Sequence[str]:
    """A model's cells; without a cost where its shape is not known."""
    published = ", ".join(f"{benchmark} {value:.1f}" for benchmark, value in known.figures.items())
    row = [
        _shortened(known.name),
        known.role,
        known.purpose,
        str(known.num_frames),
        str(known.dim),
        known.licence if known.commercial else f"{known.licence}, not commercial",
        published or "-",
        "yes" if is_cached(known.name) else "",
    ]
    if measured:
        speed = cost.clips_per_s if cost else None
        row += [f"{cost.gflops:.0f}" if cost else "-", "-" if speed is None else f"{speed:.2f}"]
    return row


def model_json(known: KnownModel, cost: Cost | None) -> dict[str, Any]:
    """A model for programs."""
    entry = {name: value for name, value in asdict(known).items() if name not in ("shape", "picture")}
    return {**entry, "cached": is_cached(known.name), "measured": cost._asdict() if cost else None}


def sources_text(chosen: Sequence[KnownModel]) -> list[str]:
    """Lines that say where the figures are from, and what kinds they are."""
    sources: dict[str, list[str]] = {}
    for known in chosen:
        if known.source:
            sources.setdefault(known.source, []).append(_shortened(known.name))
    lines = [f"{source}: {', '.join(names)}" for source, names in sources.items()]
    return [
        "published: text-to-video R@1 of embedders, top-1 of classifiers, in percent; sources are not strictly comparable",
        *lines,
    ]


def is_cached(name: str) -> bool:
    """Whether the hub's cache on this machine holds the model's configuration and weights."""
    from huggingface_hub import try_to_load_from_cache

    repository, _, revision = name.partition("@")
    return any(
        isinstance(try_to_load_from_cache(repository, file, revision=revision or None), str)
        for file in ("model.safetensors", "model.safetensors.index.json")
    )


def _shortened(name: str) -> str:
    """A hub id with the beginning of its revision."""
    repository, at, revision = name.partition("@")
    return f"{repository}{at}{revision[:_SHORT_REVISION]}"
