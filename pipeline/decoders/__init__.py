"""Decoder backends behind one protocol. To add one: a file here with a class, and a line in `DECODERS`."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from schemas.errors import UsageError, VideoError

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
        damaged: the positions of frames that the decoder itself calls damaged.
    """

    positions: NDArray[np.int64]
    frames: tuple[NDArray[np.uint8], ...]
    problems: tuple[str, ...] = ()
    damaged: frozenset[int] = frozenset()


class Decoder(Protocol):
    """Decodes the wanted frames of one job."""

    def decode(self, job: SpanJob) -> Decoded:
        """Decode ``job``'s wanted frames, in order; those that cannot be had are left out and said in ``problems``.

        Raises:
            VideoError: not one wanted frame could be had.
        """


@runtime_checkable
class ChainDecoder(Decoder, Protocol):
    """A decoder that sees to several jobs in one pass. It is optional: of others, each job is a pass of its own."""

    def decode_chain(self, jobs: Sequence[SpanJob]) -> Iterator[Decoded | VideoError]:
        """Decode jobs that start at one place, in their order; a `VideoError` for one of which no frame could be had."""


def _pyav() -> Decoder:
    from pipeline.decoders.pyav import PyAVDecoder

    return PyAVDecoder()


def _decord() -> Decoder:
    from pipeline.decoders.decord import DecordDecoder

    return DecordDecoder()


@cache
def _torchcodec() -> Decoder:
    from pipeline.decoders.torchcodec import TorchCodecDecoder

    return TorchCodecDecoder()


@cache
def _nvdec() -> Decoder:
    from pipeline.decoders.torchcodec import TorchCodecDecoder

    return TorchCodecDecoder("cuda")


DECODERS: dict[str, Callable[[], Decoder]] = {
    "pyav": _pyav,
    "decord": _decord,
    "torchcodec": _torchcodec,
    "nvdec": _nvdec,
}
_PACKAGES = {"decord": "decord", "torchcodec": "torchcodec", "nvdec": "torchcodec"}  # what is not always installed
_NEEDS = {"torchcodec": "FFmpeg's shared libraries", "nvdec": "a GPU, and a torchcodec and a torch made for it"}
ON_GPU = frozenset({"nvdec"})

# The decoders that are a `ChainDecoder`.
CHAINED = frozenset({"pyav"})


def load_decoder(name: str) -> Decoder:
    """The decoder called ``name``, on this machine.

    Raises:
        UsageError: no such decoder, its package is not installed, or it cannot run here.
    """
    check_decoder(name)
    try:
        return DECODERS[name]()
    # What torch and torchcodec raise for want of a library.
    except (ImportError, OSError, RuntimeError, AssertionError) as exc:
        needs = _NEEDS.get(name, "its libraries")
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        raise UsageError(f"--decoder {name}: it cannot run here ({reason}); it needs {needs}; or take pyav") from exc


def check_decoder(name: str) -> None:
    """See that there is such a decoder, wherever it is to run.

    Raises:
        UsageError: no such decoder, or its package is not installed.
    """
    if name not in DECODERS:
        raise UsageError(f"--decoder: got {name!r}, expected {', '.join(DECODERS)}")
    package = _PACKAGES.get(name)
    if package and find_spec(package) is None:
        raise UsageError(f"--decoder {name}: its package is not installed; pip install 'vidsift[{package}]', or take pyav")
