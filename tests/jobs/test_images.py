from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageChops

from jobs.images import check_output, confusion, film_strip, gif, save_png, sheet
from schemas.errors import UsageError

RED, GREEN, BLUE = (200, 30, 40), (20, 180, 60), (40, 60, 210)


def plain(colour: tuple[int, int, int], width: int = 160, height: int = 120) -> NDArray[np.uint8]:
    return np.full((height, width, 3), colour, np.uint8)


def boxes(picture: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int] | None:
    """Left, top, right and bottom of where a colour is."""
    found = np.argwhere((np.asarray(picture) == colour).all(axis=-1))
    if not len(found):
        return None
    (top, left), (bottom, right) = found.min(axis=0), found.max(axis=0) + 1
    return int(left), int(top), int(right), int(bottom)


def test_a_sheet_has_a_row_of_frames_beside_each_name() -> None:
    picture = sheet([("jump", [plain(RED), plain(GREEN)]), ("run", [plain(BLUE, 90, 180)])])
    red, green, blue = boxes(picture, RED), boxes(picture, GREEN), boxes(picture, BLUE)
    assert red
    assert green
    assert blue
    assert (red[2] - red[0], red[3] - red[1]) == (160, 120)
    assert (green[0] - red[2], green[1]) == (4, red[1])
    assert (blue[2] - blue[0], blue[3] - blue[1]) == (60, 120)  # whole, and in its own shape
    assert blue[1] - red[3] == 4
    assert picture.size == (green[2] + 4, blue[3] + 4)
    ink = ImageChops.invert(picture.convert("L")).crop((0, 0, red[0], picture.height))
    assert all(ink.crop((0, top, red[0], top + 120)).getbbox() for top in (red[1], blue[1]))  # a name in each row


def test_a_film_strip_has_a_line_of_text_over_each_row() -> None:
    long = "a very long path " * 30
    picture = film_strip([("first", [plain(RED)] * 3), (long, [plain(GREEN)] * 2)])
    red, green = boxes(picture, RED), boxes(picture, GREEN)
    assert red
    assert green
    assert (red[0], red[2], green[2]) == (4, 4 + 3 * 160 + 2 * 4, 4 + 2 * 160 + 4)
    ink = ImageChops.invert(picture.convert("L"))
    first, second = (ink.crop((0, box[1] - 22, picture.width, box[1])).getbbox() for box in (red, green))
    assert first
    assert second
    assert first[2] < 60
    assert picture.width - 20 < second[2] <= picture.width - 4  # cut off where it would run out of the picture


def test_an_animation_takes_as_long_as_it_should(tmp_path: Path) -> None:
    frames = [plain((shade, 90, 90), 64, 48) for shade in range(0, 240, 15)]
    gif(frames, tmp_path / "a.gif", fps=16 / 2.5)
    shown, lengths_ms = [], []
    with Image.open(tmp_path / "a.gif") as animation:
        assert (animation.format, animation.size, animation.info["loop"]) == ("GIF", (64, 48), 0)
        for number in range(16):
            animation.seek(number)
            shown.append(np.asarray(animation.convert("RGB")))
            lengths_ms.append(animation.info["duration"])
        with pytest.raises(EOFError):
            animation.seek(16)
    assert sum(lengths_ms) == 2500
    assert set(lengths_ms) == {150, 160}
    assert max(int(np.abs(one.astype(int) - other).max()) for one, other in zip(shown, frames, strict=True)) <= 4


def test_an_animation_goes_no_faster_than_players_do(tmp_path: Path) -> None:
    gif([plain(RED), plain(GREEN)], tmp_path / "a.gif", fps=1000)
    with Image.open(tmp_path / "a.gif") as animation:
        assert animation.info["duration"] == 20


@pytest.mark.parametrize("count", [2, 30, 100])
def test_a_confusion_matrix_of_any_number_of_classes_is_drawn(tmp_path: Path, count: int) -> None:
    matrix = np.diag(np.arange(count)).astype(np.int64)  # class 0 has no example
    with np.errstate(all="raise"):
        confusion(matrix, [rf"class {n} $\frac$" for n in range(count)], tmp_path / "m.png")  # no mathematics in names
    with Image.open(tmp_path / "m.png") as picture:
        assert picture.format == "PNG"
        assert 400 < picture.width < 3000
        pixels = np.asarray(picture.convert("RGB")).astype(int)
    dark = (np.abs(pixels - (8, 48, 107)).sum(axis=-1) < 12).mean()
    assert dark > 0.3 / count * (0.2 if count == 2 else 0.6)


def test_colours_are_shares_of_the_true_class(tmp_path: Path) -> None:
    heights = []
    for matrix in ([[1, 9], [0, 5]], [[5, 0], [9, 1]]):  # all of the second class is right, then all of the first
        confusion(np.array(matrix), ["a", "b"], tmp_path / "m.png")
        with Image.open(tmp_path / "m.png") as picture:
            dark = np.abs(np.asarray(picture.convert("RGB")).astype(int) - (8, 48, 107)).sum(axis=-1) < 12
        heights.append(float(np.argwhere(dark)[:, 0].mean()))
    assert heights[0] > heights[1] + 50


def test_counts_are_written_into_cells_that_have_room(tmp_path: Path) -> None:
    drawn = []
    for count in (5, 7):
        confusion(np.full((3, 3), count), ["a", "b", "c"], tmp_path / "m.png")
        with Image.open(tmp_path / "m.png") as picture:
            drawn.append(np.asarray(picture.convert("RGB")).astype(int))
    assert (drawn[0] != drawn[1]).any()  # the shares are the same, the numbers are not
    drawn = []
    for value in (1_000_001, 1_000_007):
        confusion(np.full((100, 100), value), [str(n) for n in range(100)], tmp_path / "m.png")
        with Image.open(tmp_path / "m.png") as picture:
            drawn.append(np.asarray(picture.convert("RGB")).astype(int))
    assert (drawn[0] == drawn[1]).all()


def test_where_a_picture_cannot_go_is_said_before_it_is_drawn(tmp_path: Path) -> None:
    film = tmp_path / "film.gif"
    film.write_bytes(b"x")
    (tmp_path / "link.gif").symlink_to(film)
    (tmp_path / "folder.gif").mkdir()
    check_output("output", tmp_path / "new.GIF", ".gif", [film])
    for path, message in {
        tmp_path / "a.png": "got 'DIR/a.png', expected a name that ends in .gif; name it so",
        tmp_path / "no" / "a.gif": "no such folder: 'DIR/no'; make it first, or name another",
        tmp_path / "folder.gif": "'DIR/folder.gif' is a folder, expected a file; name one",
        film: "'DIR/film.gif' is what is read, and would be lost; name another file",
        tmp_path / "link.gif": "'DIR/link.gif' is what is read, and would be lost; name another file",
    }.items():
        with pytest.raises(UsageError) as caught:
            check_output("output", path, ".gif", [film])
        assert str(caught.value).replace(str(tmp_path), "DIR") == f"output: {message}"
    with pytest.raises(UsageError, match="cannot be written: No such file or directory"):
        save_png(sheet([("a", [plain(RED)])]), tmp_path / "no" / "a.png")
