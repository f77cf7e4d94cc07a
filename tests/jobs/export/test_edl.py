"""Lists for other programs, to the letter."""

from __future__ import annotations

import re

import pytest

from jobs.export.edl import edit_lists, has_no_timecode, reel_names, timecode
from jobs.export.list_entry import ListEntry, one_line
from jobs.export.webvtt import chapters
from schemas.records import Span


def listed(path: str = "/films/a film.mp4", at_s: float = 2.0, *, fps: float = 25.0, sound: bool = False) -> ListEntry:
    return ListEntry(path, Span(at_s, at_s + 2), Span(at_s - 1, at_s + 3), fps, sound, "waving")


def test_chapters() -> None:
    text = chapters([listed(at_s=3661.5), ListEntry("x", Span(0, 1.0006), Span(0, 2), 25, False, "a <b> & c --> d")])
    assert text == (
        "WEBVTT\n\nNOTE Moments of /films/a film.mp4\n\n1\n00:00:00.000 --> 00:00:01.001\na &lt;b&gt; &amp; c --&gt; d\n\n"
        "2\n01:01:01.500 --> 01:01:03.500\nwaving\n"
    )


def test_an_edit_list() -> None:
    moments = [listed(), listed("/films/b.mov", 61.0, sound=True), listed(at_s=10.0)]
    assert list(edit_lists(moments, "moments")) == [
        (
            "moments.edl",
            "TITLE: moments\r\n"
            "FCM: NON-DROP FRAME\r\n"
            "\r\n"
            "001  AFILM    V     C        00:00:01:00 00:00:05:00 01:00:00:00 01:00:04:00\r\n"
            "* FROM CLIP NAME: a film.mp4\r\n"
            "* SOURCE FILE: /films/a film.mp4\r\n"
            "* COMMENT: waving\r\n"
            "002  B        AA/V  C        00:01:00:00 00:01:04:00 01:00:04:00 01:00:08:00\r\n"
            "* FROM CLIP NAME: b.mov\r\n"
            "* SOURCE FILE: /films/b.mov\r\n"
            "* COMMENT: waving\r\n"
            "003  AFILM    V     C        00:00:09:00 00:00:13:00 01:00:08:00 01:00:12:00\r\n"
            "* FROM CLIP NAME: a film.mp4\r\n"
            "* SOURCE FILE: /films/a film.mp4\r\n"
            "* COMMENT: waving\r\n",
        )
    ]


def test_timecodes_count_frames_and_not_seconds() -> None:
    """At 29.97 a second, one second before 1001 s of film is frame 29,970: 999 s of timecode at 30 a second."""
    (found,) = edit_lists([listed(at_s=1001.0, fps=30_000 / 1001)], "m")
    assert "00:16:39:00 00:16:43:00 01:00:00:00 01:00:04:00" in found[1]
    assert timecode(100, 25) == "00:00:04:00"
    assert timecode(30 * 3600 * 2 + 31, 30) == "02:00:01:01"


def test_a_list_for_every_rate_and_for_every_999_moments() -> None:
    names = [name for name, _ in edit_lists([listed(), listed(fps=29.97)], "m")]
    assert names == ["m-25fps.edl", "m-30fps.edl"]
    found = dict(edit_lists([listed()] * 1000, "m"))
    assert list(found) == ["m-1.edl", "m-2.edl"]
    assert found["m-1.edl"].splitlines()[-4].startswith("999  ")
    assert found["m-2.edl"].splitlines()[3].startswith("001  AFILM    V     C        00:00:01:00 00:00:05:00 01:00:00:00")


def test_no_list_goes_past_midnight() -> None:
    long = ListEntry("a", Span(0, 9 * 3600), Span(0, 9 * 3600), 25.0, False, "")
    assert [name for name, _ in edit_lists([long] * 3, "m")] == ["m-1.edl", "m-2.edl"]


def test_what_has_no_timecode_is_left_out() -> None:
    """Timecodes end at 23:59:59:24, and what is made of a list begins at one o'clock."""
    last = ListEntry("a", Span(86_390, 86_399), Span(86_390, 86_399.96), 25.0, False, "")
    late = ListEntry("a", Span(86_390, 86_400), Span(86_390, 86_400), 25.0, False, "")
    long = ListEntry("a", Span(0, 23 * 3600), Span(0, 23 * 3600), 25.0, False, "")
    assert [has_no_timecode(one) for one in (last, late, long)] == [False, True, True]
    ((_, text),) = edit_lists([late, last, long], "m")
    assert [line for line in text.splitlines() if line[:3].isdigit()] == [
        "001  A        V     C        23:59:50:00 23:59:59:24 01:00:00:00 01:00:09:24"
    ]
    assert list(edit_lists([late], "m")) == []


@pytest.mark.parametrize(
    ("fps", "rate", "begin"),
    [
        (25.0, 25, "00:01:40:00"),
        (24000 / 1001, 24, "00:01:39:22"),
        (29.95, 30, "00:01:39:27"),  # 29.97, of which a frame is missing now and then
        (59.94, 60, "00:01:39:54"),
        (120.0, 60, "00:01:40:00"),
        (15.0, 30, "00:01:40:00"),
        (12.5, 24, "00:01:40:00"),
        (17.3, 30, "00:01:40:00"),
        (1.0, 24, "00:01:40:00"),
    ],
)
def test_rates_are_those_that_editing_programs_have(fps: float, rate: int, begin: str) -> None:
    ((_, text),) = edit_lists([ListEntry("a", Span(100, 102), Span(100, 102), fps, False, "")], "m")
    assert text.splitlines()[3].split()[4] == begin
    assert all(int(frames) < rate for line in text.splitlines()[3:4] for frames in re.findall(r":(\d+) ", line))


def test_lines_of_an_edit_list_have_80_columns() -> None:
    one = ListEntry("/films/a.mp4", Span(1, 2), Span(1, 2), 25.0, True, "someone in a blue shirt juggles " * 5)
    ((_, text),) = edit_lists([one], "m")
    assert max(map(len, text.split("\r\n"))) <= 80
    assert text.count("* COMMENT: someone in a blue shirt juggles") == 3


def test_chapters_lie_beside_or_within_each_other() -> None:
    """As the specification wants it of chapters; each at least a millisecond long."""
    times = [(0, 10), (2, 4), (5, 15), (5, 12), (20, 20.0001), (14, 16)]
    text = chapters([ListEntry("x", Span(*span), Span(*span), 25, False, "t") for span in times])
    assert [line for line in text.splitlines() if "-->" in line] == [
        "00:00:00.000 --> 00:00:05.000",
        "00:00:02.000 --> 00:00:04.000",
        "00:00:05.000 --> 00:00:14.000",
        "00:00:05.000 --> 00:00:12.000",
        "00:00:14.000 --> 00:00:16.000",
        "00:00:20.000 --> 00:00:20.001",
    ]


def test_reels_have_names_of_their_own() -> None:
    paths = ["/x/Holiday in Rome.mp4", "/y/holiday in rome.mp4", "/x/été 1.mp4", "/x/***.mp4", "/x/ax.mp4"]
    assert list(reel_names(paths).values()) == ["HOLIDAYI", "HOLIDAY2", "T1", "REEL", "AX2"]


def test_text_stays_on_its_line() -> None:
    assert one_line("a\r\nb\tc\u2028d\x1b[0m") == "a b c d [0m"
