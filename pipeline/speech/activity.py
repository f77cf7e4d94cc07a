"""Which seconds of a sound hold speech: Silero's trained detector, and pure functions from its answers to windows.

The detector is the ONNX file in the wheel of `silero-vad` (MIT), https://github.com/snakers4/silero-vad. Its package is not
imported: that would set the number of PyTorch's threads for the whole process.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from schemas.errors import ModelError
from schemas.records import Span

FRAME = 512
"""Samples that the detector judges at once, at 16 kHz: 32 ms."""
FRAME_S = FRAME / 16_000

# Samples of the frame before, which the detector sees too.
_CONTEXT = 64
# The length of its memory from frame to frame: an LSTM's state.
_STATE = (1, 1, 128)
# Frames that it is shown in one call: 16 s, 1 MB.
_BLOCK = 512

# Speech begins at this probability, and goes on until it falls below the other: the detector's authors' choice.
_BEGINS, _ENDS = 0.5, 0.35
# Shorter sounds are no speech, shorter pauses are within it.
_LEAST_S, _PAUSE_S = 0.25, 0.3
# Consonants at the beginning and the end are quiet.
_PAD_S = 0.2

# The longest window that Whisper hears, and the longest silence within one: longer ones tempt it to make up words.
WINDOW_S, _SILENCE_S = 30.0, 3.0
# Speech without a pause is cut where it is least likely to be speech, in so many last seconds of a window.
_CUT_S = 10.0


class SpeechDetector:
    """Silero's voice activity detector. It keeps no memory of one sound for the next."""

    def __init__(self) -> None:
        """Load the model, for one thread.

        Raises:
            ModelError: it is not installed.
        """
        model, runtime = find_spec("silero_vad"), find_spec("onnxruntime")
        if model is None or runtime is None or not model.submodule_search_locations:
            raise ModelError(
                "hearing speech needs two more packages, silero-vad and onnxruntime: pip install 'vidsift[speech]'"
            )
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.inter_op_num_threads = options.intra_op_num_threads = 1
        path = Path(model.submodule_search_locations[0]) / "data" / "silero_vad_16k_sequence.onnx"
        self._session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])

    def probabilities(self, sound: Iterable[NDArray[np.float32]]) -> NDArray[np.float32]:
        """How likely each frame of a sound holds speech.

        Args:
            sound: pieces of it that follow each other, float32 [num_samples] of any length, 16,000 a second.

        Returns:
            float32 [ceil(num_samples / FRAME)].
        """
        hidden, cell = np.zeros(_STATE, np.float32), np.zeros(_STATE, np.float32)
        context = np.zeros(_CONTEXT, np.float32)
        found = [np.zeros(0, np.float32)]
        for block in _blocks(sound):
            frames = block.reshape(-1, FRAME)
            contexts = np.concatenate([context[None], frames[:-1, -_CONTEXT:]])
            context = frames[-1, -_CONTEXT:]
            inputs = {"input": np.concatenate([contexts, frames], axis=1), "h": hidden, "c": cell}
            probabilities, hidden, cell = self._session.run(["speech_probs", "hn", "cn"], inputs)
            found.append(probabilities.reshape(-1))
        return np.concatenate(found)


def _blocks(sound: Iterable[NDArray[np.float32]]) -> Iterator[NDArray[np.float32]]:
    """The sound in blocks of whole frames; the last is filled up with silence."""
    rest = np.zeros(0, np.float32)
    for piece in sound:
        rest = np.concatenate([rest, piece])
        while len(rest) >= _BLOCK * FRAME:
            yield rest[: _BLOCK * FRAME]
            rest = rest[_BLOCK * FRAME :]
    if len(rest):
        yield np.pad(rest, (0, -len(rest) % FRAME))


def speech_spans(probabilities: NDArray[np.float32]) -> list[Span]:
    """The intervals that hold speech, by time and without overlap, in seconds.

    Frames of probabilities .1, .6, .4, .4, .2 hold speech from the second to the fourth.

    Args:
        probabilities: float32 [num_frames], of `SpeechDetector.probabilities`.
    """
    spans: list[Span] = []
    begin: int | None = None
    for number, probability in enumerate([*probabilities.tolist(), 0.0]):
        if begin is None and probability >= _BEGINS:
            begin = number
        elif begin is not None and probability < _ENDS:
            span = Span(begin * FRAME_S, number * FRAME_S)
            if spans and span.start_s - spans[-1].end_s < _PAUSE_S:
                spans[-1] = Span(spans[-1].start_s, span.end_s)
            else:
                spans.append(span)
            begin = None
    padded: list[Span] = []
    for start_s, end_s in spans:
        if end_s - start_s >= _LEAST_S:
            free_s = padded[-1].end_s if padded else 0.0
            padded.append(Span(max(free_s, start_s - _PAD_S), min(len(probabilities) * FRAME_S, end_s + _PAD_S)))
    return padded


def speech_windows(spans: Sequence[Span], probabilities: NDArray[np.float32]) -> list[Span]:
    """Intervals of up to 30 s that together hold all speech: neighbours share one where the silence between is short.

    Args:
        spans: of `speech_spans`.
        probabilities: what they were made of.
    """
    windows: list[Span] = []
    for span in _of_one_window(spans, probabilities):
        last = windows[-1] if windows else None
        if last and span.end_s - last.start_s <= WINDOW_S and span.start_s - last.end_s <= _SILENCE_S:
            windows[-1] = Span(last.start_s, span.end_s)
        else:
            windows.append(span)
    return windows


def _of_one_window(spans: Sequence[Span], probabilities: NDArray[np.float32]) -> Iterator[Span]:
    """The spans, with those cut that are too long for one window."""
    for start_s, end_s in spans:
        while end_s - start_s > WINDOW_S:
            first, last = (round((start_s + offset_s) / FRAME_S) for offset_s in (WINDOW_S - _CUT_S, WINDOW_S))
            cut_s = (first + int(probabilities[first:last].argmin())) * FRAME_S
            yield Span(start_s, cut_s)
            start_s = cut_s
        yield Span(start_s, end_s)
