"""Which words of a text are those of a question."""

from __future__ import annotations

import pytest

from index.search.highlight import highlighted
from index.search.text_query import terms_of


def shown(text: str, question: str, most: int | None = None) -> str:
    languages = ["de", "en"]
    pieces = highlighted(text, terms_of([question], languages), languages, most)
    return "".join(f"[{piece.text}]" if piece.is_match else piece.text for piece in pieces)


@pytest.mark.parametrize(
    ("text", "question", "expected"),
    [
        ("that the budgets are gone.", "the budget is gone", "that the [budgets] are [gone]."),
        ("Die Häuser sind verkauft.", "haus", "Die [Häuser] sind verkauft."),
        ("Die Ha\u0308user", "hauser", "Die [Häuser]"),
        ("Good morning, a good morning!", '"good morning"', "[Good] [morning], a [good] [morning]!"),
        ("everybody, every body", "everyb*", "[everybody], every body"),
        ("这个会议结束了", "会议", "这个[会][议]结束了"),
        ("nothing of it", "zebra", "nothing of it"),
        ("<b>budget</b>", "budget", "<b>[budget]</b>"),
    ],
)
def test_words_of_the_question_are_marked(text: str, question: str, expected: str) -> None:
    assert shown(text, question) == expected


def test_a_long_text_is_shown_around_its_first_match() -> None:
    text = "one two three " * 10 + "the budget is gone " + "four five six " * 10
    assert shown(text, "budget", 60) == "…three one two three one two three the [budget] is gone four fi…"
    assert shown(text, "zebra", 20) == "one two three one tw…"
    assert shown("x" * 100 + "budget", "budget", 50) == "x" * 50 + "…"
    assert shown("short", "budget", 50) == "short"
