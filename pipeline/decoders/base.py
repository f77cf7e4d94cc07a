"""The protocols that a decoder follows, and the frames it gives."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from schemas.errors import VideoError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from schemas.records import SpanJob


@dataclass(frozen=True, slots=True, eq=False)
class Decoded:
    """The frames that were decoded for a `SpanJob`.

    Attributes:
        positions: int64 [m], ascending: indices into the job's sampled frames. Frames that could not be decoded are missing.
        frames: for each of the job's geometries, uint8 [m, height, width, 3] in RGB, turned and scaled.
        problems: sentences on what went wrong; empty where every sampled frame was decoded whole.
        damaged: the positions of frames that the decoder itself reports as damaged.
    """

    positions: NDArray[np.int64]
    frames: tuple[NDArray[np.uint8], ...]
    problems: tuple[str, ...] = ()
    damaged: frozenset[int] = frozenset()


class Decoder(Protocol):
    """Decodes the sampled frames of one job."""

    def decode(self, job: SpanJob) -> Decoded:
        """Decode ``job``'s sampled frames, in order; those that cannot be decoded are left out and named in ``problems``.

        Raises:
            VideoError: none of the sampled frames could be decoded.
        """


@runtime_checkable
class ChainDecoder(Decoder, Protocol):
    """A decoder that serves several jobs in one pass over the file. Optional: other decoders make a pass for each job."""

    def decode_chain(self, jobs: Sequence[SpanJob]) -> Iterator[Decoded | VideoError]:
        """Decode jobs that start at the same keyframe, in their order; a `VideoError` stands for a job without any frame."""
