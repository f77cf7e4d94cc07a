"""What `ingest` and `watch` share: how files are chosen and indexed."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, TypeVar

import click

from commands.annotate import annotator_options, annotator_settings
from commands.common import LibraryPath, run_options
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER, MAX_FRAMES, MAX_PIXELS, IngestOptions

_F = TypeVar("_F", bound=Callable[..., Any])

# The fields of `IngestOptions` that are options here; its ``trace`` is a flag, while ``--trace`` is a file.
_INGEST_OPTIONS = tuple(field.name for field in fields(IngestOptions) if field.name != "trace")

_OPTIONS: tuple[Callable[[Any], Any], ...] = (
    click.option(
        "--classifier",
        metavar="MODEL",
        help=f"Model that labels clips: hub id, folder or pocket. [default: the library's, or {DEFAULT_CLASSIFIER}]",
    ),
    click.option(
        "--embedder",
        metavar="MODEL",
        help=f"Model that makes clips searchable: hub id, folder or pocket. [default: the library's, or {DEFAULT_EMBEDDER}]",
    ),
    click.option(
        "--labels-from",
        metavar="DIR",
        type=LibraryPath(path_type=Path),
        help="Keep the labels that this library (a folder or an address) has for the same clips, as when the embedder alone "
        "is new.",
    ),
    click.option(
        "--window", "window_s", type=float, metavar="S", help="Length of a clip in seconds. [default: the library's, or 4]"
    ),
    click.option(
        "--stride",
        "stride_s",
        type=float,
        metavar="S",
        help="Seconds from one clip's start to the next. [default: the library's, or the window]",
    ),
    click.option(
        "--clips",
        type=click.Choice(["windows", "shots"]),
        help="Cut clips at shots too, so that no clip shows two of them (see --detector). "
        "[default: the library's, or windows]",
    ),
    click.option(
        "--features",
        metavar="KIND",
        help="Keep features for reranking as int8 or fp16, or keep none. [default: the library's, or int8]",
    ),
    click.option(
        "--dim",
        type=int,
        metavar="N",
        help="Keep N numbers of each embedding, of models trained for that. [default: the library's, or all]",
    ),
    click.option(
        "--frames",
        type=int,
        metavar="N",
        help="Show the classifier N frames of a clip, of VideoMAE and TimeSformer. "
        "[default: the library's, or the model's own]",
    ),
    click.option(
        "--views",
        type=int,
        metavar="K",
        help="Label a clip by the mean over K parts of it, each as long as the classifier was trained to see at once. "
        "[default: the library's, or the whole clip at once]",
    ),
    click.option(
        "--decoder", default="pyav", show_default=True, help="Decode with pyav, decord, torchcodec or nvdec (on a GPU)."
    ),
    click.option(
        "--engine",
        default="torch",
        show_default=True,
        help="Run the models with torch, openvino (faster on CPUs without AMX) or onnx; the last two are extras to install.",
    ),
    click.option(
        "--precision", default="auto", show_default=True, help="Run the models in fp32 or bf16; auto picks by device."
    ),
    click.option("--top-labels", type=int, default=5, show_default=True, help="Number of action labels to keep per clip."),
    click.option("--batch-size", type=int, help="Clips per forward pass. [default: chosen for the machine and the models]"),
    click.option(
        "--decoders", "num_decoders", type=int, help="Decode tasks at a time. [default: one per CPU, less one per GPU]"
    ),
    click.option(
        "--threads",
        "num_threads",
        type=int,
        help="CPU threads of each process that runs models. [default: chosen for the machine]",
    ),
    click.option(
        "--scaling",
        default="fast",
        show_default=True,
        help="Resize frames fast, or exact: as the models' own processors do.",
    ),
    click.option(
        "--max-pixels",
        type=int,
        default=MAX_PIXELS,
        show_default=True,
        help="Refuse videos with more pixels per frame.",
    ),
    click.option("--max-frames", type=int, default=MAX_FRAMES, show_default=True, help="Refuse videos with more frames."),
    run_options,
    click.option(
        "--track",
        type=int,
        metavar="N",
        help="Index video track N of files that have N tracks or more. [default: the track that players show]",
    ),
    click.option(
        "--with",
        "channels",
        metavar="NAMES",
        default="",
        help="Also find shots, subtitles, speech or text: names with commas between. [default: what the library has]",
    ),
    annotator_options,
    click.option("--include", multiple=True, metavar="GLOB", help="Index only files that match; may be repeated."),
    click.option("--exclude", multiple=True, metavar="GLOB", help="Skip files that match; may be repeated."),
    click.option("--keep-missing", is_flag=True, help="Keep videos in the library even if their files are gone."),
)


def ingest_options(command: _F) -> _F:
    """How files are chosen and indexed; `ingest_arguments` takes the values."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def ingest_arguments(given: dict[str, Any]) -> dict[str, Any]:
    """A command's values as `jobs.ingest.ingest.ingest` takes them."""
    given = dict(given)
    options = IngestOptions(**{name: given.pop(name) for name in _INGEST_OPTIONS if name in given})
    settings = annotator_settings(given)
    channels = [name.strip() for name in given.pop("channels").split(",") if name.strip()]
    shots = _shots(given.pop("clips"), settings)
    return {**given, "options": options, "shots": shots, "channels": channels, "channel_settings": settings}


def _shots(clips: str | None, settings: dict[str, dict[str, str]]) -> str | None:
    """What finds the shots that clips are cut at; None leaves that to the library."""
    if clips is None:
        return None
    return "none" if clips == "windows" else settings.get("shots", {}).get("detector", "content")
