"""Which readings are of the same line."""

from __future__ import annotations

import pytest

from pipeline.text.similarity import edits, same_line


@pytest.mark.parametrize(
    ("one", "other", "fewest"),
    [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("flaw", "lawn", 2), ("same", "same", 0), ("ab", "ba", 2)],
)
def test_the_count_of_edits_is_the_fewest_changes(one: str, other: str, fewest: int) -> None:
    assert edits(one, other) == fewest
    assert edits(other, one) == fewest


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("Opening hours", "Opening  hours."),  # spaces and punctuation
        ("CHAPTER ONE", "Chapter One"),
        ("R00M 1O1", "ROOM 101"),  # read for each other
        ("The quick brown fox", "The qu1ck brovvn fox"),  # one of them read as two
        ("你好世界和平", "你好世界利平"),
    ],
)
def test_flicker_is_the_same_line(one: str, other: str) -> None:
    assert same_line(one, other)
    assert same_line(other, one)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("12:41", "12:46"),  # a clock
        ("Score 1", "Score 10"),
        ("HOME 1 - 0 AWAY", "HOME 1 - 3 AWAY"),
        ("Chapter One", "Chapter Two"),
        ("Yes", "Yet"),
        ("Good morning", "Good evening"),
        ("", "a"),
    ],
)
def test_other_text_is_another_line(one: str, other: str) -> None:
    assert not same_line(one, other)
    assert not same_line(other, one)
