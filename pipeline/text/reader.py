"""Reads the text of single frames, by the PP-OCRv6 models that the wheel of RapidOCR ships. Nothing is downloaded.

RapidOCR is used for its models, for what it does before and after them, and for running them. Done here:

- Sizes. RapidOCR enlarges a frame until its shorter side has 736 pixels, which makes 94,000 x 736 of a strip of 1,280 x 10.
  Here the longer side decides, so that a frame costs no more for its shape. Lines are cut from the frame as it came.
- Widths of lines. OpenVINO keeps what it prepares for each shape of input, so memory grew by 1 MB for every line of another
  width. Lines are padded to one of a few widths and recognised one by one, which is no slower on a CPU.
- Lines that stand on their heads. The wheel's model for them turned 1 of 12 upright lines over busy pictures. So lines are
  read as they are, and those of which the model is not sure are read turned, too.
- The number of lines, which bounds the time for a frame.
"""

from __future__ import annotations

import math
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray

from schemas.channels import Box
from schemas.errors import ModelError

if TYPE_CHECKING:
    from collections.abc import Sequence

Pixels = NDArray[np.uint8]
TextEngine = Literal["openvino", "onnxruntime"]

MODELS = {"Det": "PP-OCRv6_det_small.onnx", "Rec": "PP-OCRv6_rec_small.onnx"}
"""Files of the wheel: what finds lines, and what reads them."""

_INSTALL = "pip install 'vidsift[ocr]'"

# For finding lines, frames that are no larger than the detector's side are enlarged up to this factor, and up to this many
# times that side: of a real clip of 640 x 480, ten small lines were found at 1,280 pixels and one at 960.
_MOST_ENLARGED = 2.0
_ENLARGED_SIDE = 4 / 3

# Both sides become multiples of this many pixels: the model needs 32, and with 64 there are fewer shapes to keep.
_SIDE_STEP = 64

# A frame with a shorter side holds no line that could be read; and what is thinner in a frame is none.
_LEAST_SIDE = 8
_LEAST_LINE = 3

# A shape in a picture that looks like a letter or two is larger than letters mostly are: fewer characters than this are no
# line where they are higher than this share of the frame.
_FEW, _HIGH = 3, 0.3

# Readings with less confidence are doubtful: such as a line's that stands on its head.
_SURE = 0.9

# Lines that are read of a frame; of more, the tallest.
_MAX_LINES = 200

# The recogniser takes lines of this height. They are padded to one of these widths, or squeezed to the last.
_LINE_HEIGHT = 48
_LINE_WIDTHS = (320, 480, 640, 960, 1280, 1920, 2560)
_GREY = 127  # near 0 for the model, as RapidOCR pads


class Reading(NamedTuple):
    """A line of text in a frame.

    Attributes:
        box: the upright rectangle around it.
        confidence: the mean of the characters', from 0 to 1.
    """

    text: str
    box: Box
    confidence: float


class TextReader:
    """Reads frames. It holds models (100 to 400 MB), and is not to be used by several threads at once."""

    def __init__(
        self,
        *,
        engine: TextEngine | None = None,
        num_threads: int = 1,
        detect_side: int = 960,
        least_confidence: float = 0.6,
    ) -> None:
        """Load the models.

        Args:
            engine: what computes them; None takes OpenVINO where it is installed.
            num_threads: threads to compute with; OpenCV keeps to them as well, in all of the process.
            detect_side: the longer side in pixels at which lines of larger frames are looked for. With 960 instead of 1,280,
                lines of 10 pixels in frames of 1,280 x 720 were found as well, and lines of 64 over busy pictures better.
            least_confidence: readings with less are left out.

        Raises:
            ModelError: RapidOCR or an engine is not installed, or its wheel holds other models.
        """
        self._rapidocr = _load_rapidocr(engine or available_engine(), num_threads)
        cv2.setNumThreads(num_threads)
        self._crop = import_module("rapidocr.utils.process_img").get_rotate_crop_image
        self._detect_side = detect_side
        self._least_confidence = least_confidence

    def read(self, frame: Pixels) -> list[Reading]:
        """The lines of a frame, from top to bottom.

        Args:
            frame: uint8 [height, width, 3], RGB, of any size.
        """
        height, width = frame.shape[:2]
        if min(height, width) < _LEAST_SIDE:
            return []
        picture = np.ascontiguousarray(frame[:, :, ::-1])  # RapidOCR's models see BGR
        outlines = self._outlines(picture)
        lines = [self._crop(picture, outline.copy()) for outline in outlines]
        readings = []
        for outline, (text, confidence) in zip(outlines, self._recognised(lines), strict=True):
            reading = Reading(" ".join(text.split()), _box(outline, width, height), confidence)
            if confidence >= self._least_confidence and _is_text(reading):
                readings.append(reading)
        return readings

    def _outlines(self, picture: Pixels) -> list[NDArray[np.float32]]:
        """Float32 [4, 2] for each line: its corners in pixels, clockwise from where its text begins or ends."""
        height, width = picture.shape[:2]
        scale = self._detect_side / max(height, width)
        if scale >= 1:
            scale = min(scale * _ENLARGED_SIDE, _MOST_ENLARGED)
        size = [max(_SIDE_STEP, round(side * scale / _SIDE_STEP) * _SIDE_STEP) for side in (width, height)]
        found = self._rapidocr(
            cv2.resize(picture, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR),
            use_det=True,
            use_cls=False,
            use_rec=False,
        ).boxes
        if found is None:
            return []
        to_frame = np.array([width / size[0], height / size[1]], np.float32)
        outlines = [np.asarray(each, np.float32) * to_frame for each in found]
        outlines = [outline for outline in outlines if _thickness(outline) >= _LEAST_LINE]
        if len(outlines) > _MAX_LINES:
            tallest = sorted(range(len(outlines)), key=lambda index: -_thickness(outlines[index]))[:_MAX_LINES]
            outlines = [outlines[index] for index in sorted(tallest)]
        return outlines

    def _recognised(self, lines: Sequence[Pixels]) -> list[tuple[str, float]]:
        """The text of each line, and its confidence; what is not sure is read the other way up, too."""
        found = self._read_upright(lines)
        doubtful = [index for index, (_, confidence) in enumerate(found) if confidence < _SURE]
        turned = self._read_upright([np.ascontiguousarray(lines[index][::-1, ::-1]) for index in doubtful])
        for index, other in zip(doubtful, turned, strict=True):
            found[index] = max(found[index], other, key=lambda reading: reading[1])
        return found

    def _read_upright(self, lines: Sequence[Pixels]) -> list[tuple[str, float]]:
        if not lines:
            return []
        found = self._rapidocr.recognize_txt([_scaled(line) for line in lines])
        return [(str(text), float(score)) for text, score in zip(found.txts, found.scores, strict=True)]


