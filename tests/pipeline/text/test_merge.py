"""One row for a line that is read in frame after frame."""

from __future__ import annotations

from collections.abc import Sequence

from pipeline.text.merge import merged
from pipeline.text.reader import Reading
from schemas.channels import Box, ScreenText
from schemas.records import Span

BELOW = Box(0.3, 0.85, 0.4, 0.08)


def read(text: str, box: Box = BELOW, confidence: float = 0.95) -> Reading:
    return Reading(text, box, confidence)


def rows_of(*frames: Sequence[Reading]) -> list[ScreenText]:
    """The rows of frames of a second each."""
    return list(merged(((Span(index, index + 1), readings) for index, readings in enumerate(frames)), step_s=1.0))


def times_of(rows: Sequence[ScreenText]) -> list[tuple[str, float, float]]:
    return [(row.text, row.start_s, row.end_s) for row in rows]


def test_a_line_is_one_row_from_the_first_reading_to_the_last() -> None:
    rows = rows_of([], [read("Good morning")], [read("Good morning")], [read("Good morning")], [])
    assert rows == [ScreenText(1, 4, "Good morning", BELOW, 0.95)]


def test_the_best_reading_gives_the_text() -> None:
    rows = rows_of(
        [read("Good rnorning", confidence=0.8)],
        [read("Good morning", confidence=0.99)],
        [read("Good mornlng", confidence=0.7)],
    )
    assert [(*row[:3], row.confidence) for row in rows] == [(0, 3, "Good morning", 0.99)]


def test_one_look_without_it_is_bridged_and_two_are_not() -> None:
    line = [read("Good morning")]
    assert times_of(rows_of(line, [], line)) == [("Good morning", 0, 3)]
    assert times_of(rows_of(line, [], [], line)) == [("Good morning", 0, 1), ("Good morning", 3, 4)]


def test_a_doubtful_reading_that_does_not_come_again_is_no_row() -> None:
    assert (
        rows_of(
            [read("PRPPRR", confidence=0.7)], [], [], [read("MISFITS", confidence=0.7)], [read("MISFITS", confidence=0.65)]
        )[0].text
        == "MISFITS"
    )
    assert rows_of([], [read("PRPPRR", confidence=0.79)]) == []
    assert len(rows_of([], [read("PRPPRR", confidence=0.8)])) == 1


def test_subtitles_in_one_place_are_rows_of_their_own() -> None:
    rows = rows_of([read("Good morning")], [read("How are you?")], [read("Fine, thanks.")])
    assert times_of(rows) == [("Good morning", 0, 1), ("How are you?", 1, 2), ("Fine, thanks.", 2, 3)]


def test_lines_that_move_together_stay_rows_of_their_own() -> None:
    """Credits that scroll by a line's distance: the same texts, each where another was a moment ago."""
    names = ["Anna Lind", "Bert Krone", "Carla Weiss", "Dora Stein"]

    def screen(first: int) -> list[Reading]:
        tops = [(name, 0.2 + 0.2 * (index - first)) for index, name in enumerate(names)]
        return [read(name, Box(0.3, top, 0.3, 0.06)) for name, top in tops if 0 <= top < 1]

    rows = rows_of(*(screen(first) for first in range(-3, 5)))
    assert sorted(times_of(rows)) == [("Anna Lind", 0, 5), ("Bert Krone", 1, 6), ("Carla Weiss", 2, 7), ("Dora Stein", 3, 8)]
    assert {row.text: round(row.box.top, 6) for row in rows}["Dora Stein"] == 0.8


def test_a_sign_is_one_row_while_the_camera_pans_past_it() -> None:
    rows = rows_of(*([read("EXIT", Box(left, 0.4, 0.1, 0.08))] for left in (0.0, 0.3, 0.6, 0.9)))
    assert times_of(rows) == [("EXIT", 0, 4)]


def test_the_same_text_twice_on_screen_is_two_rows() -> None:
    doors = [read("EXIT", Box(0.1, 0.4, 0.1, 0.08)), read("EXIT", Box(0.35, 0.4, 0.1, 0.08))]
    rows = rows_of(doors, doors[::-1], doors)
    assert [(row.text, row.start_s, row.end_s, row.box.left) for row in rows] == [("EXIT", 0, 3, 0.1), ("EXIT", 0, 3, 0.35)]


def test_a_title_is_not_the_small_print_of_the_same_words() -> None:
    rows = rows_of([read("The Long Way", Box(0.1, 0.3, 0.8, 0.3))], [read("The Long Way", Box(0.4, 0.45, 0.2, 0.05))])
    assert len(rows) == 2


def test_rows_come_by_time_though_the_longest_ends_last() -> None:
    logo = read("Channel Four", Box(0.8, 0.05, 0.15, 0.05))
    rows = rows_of([logo], [logo, read("First")], [logo, read("Second line")], [logo], [logo])
    assert times_of(rows) == [("Channel Four", 0, 5), ("First", 1, 2), ("Second line", 2, 3)]


def test_a_row_is_given_before_the_video_ends() -> None:
    """So that a video of hours keeps only the lines that are on screen."""
    given: list[int] = []

    def frames() -> list[tuple[Span, list[Reading]]]:
        return [(Span(index, index + 1), [read(f"Line number {'abcdefgh'[index] * 9}")]) for index in range(8)]

    consumed = 0

    def counted() -> object:
        nonlocal consumed
        for frame in frames():
            consumed += 1
            yield frame

    for _ in merged(counted(), step_s=1.0):  # type: ignore[arg-type]
        given.append(consumed)
    assert given == [4, 5, 6, 7, 8, 8, 8, 8]
