"""Rows of speech and screen text as passages: what is joined, what is not, and that no word is lost."""

from __future__ import annotations

from typing import Any

import pytest

from jobs.annotate.passages import LONGEST_S, MOST_WORDS, PassageText, passages_of


def row(start_s: float, end_s: float, text: str, language: str | None = "en") -> dict[str, Any]:
    return {"start_s": start_s, "end_s": end_s, "text": text, "language": language}


def test_rows_that_follow_each_other_are_one_passage() -> None:
    rows = [row(4, 6, "is gone."), row(1, 3.5, "The budget\nof  this year"), row(11.5, 12, "Next.")]
    assert list(passages_of(rows)) == [
        PassageText(1, 6, "The budget of this year is gone."),
        PassageText(11.5, 12, "Next."),
    ]


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([row(0, 1, "one"), row(6, 7, "two")], ["one two"]),  # a pause of 5 s
        ([row(0, 1, "one"), row(6.1, 7, "two")], ["one", "two"]),
        ([row(0, 1, "one"), row(1, 2, "zwei", "de"), row(2, 3, "drei", "de")], ["one", "zwei drei"]),
        ([row(0, 28, "one"), row(28, LONGEST_S, "two"), row(30, 31, "three")], ["one two", "three"]),
        ([row(0, 600, "LOGO"), row(1, 3, "A title"), row(1, 3, "and more")], ["LOGO", "A title and more"]),
        ([row(0, 1, "♪♪"), row(1, 2, " "), row(2, 3, "…")], []),
        ([row(0, 1, "one"), row(1, 2, "♪"), row(2, 3, "two")], ["one two"]),
    ],
)
def test_what_is_joined(rows: list[dict[str, Any]], expected: list[str]) -> None:
    assert [passage.text for passage in passages_of(rows)] == expected


def test_screen_text_has_no_language() -> None:
    lines = [{"start_s": 0.0, "end_s": 4.0, "text": text} for text in ("Agenda", "1. Budget", "2. Votes")]
    assert list(passages_of(lines)) == [PassageText(0.0, 4.0, "Agenda 1. Budget 2. Votes")]


def test_passages_have_a_most_of_words_and_lose_none() -> None:
    words = [f"w{number}" for number in range(2 * MOST_WORDS + 7)]
    rows = [row(number, number + 0.1, word) for number, word in enumerate(words)]
    passages = list(passages_of(rows))
    assert all(passage.end_s - passage.start_s <= LONGEST_S for passage in passages)
    assert " ".join(passage.text for passage in passages).split() == words
    (first, second, third) = passages_of([row(5, 6, " ".join(words))])
    assert [len(passage.text.split()) for passage in (first, second, third)] == [MOST_WORDS, MOST_WORDS, 7]
    assert {(passage.start_s, passage.end_s) for passage in (first, second, third)} == {(5, 6)}
    assert f"{first.text} {second.text} {third.text}".split() == words


def test_a_text_without_blanks_is_cut_too() -> None:
    text = "这个会议结束了" * 300
    passages = list(passages_of([row(0, 30, text, "zh")]))
    assert len(passages) == 3
    assert "".join(passage.text for passage in passages) == text
