"""Pictures: contact sheets, film strips, animations and confusion matrices."""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from schemas.errors import UsageError

Frames = Sequence[NDArray[np.uint8]]
Row = tuple[str, Frames]

# All in pixels.
_TILE = (160, 120)  # width and height that a frame is fitted into
_GAP = 4
_LINE = 22  # height of a line of text
_FONT_SIZE = 14
_MAX_NAME_WIDTH = 240

_MIN_FRAME_CS = 2  # hundredths of a second; players slow shorter frames down to ten a second


def check_output(argument: str, path: Path, ending: str, inputs: Sequence[str | Path] = ()) -> None:
    """Refuse a file that cannot be written, before anything is decoded for it.

    Args:
        argument: the argument that named it, for messages.
        path: the file to write.
        ending: how its name must end, such as ``.png``.
        inputs: files that must not be overwritten.

    Raises:
        UsageError: the name ends otherwise, its folder does not exist, or it is one of ``inputs``.
    """
    if path.suffix.lower() != ending:
        message = f"got {str(path)!r}, expected a name that ends in {ending}; name it so"
        raise UsageError(message, argument=argument)
    if not path.parent.is_dir():
        message = f"no such folder: {str(path.parent)!r}; make it first, or name another"
        raise UsageError(message, argument=argument)
    if path.is_dir():
        raise UsageError(f"{str(path)!r} is a folder, expected a file; name one", argument=argument)
    if path.exists() and any(os.path.exists(other) and path.samefile(other) for other in inputs):
        message = f"{str(path)!r} is what is read, and would be lost; name another file"
        raise UsageError(message, argument=argument)


