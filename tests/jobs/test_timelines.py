"""Lists for other programs, to the letter."""

from __future__ import annotations

from jobs.timelines import Listed, chapters, edit_lists, one_line, reel_names, timecode
from schemas.records import Span


def listed(path: str = "/films/a film.mp4", at_s: float = 2.0, *, fps: float = 25.0, sound: bool = False) -> Listed:
    return Listed(path, Span(at_s, at_s + 2), Span(at_s - 1, at_s + 3), fps, sound, "waving")


def test_chapters() -> None:
    text = chapters([listed(at_s=3661.5), Listed("x", Span(0, 1.0006), Span(0, 2), 25, False, "a <b> & c --> d")])
    assert text == (
        "WEBVTT\n\n1\n00:00:00.000 --> 00:00:01.001\na &lt;b&gt; &amp; c --&gt; d\n\n"
        "2\n01:01:01.500 --> 01:01:03.500\nwaving\n"
    )


def test_an_edit_list() -> None:
    moments = [listed(), listed("/films/b.mov", 61.0, sound=True), listed(at_s=10.0)]
    assert list(edit_lists(moments, "moments")) == [
        (
            "moments.edl",
            "TITLE: moments\n"
            "FCM: NON-DROP FRAME\n"
            "\n"
            "001  AFILM    V     C        00:00:01:00 00:00:05:00 01:00:00:00 01:00:04:00\n"
            "* FROM CLIP NAME: a film.mp4\n"
            "* COMMENT: waving\n"
            "002  B        AA/V  C        00:01:00:00 00:01:04:00 01:00:04:00 01:00:08:00\n"
            "* FROM CLIP NAME: b.mov\n"
            "* COMMENT: waving\n"
            "003  AFILM    V     C        00:00:09:00 00:00:13:00 01:00:08:00 01:00:12:00\n"
            "* FROM CLIP NAME: a film.mp4\n"
            "* COMMENT: waving\n",
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
    assert found["m-1.edl"].splitlines()[-3].startswith("999  ")
    assert found["m-2.edl"].splitlines()[3].startswith("001  AFILM    V     C        00:00:01:00 00:00:05:00 01:00:00:00")


def test_no_list_goes_past_midnight() -> None:
    long = Listed("a", Span(0, 9 * 3600), Span(0, 9 * 3600), 25.0, False, "")
    assert [name for name, _ in edit_lists([long] * 3, "m")] == ["m-1.edl", "m-2.edl"]


def test_reels_have_names_of_their_own() -> None:
    paths = ["/x/Holiday in Rome.mp4", "/y/holiday in rome.mp4", "/x/été 1.mp4", "/x/***.mp4", "/x/ax.mp4"]
    assert list(reel_names(paths).values()) == ["HOLIDAYI", "HOLIDAY2", "T1", "REEL", "AX2"]


def test_text_stays_on_its_line() -> None:
    assert one_line("a\r\nb\tc\u2028d\x1b[0m") == "a b c d [0m"
