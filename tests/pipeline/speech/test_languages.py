"""Languages as tracks and names of files state them."""

from __future__ import annotations

import pytest

from pipeline.speech.languages import base_of, language_of_tag, language_of_word


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en", "en"),
        ("eng", "en"),
        ("ger", "de"),
        ("deu", "de"),
        ("PT_br", "pt-BR"),
        ("zh-hans-cn", "zh-Hans-CN"),
        ("es-419", "es-419"),
        ("yue", "yue"),
        ("tlh", "tlh"),
        ("und", None),
        ("xx", None),
        ("english", None),
        ("", None),
        (None, None),
    ],
)
def test_language_of_tag(tag: str | None, language: str | None) -> None:
    assert language_of_tag(tag) == language


@pytest.mark.parametrize(
    ("word", "language"),
    [
        ("en", "en"),
        ("deu", "de"),
        ("pt-BR", "pt-BR"),
        ("the", None),
        ("new", None),
        ("forced", None),
        ("sdh", None),
        ("x-y", None),
    ],
)
def test_language_of_word(word: str, language: str | None) -> None:
    assert language_of_word(word) == language


def test_base_of() -> None:
    assert [base_of("pt-BR"), base_of("en"), base_of(None)] == ["pt", "en", None]
