"""The annotator of the text on screen: a row for each line that can be read, with its time and its place."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from schemas.channels import ScreenText
from schemas.errors import UsageError
from schemas.records import Span, VideoInfo

if TYPE_CHECKING:  # a job that only names the annotator should not pay for OpenCV and FFmpeg
    from pipeline.text.reader import Reading, TextEngine, TextReader

# Lines are looked for in frames of this share of the size that they are read at.
_DETECT_SHARE = 0.75

# To be raised whenever the same models would write other rows.
_RULES = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class ScreenTextAnnotator:
    """Reads the text on screen with PP-OCRv6: Latin, Chinese and Japanese letters, upright or turned.

    Attributes:
        step_s: seconds from one look at the screen to the next. What shows for a shorter time may be missed.
        longest_side: frames are read at this length of the longer side in pixels, or at their own if they are smaller.
        least_confidence: readings with less are left out.
        engine: what computes the models; None takes OpenVINO where it is installed. Not part of ``version``.
        num_threads: threads to compute with.
    """

    step_s: float = 1.0
    longest_side: int = 1280
    least_confidence: float = 0.6
    engine: TextEngine | None = None
    num_threads: int = 1

    def __post_init__(self) -> None:
        """Refuse settings with which nothing can be read."""
        if not 0.1 <= self.step_s <= 3600:
            raise UsageError(f"got {self.step_s:g} s, expected 0.1 to 3600 s", argument="step_s")
        if not 64 <= self.longest_side <= 4096:
            raise UsageError(f"got {self.longest_side}, expected 64 to 4096 pixels", argument="longest_side")
        if not 0 <= self.least_confidence <= 1:
            raise UsageError(f"got {self.least_confidence:g}, expected 0 to 1", argument="least_confidence")
        if self.num_threads < 1:
            raise UsageError(f"got {self.num_threads}, expected 1 or more", argument="num_threads")

    @property
    def name(self) -> str:
        """Its name on the command line and in its rows."""
        return "text"

    @property
    def table(self) -> str:
        """The table that it writes."""
        return "screen_text"

    @property
    def uses_gpu(self) -> bool:
        """Its engines compute on CPUs."""
        return False

    @property
    def version(self) -> str:
        """The models, this file's rules, and the settings."""
        return f"PP-OCRv6-small/{_RULES}:{self.step_s:g}s,{self.longest_side}px,{self.least_confidence:g}"

    def state(self, path: str) -> str:
        """It reads nothing beside the video."""
        return ""

    def load(self) -> LoadedScreenTextAnnotator:
        """Load the models; see `pipeline.text.reader.TextReader`.

        Raises:
            ModelError: what it needs is not installed.
        """
        from pipeline.text.reader import TextReader

        reader = TextReader(
            engine=self.engine,
            num_threads=self.num_threads,
            detect_side=round(self.longest_side * _DETECT_SHARE),
            least_confidence=self.least_confidence,
        )
        return LoadedScreenTextAnnotator(self, reader)


class LoadedScreenTextAnnotator:
    """A `ScreenTextAnnotator` with its models."""

    def __init__(self, settings: ScreenTextAnnotator, reader: TextReader) -> None:
        self._settings = settings
        self._reader = reader

    def annotate(self, video: VideoInfo) -> Iterator[ScreenText]:
        """The lines of text of a video, by the time when they appear; none where nothing can be read.

        Only a frame and the lines on screen are kept at a time, beside what decodes half a minute.

        Raises:
            VideoError: it is no video, or no frame of it can be decoded.
        """
        from pipeline.text.merge import merged

        return merged(self._read(video), step_s=self._settings.step_s)

    def _read(self, video: VideoInfo) -> Iterator[tuple[Span, Sequence[Reading]]]:
        from pipeline.probe import probe
        from pipeline.text.frames import frames_to_read

        meta = probe(video.file.path, track=video.track)
        settings = self._settings
        for span, frame in frames_to_read(video, meta, step_s=settings.step_s, longest_side=settings.longest_side):
            yield span, self._reader.read(frame)
