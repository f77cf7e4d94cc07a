"""Made-up frames with known text, of 1,280 x 720, for `benchmarks.screen_text`."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

Pixels = NDArray[np.uint8]
Colour = tuple[int, int, int]

WIDTH, HEIGHT = 1280, 720

LATIN_FONT = Path("/usr/share/fonts/truetype/dejavu/DejaVuSans.ttf")  # Debian's fonts-dejavu-core
CHINESE_FONT = Path("/usr/share/fonts/opentype/noto/NotoSansCJK-Regular.ttc")  # Debian's fonts-noto-cjk

_WORDS = (
    "the window opens slowly and nobody answers because morning light falls on empty chairs while seven people wait for "
    "another train across town where every corner keeps small secrets about summer water under old bridges"
)
_UMLAUTS = "Straße über Äpfel Öl größer Übung schön Fußgänger Käse König Müller Grüße Tür naïve café señor façade Łódź"
_CHINESE = "今天天气很好我们一起去公园走路明天下午三点开会请大家准时参加欢迎来到北京大学图书馆新闻联播电影开始了你在哪里工作"


class Line(NamedTuple):
    """A line of text in a frame: what it says, the box [left, top, right, bottom] in pixels, and the angle in degrees."""

    text: str
    box: tuple[float, float, float, float]
    angle_deg: float = 0.0


class Picture(NamedTuple):
    """A frame, uint8 [720, 1280, 3], RGB, and the text on it."""

    pixels: Pixels
    lines: list[Line]


def font_of(text: str, size: int) -> ImageFont.FreeTypeFont | None:
    """A font that has the characters; None where it is not installed."""
    path = LATIN_FONT if all(ord(character) < 0x2E80 for character in text) else CHINESE_FONT
    return ImageFont.truetype(path, size) if path.exists() else None


def busy(rng: np.random.Generator) -> Pixels:
    """A picture full of shapes and edges, without text."""
    picture = np.zeros((HEIGHT, WIDTH, 3), np.float32)
    for cells, weight in ((6, 0.5), (24, 0.3), (96, 0.2)):
        noise = rng.random((cells * 9 // 16, cells, 3), dtype=np.float32)
        picture += weight * cv2.resize(noise, (WIDTH, HEIGHT), interpolation=cv2.INTER_CUBIC)
    pixels = (picture * 255).clip(0, 255).astype(np.uint8)
    for _ in range(40):
        centre = int(rng.integers(WIDTH)), int(rng.integers(HEIGHT))
        colour = [int(level) for level in rng.integers(0, 256, 3)]
        cv2.ellipse(pixels, centre, (int(rng.integers(10, 120)), int(rng.integers(10, 90))), 30, 0, 360, colour, 3)
    return pixels


def levels_of_contrast(ratio: float) -> tuple[Colour, Colour]:
    """Grey levels of ink and a dark ground with the contrast ratio of WCAG 2: (L1 + .05) / (L2 + .05)."""
    dark = 0.0 if ratio >= 21 else 0.05
    bright = min(1.0, ratio * (dark + 0.05) - 0.05)
    ink, ground = (round(255 * _coded(light)) for light in (bright, dark))
    return (ink,) * 3, (ground,) * 3


def _coded(light: float) -> float:
    """The sRGB value of a relative luminance (IEC 61966-2-1)."""
    return 12.92 * light if light <= 0.0031308 else 1.055 * light ** (1 / 2.4) - 0.055


def words(rng: np.random.Generator, count: int, vocabulary: str = _WORDS) -> str:
    """That many words, the first with a capital."""
    text = " ".join(rng.choice(vocabulary.split(), count))
    return text[0].upper() + text[1:]


def draw(
    pixels: Pixels, text: str, left: int, top: int, size: int, *, ink: Colour, outline: int = 0, angle_deg: float = 0.0
) -> Line:
    """Draw a line into a picture, turned counter-clockwise around its middle."""
    font = font_of(text, size)
    assert font is not None
    across, down = math.ceil(font.getlength(text)) + 2 * outline + 8, round(size * 1.6) + 2 * outline
    layer = Image.new("RGBA", (across, down), (*ink, 0))
    at = (outline + 4, outline + size // 8)
    ImageDraw.Draw(layer).text(at, text, font=font, fill=(*ink, 255), stroke_width=outline, stroke_fill=(0, 0, 0, 255))
    layer = layer.rotate(angle_deg, expand=True, resample=Image.Resampling.BICUBIC)
    image = Image.fromarray(pixels)
    image.paste(layer, (left, top), layer)
    pixels[:] = np.asarray(image)
    return Line(text, (left, top, left + layer.width, top + layer.height), angle_deg)


def page(rng: np.random.Generator, size: int, ink: Colour, ground: Colour) -> Picture:
    """Up to ten lines of one size on a plain ground."""
    pixels = np.full((HEIGHT, WIDTH, 3), ground, np.uint8)
    pitch = max(36, size * 2)
    count = max(2, min(9, round(220 / size)))
    tops = range(30, min(HEIGHT - pitch, 30 + 10 * pitch), pitch)
    return Picture(pixels, [draw(pixels, words(rng, count), 60, top, size, ink=ink) for top in tops])


def _slide(rng: np.random.Generator) -> Picture:
    pixels = np.full((HEIGHT, WIDTH, 3), (244, 244, 238), np.uint8)
    lines = [draw(pixels, words(rng, 4), 80, 50, 44, ink=(20, 40, 110))]
    return Picture(
        pixels, lines + [draw(pixels, words(rng, 6), 120, top, 26, ink=(40, 40, 40)) for top in range(170, 600, 70)]
    )


def _titles(rng: np.random.Generator) -> Picture:
    pixels = busy(rng) // 2
    return Picture(pixels, [draw(pixels, words(rng, 3).upper(), 200, 300, 64, ink=(250, 240, 200))])


def _subtitles(rng: np.random.Generator) -> Picture:
    pixels = busy(rng)
    return Picture(pixels, [draw(pixels, words(rng, 6), 300, top, 30, ink=(255, 255, 255), outline=2) for top in (590, 645)])


def _plates(rng: np.random.Generator) -> Picture:
    pixels, lines = busy(rng), []
    for row in range(3):
        letters = "".join(rng.choice(list("ABCDEFHKLMNPRSTUVWXYZ"), 4))
        text = f"{letters[:2]} {letters[2:]} {int(rng.integers(100, 10_000))}"
        left, top, size = 120 + 380 * row, 120 + 190 * row, (20, 28, 36)[row]
        across, down = round(size * 6.8), round(size * 1.7)
        cv2.rectangle(pixels, (left - 8, top - 6), (left + across, top + down), (245, 245, 240), -1)
        cv2.rectangle(pixels, (left - 8, top - 6), (left + across, top + down), (15, 15, 15), 2)
        lines.append(draw(pixels, text, left, top, size, ink=(15, 15, 15)))
    return Picture(pixels, lines)


def _vocabulary(vocabulary: str) -> Callable[[np.random.Generator], Picture]:
    def make(rng: np.random.Generator) -> Picture:
        pixels = np.full((HEIGHT, WIDTH, 3), (25, 45, 70), np.uint8)
        tops = range(60, 640, 80)
        return Picture(pixels, [draw(pixels, words(rng, 5, vocabulary), 100, top, 30, ink=(240, 240, 240)) for top in tops])

    return make


def _chinese(rng: np.random.Generator) -> Picture:
    pixels, lines = busy(rng), []
    for top, size in ((80, 24), (200, 32), (340, 44), (600, 34)):
        first = int(rng.integers(0, len(_CHINESE) - 14))
        lines.append(draw(pixels, _CHINESE[first : first + 14], 200, top, size, ink=(255, 255, 255), outline=2))
    return Picture(pixels, lines)


def _turned(angle_deg: float) -> Callable[[np.random.Generator], Picture]:
    def make(rng: np.random.Generator) -> Picture:
        pixels, lines = np.full((HEIGHT, WIDTH, 3), (60, 80, 60), np.uint8), []
        for index in range(3):
            at = (150 + 320 * index, 60) if angle_deg >= 45 else (200, 40 + 220 * index)
            lines.append(draw(pixels, words(rng, 4), *at, 28, ink=(245, 245, 245), angle_deg=angle_deg))
        return Picture(pixels, lines)

    return make


KINDS: dict[str, Callable[[np.random.Generator], Picture]] = {
    "slides": _slide,
    "titles over a picture": _titles,
    "subtitles over a picture": _subtitles,
    "number plates": _plates,
    "umlauts and accents": _vocabulary(_UMLAUTS),
    "Chinese over a picture": _chinese,
    "turned by 5°": _turned(5),
    "turned by 15°": _turned(15),
    "turned by 90°": _turned(90),
}


def of_kind(kind: str, count: int) -> Iterator[Picture]:
    """Pictures of a kind, the same on every run."""
    for seed in range(count):
        yield KINDS[kind](np.random.default_rng(1000 + seed))