def sheet(rows: Sequence[Row]) -> Image.Image:
    """A contact sheet: rows of frames, each row with its name to the left."""
    font = _font()
    names = [_fitted(name, font, _MAX_NAME_WIDTH) for name, _ in rows]
    left = max((int(font.getlength(name)) for name in names), default=0) + 3 * _GAP
    page = _page(left + _width(rows), len(rows) * (_TILE[1] + _GAP) + _GAP)
    draw = ImageDraw.Draw(page)
    for number, (name, (_, frames)) in enumerate(zip(names, rows, strict=True)):
        top = _GAP + number * (_TILE[1] + _GAP)
        draw.text((_GAP, top + _TILE[1] // 2), name, fill="black", font=font, anchor="lm")
        _paste(page, frames, left, top)
    return page


def film_strip(rows: Sequence[Row]) -> Image.Image:
    """A film strip: rows of frames, each row with a line of text above it."""
    font = _font()
    height = _LINE + _TILE[1] + _GAP
    page = _page(_width(rows) + _GAP, len(rows) * height + _GAP)
    draw = ImageDraw.Draw(page)
    for number, (text, frames) in enumerate(rows):
        top = _GAP + number * height
        draw.text((_GAP, top + _LINE // 2), _fitted(text, font, page.width - 2 * _GAP), fill="black", font=font, anchor="lm")
        _paste(page, frames, _GAP, top + _LINE)
    return page


def gif(frames: Frames, path: Path, fps: float) -> None:
    """Write frames as an animation that repeats, each with the 256 colours that suit it best.

    Each frame is shown for 1/fps seconds. The format counts hundredths of a second; they are rounded so that the whole
    animation takes as long as it should. Two hundredths is the least, since players go no faster.

    Args:
        frames: uint8 [height, width, 3] each, RGB.
        path: the file.
        fps: frames per second.

    Raises:
        UsageError: the file cannot be written.
    """
    ends_cs = [round(100 * (number + 1) / fps) for number in range(len(frames))]
    durations_ms = [10 * max(_MIN_FRAME_CS, end - begin) for begin, end in zip([0, *ends_cs], ends_cs, strict=False)]
    pictures = [Image.fromarray(frame).quantize(256, Image.Quantize.MEDIANCUT, dither=Image.Dither.NONE) for frame in frames]
    try:
        pictures[0].save(
            path, "GIF", save_all=True, append_images=pictures[1:], duration=durations_ms, loop=0, disposal=1, optimize=False
        )
    except OSError as exc:
        raise UsageError(f"{str(path)!r} cannot be written: {exc.strerror or exc}") from exc


def save_png(picture: Image.Image, path: Path) -> None:
    """Write a picture as PNG.

    Raises:
        UsageError: the file cannot be written.
    """
    try:
        picture.save(path, "PNG")
    except OSError as exc:
        raise UsageError(f"{str(path)!r} cannot be written: {exc.strerror or exc}") from exc


def confusion(matrix: NDArray[np.int64], labels: Sequence[str], path: Path) -> None:
    """Write a confusion matrix as PNG. Colours are shares of a row; numbers are counts, where the cells have room.

    Args:
        matrix: int64 [n, n]; row i counts the examples of class i by the class they were taken for.
        labels: the n classes' names.
        path: the file.

    Raises:
        UsageError: the file cannot be written.
    """
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    count = len(labels)
    cell_in = min(0.8, max(0.17, 9 / count))  # inches; 0.17 is enough for a name of 7 points
    label_pt = min(11.0, max(7.0, cell_in * 40))
    names = [label.replace("\n", " ") if len(label) <= 28 else label[:27] + "…" for label in labels]
    margin_in = 0.6 + max(map(len, names)) * label_pt * 0.6 / 72
    side_in = count * cell_in
    width, height = margin_in + side_in + 1.2, margin_in + side_in + 0.4
    figure = Figure(figsize=(width, height), dpi=120)
    FigureCanvasAgg(figure)  # draws into memory, also where there is no display
    axes = figure.add_axes((margin_in / width, margin_in / height, side_in / width, side_in / height))
    shares = matrix / np.maximum(matrix.sum(axis=1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    bar = figure.add_axes(((margin_in + side_in + 0.2) / width, margin_in / height, 0.15 / width, side_in / height))
    figure.colorbar(image, cax=bar).set_label("share of the true class")
    axes.set_xticks(range(count), names, rotation=90, fontsize=label_pt, parse_math=False)
    axes.set_yticks(range(count), names, fontsize=label_pt, parse_math=False)
    axes.set_xlabel("predicted")
    axes.set_ylabel("true")
    digits = len(str(int(matrix.max(initial=0))))
    number_pt = min(11.0, cell_in * 72 * 0.9 / (0.62 * digits), cell_in * 72 * 0.6)
    if number_pt >= 5:
        for row, column in np.argwhere(matrix > 0):
            colour = "white" if shares[row, column] > 0.5 else "black"
            axes.text(column, row, str(matrix[row, column]), ha="center", va="center", fontsize=number_pt, color=colour)
    try:
        figure.savefig(path, format="png")
    except OSError as exc:
        raise UsageError(f"{str(path)!r} cannot be written: {exc.strerror or exc}") from exc


def _font() -> ImageFont.FreeTypeFont:
    font = ImageFont.load_default(_FONT_SIZE)
    assert isinstance(font, ImageFont.FreeTypeFont)  # Pillow's own, built into every wheel
    return font


def _page(width: int, height: int) -> Image.Image:
    return Image.new("RGB", (width, height), "white")


def _width(rows: Sequence[Row]) -> int:
    return max((len(frames) for _, frames in rows), default=0) * (_TILE[0] + _GAP)


def _fitted(text: str, font: ImageFont.FreeTypeFont, width: int) -> str:
    """The text on one line of at most ``width`` pixels; a longer one is cut off."""
    text = " ".join(text.split())
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(f"{text}...") > width:
        text = text[:-1]
    return f"{text}..."


def _paste(page: Image.Image, frames: Frames, left: int, top: int) -> None:
    """Paste frames into a row of tiles, each scaled to fit and in its own aspect ratio."""
    for number, frame in enumerate(frames):
        height, width = frame.shape[:2]
        scale = min(_TILE[0] / width, _TILE[1] / height)
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        picture = Image.fromarray(frame).resize(size)
        x = left + number * (_TILE[0] + _GAP) + (_TILE[0] - size[0]) // 2
        page.paste(picture, (x, top + (_TILE[1] - size[1]) // 2))
