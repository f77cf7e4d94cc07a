"""Decoder backends behind one protocol. To add one: a file here with a class, and a line in `DECODERS`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol

from schemas.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from schemas.records import SpanJob


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """What a decoder could give of what a `SpanJob` wants.

    Attributes:
        positions: int64 [m], ascending: which of the job's wanted frames these are.
        frames: for each of the job's inputs, uint8 [m, height, width, 3] in RGB, turned and scaled.
        problems: what was wrong, in sentences; empty where every wanted frame came out whole.
    """

    positions: NDArray[np.int64]
    frames: tuple[NDArray[np.uint8], ...]
    problems: tuple[str, ...] = ()


class Decoder(Protocol):
    """Decodes the wanted frames of one job."""

    def decode(self, job: SpanJob) -> Decoded:
        """Decode ``job``'s wanted frames, in order; those that cannot be had are left out and said in ``problems``.

        Raises:
            VideoError: not one wanted frame could be had.
        """


def _pyav() -> Decoder:
    from pipeline.decoders.pyav import PyAVDecoder

    return PyAVDecoder()


def _decord() -> Decoder:
    from pipeline.decoders.decord import DecordDecoder

    return DecordDecoder()


def _torchcodec() -> Decoder:
    from pipeline.decoders.torchcodec import TorchCodecDecoder

    return TorchCodecDecoder()


DECODERS: dict[str, Callable[[], Decoder]] = {"pyav": _pyav, "decord": _decord, "torchcodec": _torchcodec}
_MODULES = {"pyav": "av", "decord": "decord", "torchcodec": "torchcodec"}


def load_decoder(name: str) -> Decoder:
    """The decoder called ``name``.

    Raises:
        UsageError: no such decoder, or its package is not installed.
    """
    if name not in DECODERS:
        raise UsageError(f"--decoder: got {name!r}, allowed is {', '.join(DECODERS)}")
    if find_spec(_MODULES.get(name, "av")) is None:
        raise UsageError(f"--decoder {name}: its package is not installed; pip install 'vidsift[{name}]', or take pyav")
    return DECODERS[name]()
