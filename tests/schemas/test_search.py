from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.search import SearchOptions


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "texts: got none; say what to look for, such as 'people baking a cake', or show it with `like`"),
        ({"texts": ("a", " ")}, "texts: got nothing but blanks; say what to look for, such as 'people baking a cake'"),
        (
            {"texts": ("caf\udce9",)},
            "texts: got bytes that are no UTF-8, expected UTF-8; set the terminal's encoding to it",
        ),
        ({"texts": ("a",), "without": ("",)}, "without: got nothing but blanks; say what not to find, such as 'a kitchen'"),
        (
            {"texts": ("a",), "then_text": ""},
            "then_text: got nothing but blanks; say what follows, such as 'somebody eats the cake'",
        ),
        ({"like": (" ",)}, "like: got nothing but blanks; give FILE, FILE@START-END, IMAGE or CLIP_ID"),
        ({"texts": ("a",), "where": " "}, "where: got nothing but blanks; give a condition, such as: duration_s > 60"),
        ({"texts": ("a",), "by": "film"}, "by: got 'film', expected moment, clip, video"),
        ({"texts": ("a",), "k": 0}, "k: got 0, expected 1 or more"),
        ({"texts": ("a",), "rerank": -1}, "rerank: got -1, expected 0 or more"),
        ({"texts": ("a",), "recall": 0.9}, "recall: got 0.9, expected 0.95, 0.99, 1.0"),
        (
            {"texts": ("a",), "within_s": 5.0},
            "within_s: got 5 s without `then_text`; say what is to follow with `then_text`",
        ),
        ({"texts": ("a",), "then_text": "b", "within_s": 0.0}, "within_s: got 0 s, expected more than 0 s"),
        ({"texts": ("a",), "then_text": "b", "within_s": float("nan")}, "within_s: got nan s, expected more than 0 s"),
        ({"texts": ("a",), "then_text": "b", "within_s": float("inf")}, "within_s: got inf s, expected more than 0 s"),
    ],
)
def test_what_cannot_be_asked_is_refused(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        SearchOptions(**options)
    assert str(error.value) == message


def test_what_is_left_out() -> None:
    assert SearchOptions(texts=("a",), then_text="b").gap_s == 30.0
    assert SearchOptions(like=("caf\udce9.mp4",)).by == "moment"  # names of files may be any bytes
