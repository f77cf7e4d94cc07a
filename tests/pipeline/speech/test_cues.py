"""Cues and their text, from files as people and hostile ones write them."""

from __future__ import annotations

import pytest

from pipeline.speech.cues import MAX_CHARS, Format, parse_cues, plain_text

SRT = """1
00:00:01,000 --> 00:00:02,500
<i>Hello</i> <font color="red">there</font> {\\an8}&amp; you &lt;b&gt; &eacute;
second line

2
00:00:03,000 --> 00:00:04,000
5 < 6 and {me}
{\\p1}m 0 0 l 100 0{\\p0}
"""

VTT = """WEBVTT - title

STYLE
::cue { color: red }

NOTE a comment
of two lines

intro
00:01.000 --> 00:04.000 line:0 position:20% align:start
<v Mary>Hello <c.yellow>yellow</c> <00:02.000><b>bold</b>
- line &gt; 2
"""

ASS = """[Script Info]
ScriptType: v4.00+

[V4+ Styles]
Format: Name, Fontname, Fontsize
Style: Default,Arial,abc

[Events]
Format: Layer, Start, End, Style, Name, MarginL, MarginR, MarginV, Effect, Text
Dialogue: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,{\\k50}Ka{\\k20}ra\\Noke, with\\hcomma {note}
Comment: 0,0:00:01.00,0:00:02.00,Default,,0,0,0,,hidden
Dialogue: 0,0:00:03.00,0:00:04.00,Default,,0,0,0,,{\\p1}m 0 0 l 1 1{\\p0}
"""


def srt(*cues: str) -> str:
    return "\n\n".join(f"1\n{cue}" for cue in cues)


@pytest.mark.parametrize(
    ("form", "text", "expected"),
    [
        ("srt", SRT, [(1.0, 2.5, "Hello there & you <b> é\nsecond line"), (3.0, 4.0, "5 < 6 and {me}")]),
        ("webvtt", VTT, [(1.0, 4.0, "Hello yellow bold\n- line > 2")]),
        ("ass", ASS, [(1.0, 2.0, "Kara\noke, with comma")]),
    ],
)
def test_every_format_gives_its_text_without_markup(
    form: Format, text: str, expected: list[tuple[float, float, str]]
) -> None:
    assert list(parse_cues(text, form)) == expected
    assert list(parse_cues(text.replace("\n", "\r\n"), form)) == expected


def test_cues_come_by_time_and_may_overlap() -> None:
    text = srt("00:00:05,000 --> 00:00:09,000\nb", "00:00:01,000 --> 00:00:07,000\na")
    assert list(parse_cues(text, "srt")) == [(1.0, 7.0, "a"), (5.0, 9.0, "b")]


def test_what_begins_before_time_0_is_cut_off() -> None:
    text = srt("-00:00:03,000 --> -00:00:02,000\ngone", "-00:00:01,500 --> 00:00:02,000\nhalf")
    assert list(parse_cues(text, "srt")) == [(0.0, 2.0, "half")]


def test_a_cue_that_ends_before_it_begins_lasts_until_the_next() -> None:
    text = srt("00:00:05,000 --> 00:00:04,000\na", "00:00:08,000 --> 00:00:09,000\nb", "00:00:20,000 --> 00:00:19,000\nlast")
    assert list(parse_cues(text, "srt")) == [(5.0, 8.0, "a"), (8.0, 9.0, "b")]


def test_times_of_thousands_of_years_are_no_times() -> None:
    assert list(parse_cues(srt("99999999999:00:00,000 --> 99999999999:00:01,000\na"), "srt")) == []


@pytest.mark.parametrize("form", ["srt", "webvtt", "ass"])
@pytest.mark.parametrize(
    "text", ["", "hello", "".join(map(chr, range(1, 3000))), "{\\p1" * 10_000, "<" * 10_000, "\n" * 10_000]
)
def test_what_is_no_subtitle_gives_no_cue(form: Format, text: str) -> None:
    assert list(parse_cues(text, form)) == []


def test_a_text_is_cut_at_a_length_that_no_subtitle_has() -> None:
    (cue,) = parse_cues(srt("00:00:01,000 --> 00:00:02,000\n" + 100_000 * "line\n"), "srt")
    assert cue.text == (MAX_CHARS * "line\n")[:MAX_CHARS]


@pytest.mark.parametrize(
    ("marked", "text"),
    [
        (r"{\an8}Good{\i1} day{\i0}\N{\p1}m 0 0 l 9 9{\p0}", "Good day"),
        (r"{\p4}m 0 0{\c&HFF&}l 9 9{\p0}said{\p1}m 0 0", "said"),
        ("  a \t b\\h c  \\N\\N d\x00\x1b\u202e ", "a b c\nd"),
        ("<b>a</B> <i class='x'>b</i> <3 <unknown>", "a b <3 <unknown>"),
        ("{\\", "{\\"),
    ],
)
def test_plain_text(marked: str, text: str) -> None:
    assert plain_text(marked) == text
