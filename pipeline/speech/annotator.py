"""Speech that a model hears: an annotator of whole videos."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, get_args

from schemas.channels import Utterance
from schemas.errors import UsageError, VideoError
from schemas.models import Checkpoint
from schemas.options import Precision
from schemas.records import Problem, Span, VideoInfo

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from pipeline.speech.activity import SpeechDetector
    from pipeline.speech.audio import Chunk
    from pipeline.speech.whisper import Whisper

SpeechEngine = Literal["torch", "faster-whisper"]

# Changes with what stands between the sound and the model: the activity detector, windows, guards.
_VERSION = "1"


@dataclass(frozen=True, slots=True)
class SpeechAnnotator:
    """Hears speech by Whisper: a `pipeline.video_annotators.VideoAnnotator`.

    Attributes:
        checkpoint: a Whisper, of `pipeline.models.checkpoint.find_checkpoint`.
        language: what is spoken, in BCP 47; None finds it out.
        precision: the floating-point type to compute in.
        engine: what runs the model: PyTorch, or CTranslate2, which faster-whisper runs on.
    """

    checkpoint: Checkpoint
    language: str | None = None
    precision: Precision = "auto"
    engine: SpeechEngine = "torch"
    name: str = "speech"
    table: str = "speech"
    uses_gpu: bool = True

    @property
    def version(self) -> str:
        """The model, what it was told, and the engine where it computes in other numbers than the model's own."""
        engine = "" if self.engine == "torch" else f" {self.engine}"
        return f"{_VERSION} {self.checkpoint.stamp} {self.language or 'any'}{engine}"

    def __post_init__(self) -> None:
        """Refuse an engine that is not there.

        Raises:
            UsageError: there is no such engine.
        """
        if self.engine not in get_args(SpeechEngine):
            raise UsageError(f"expected {' or '.join(get_args(SpeechEngine))}", argument="speech_engine", value=self.engine)

    def state(self, path: str) -> str:
        """It reads nothing beside the video."""
        return ""

    def load(self) -> LoadedSpeech:
        """Load Whisper and the detector of voice activity.

        Raises:
            ModelError: one of them cannot be loaded, or does not know the language.
        """
        from pipeline.speech.activity import SpeechDetector
        from pipeline.speech.ctranslate import CTranslateWhisper
        from pipeline.speech.whisper import Whisper

        whisper = CTranslateWhisper if self.engine == "faster-whisper" else Whisper
        return LoadedSpeech(SpeechDetector(), whisper(self.checkpoint, self.language, self.precision))


class LoadedSpeech:
    """A `pipeline.video_annotators.LoadedVideoAnnotator` of speech."""

    def __init__(self, detector: SpeechDetector, whisper: Whisper) -> None:
        """Take what is loaded."""
        self._detector, self._whisper = detector, whisper

    def annotate(self, video: VideoInfo) -> Iterable[Utterance | Problem]:
        """What is said in a video, by time, and what is wrong with its sound; nothing where it has none.

        The sound is decoded twice, in chunks.

        Raises:
            VideoError: it cannot be read, or its sound breaks off before anything is said.
        """
        from pipeline.probe import probe
        from pipeline.speech.activity import speech_spans, speech_windows
        from pipeline.speech.audio import Sound

        path = video.file.path
        meta = probe(path, track=video.track)
        sound = Sound(path, meta)
        probabilities = self._detector.probabilities(chunk.samples for chunk in sound)
        windows = speech_windows(speech_spans(probabilities), probabilities)
        if sound.problem and not windows:
            raise VideoError("annotate", sound.problem)
        self._whisper.begin()
        for start_s, samples in cut(Sound(path, meta), windows):
            yield from self._whisper.hear(samples, start_s)
        if sound.problem:
            yield Problem("annotate", sound.problem)


def cut(chunks: Iterable[Chunk], windows: Sequence[Span]) -> Iterator[Chunk]:
    """The windows of a sound, in order; only as much of it is held as a window and a chunk need.

    Args:
        chunks: the sound; they follow each other.
        windows: intervals in seconds, by time, without overlap.
    """
    import numpy as np

    from pipeline.speech.audio import RATE, Chunk

    waiting = iter(windows)
    window = next(waiting, None)
    held: NDArray[np.float32] = np.zeros(0, np.float32)
    begin = 0  # of what is held, in samples from time 0 on
    for chunk in chunks:
        held = np.concatenate([held, chunk.samples])
        while window and (end := round(window.end_s * RATE)) <= begin + len(held):
            start = round(window.start_s * RATE)
            yield Chunk(window.start_s, held[start - begin : end - begin])
            held, begin = held[end - begin :], end
            window = next(waiting, None)
        if window is None:
            return
        dropped = min(len(held), max(0, round(window.start_s * RATE) - begin))
        held, begin = held[dropped:], begin + dropped
    if window and len(held):
        yield Chunk(window.start_s, held)