def available_engine() -> TextEngine:
    """OpenVINO where it is installed: it takes a quarter of ONNX Runtime's time with bf16, and half of it without.

    Raises:
        ModelError: neither is installed.
    """
    if find_spec("openvino"):
        return "openvino"
    if find_spec("onnxruntime"):
        return "onnxruntime"
    raise ModelError(f"reading text needs OpenVINO or ONNX Runtime, and neither is installed; {_INSTALL}")


def _load_rapidocr(engine: TextEngine, num_threads: int) -> Any:
    if not find_spec("rapidocr"):
        raise ModelError(f"reading text needs RapidOCR, which is not installed; {_INSTALL}")
    if not find_spec(engine):
        raise ModelError(f"reading text by {engine} needs the package {engine}, which is not installed; {_INSTALL}")
    rapidocr = import_module("rapidocr")
    folder = Path(str(rapidocr.__file__)).parent / "models"
    if missing := [name for name in MODELS.values() if not (folder / name).is_file()]:
        raise ModelError(f"RapidOCR's folder {folder} lacks {', '.join(missing)}, expected in its wheel; {_INSTALL}")
    settings: dict[str, Any] = {
        "Global.log_level": "critical",
        "Global.use_preprocess_img": False,
        "Global.use_vertical_padding": False,
        "Det.limit_type": "max",
        "Det.limit_side_len": 1 << 20,  # sizes are chosen here
        "Rec.rec_batch_num": 1,
        "EngineConfig.onnxruntime.intra_op_num_threads": num_threads,
        "EngineConfig.onnxruntime.inter_op_num_threads": 1,
        "EngineConfig.openvino.inference_num_threads": num_threads,
        "EngineConfig.openvino.enable_cpu_pinning": False,  # else every process takes the first cores, in use or not
    }
    for task, name in MODELS.items():  # with a path, RapidOCR does not look for a newer file
        settings[f"{task}.model_path"] = str(folder / name)
        settings[f"{task}.engine_type"] = rapidocr.EngineType(engine)
    return rapidocr.RapidOCR(params=settings)


def _is_text(reading: Reading) -> bool:
    characters = sum(map(str.isalnum, reading.text))
    return characters >= _FEW or (characters > 0 and reading.box.height <= _HIGH)


def _thickness(outline: NDArray[np.float32]) -> float:
    """The shorter side of a line's outline, in pixels."""
    return min(math.dist(outline[0], outline[1]), math.dist(outline[1], outline[2]))


def _scaled(line: Pixels) -> Pixels:
    """A line as the recogniser takes it, uint8 [48, one of its widths, 3], padded on the right or squeezed."""
    height, width = line.shape[:2]
    across = min(max(1, round(width * _LINE_HEIGHT / height)), _LINE_WIDTHS[-1])
    how = cv2.INTER_AREA if height > _LINE_HEIGHT else cv2.INTER_LINEAR
    scaled = np.full((_LINE_HEIGHT, next(each for each in _LINE_WIDTHS if each >= across), 3), _GREY, np.uint8)
    scaled[:, :across] = cv2.resize(line, (across, _LINE_HEIGHT), interpolation=how)
    return scaled


def _box(outline: NDArray[np.float32], width: int, height: int) -> Box:
    left, top = (outline.min(axis=0) / (width, height)).clip(0, 1)
    right, bottom = (outline.max(axis=0) / (width, height)).clip(0, 1)
    return Box(float(left), float(top), float(right - left), float(bottom - top))
