"""Writes the shots of a video: an annotator of whole videos."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import TYPE_CHECKING, Literal, get_args

from pipeline.probe import probe
from pipeline.sampling import covered_s
from schemas.channels import Shot
from schemas.errors import UsageError
from schemas.options import MAX_PIXELS
from schemas.records import VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.shots.boundaries import Boundary, Detector
    from pipeline.shots.pictures import Shown

DetectorName = Literal["content", "transnetv2"]
"""``content`` compares pictures; ``transnetv2`` is a model, whose weights come with vidsift's extra ``shots``."""

_REVISION = 1  # counts up with every change of the code that changes shots


def detector_named(name: str) -> DetectorName:
    """The detector of this name.

    Raises:
        UsageError: there is none.
    """
    for known in get_args(DetectorName):
        if name == known:
            detector: DetectorName = known
            return detector
    raise UsageError(f"got {name!r}, expected {', '.join(get_args(DetectorName))}", argument="detector")


@dataclass(frozen=True, slots=True)
class ShotAnnotator:
    """Cuts each video into shots; a `pipeline.video_annotators.VideoAnnotator`."""

    detector: DetectorName = "content"
    max_pixels: int = MAX_PIXELS
    name: str = "shots"
    table: str = "shots"

    @property
    def version(self) -> str:
        """The detector, what it decides by, and the revision of the code around it."""
        if self.detector == "transnetv2":
            from pipeline.shots.weights import TENSORS_SHA256

            settings = TENSORS_SHA256
        else:
            from pipeline.shots.content import ContentThresholds

            settings = sha256(repr(ContentThresholds()).encode()).hexdigest()
        return f"{self.detector}@{settings[:8]}-{_REVISION}"

    @property
    def uses_gpu(self) -> bool:
        """TransNet V2 does."""
        return self.detector == "transnetv2"

    def state(self, path: str) -> str:
        """It reads nothing beside the video."""
        return ""

    def load(self) -> LoadedShots:
        """Load the detector.

        Raises:
            ModelError: the weights of TransNet V2 are not there.
        """
        if self.detector == "transnetv2":
            from pipeline.shots.transnetv2 import TransNetV2, TransNetV2Detector

            model = TransNetV2()
            return LoadedShots(lambda: TransNetV2Detector(model), self.max_pixels)
        from pipeline.shots.content import ContentDetector

        return LoadedShots(ContentDetector, self.max_pixels)


class LoadedShots:
    """A `ShotAnnotator` that is ready to run."""

    def __init__(self, detector: Callable[[], Detector], max_pixels: int) -> None:
        """Take what makes a detector for a video."""
        self._detector, self._max_pixels = detector, max_pixels

    def annotate(self, video: VideoInfo) -> Iterator[Shot]:
        """The shots of a video, which cover it without a gap from time 0 to its end.

        Raises:
            VideoError: it is no video, or no frame of it can be decoded whole.
        """
        import numpy as np

        from pipeline.shots.frames import thumbnails
        from pipeline.shots.pictures import Pictures

        meta = probe(video.file.path, max_pixels=self._max_pixels, track=video.track)
        detector, pictures, times_s = self._detector(), Pictures(), []
        for chunk in thumbnails(video.file.path, meta, max_pixels=self._max_pixels):
            times_s.append(chunk.times_s)
            detector.add(chunk.frames)
            pictures.add(chunk.frames)
        yield from shots_of(detector.boundaries(), pictures.shown(), np.concatenate(times_s), covered_s(meta))


def shots_of(boundaries: Sequence[Boundary], shown: Shown, times_s: NDArray[np.float64], end_s: float) -> Iterator[Shot]:
    """Shots that cover [0, end_s) without a gap.

    Args:
        boundaries: what a detector found.
        shown: what the frames show.
        times_s: float64 [n], when frames appear.
        end_s: the end of the video.
    """
    from pipeline.shots.blanks import at_blanks

    found = [each for each in at_blanks(boundaries, shown.blank, times_s, end_s) if times_s[each.frame] < end_s]
    starts = [0, *(each.frame for each in found)]
    starts_s = [0.0, *(float(times_s[each.frame]) for each in found)]
    for number, (start, start_s) in enumerate(zip(starts, starts_s, strict=True)):
        last = number == len(found)
        picture = shown.between(start, len(times_s) if last else starts[number + 1])
        shot_end_s = end_s if last else starts_s[number + 1]
        if number == 0:
            yield Shot(start_s, shot_end_s, "start", 1.0, picture)
        else:
            boundary = found[number - 1]
            yield Shot(start_s, shot_end_s, "gradual" if boundary.length else "cut", boundary.confidence, picture)
