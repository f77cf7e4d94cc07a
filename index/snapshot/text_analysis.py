"""Words of a text as the full-text index holds them: folded, and cut to their stems by the rules of their language.

Stems come from the Snowball stemmers (https://snowballstem.org). In scripts without spaces every character is a word, so
that a phrase of them is found wherever it stands.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from functools import lru_cache

import snowballstemmer

# Letters, digits and marks; a character of Chinese, Japanese kana or Thai stands alone.
_UNSPACED = "\u0e00-\u0e7f\u3040-\u30ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003ffff"
_WORD = re.compile(rf"[{_UNSPACED}]|[^\W_{_UNSPACED}]+")

# The algorithms of Snowball by language, as BCP 47 has it; those of other languages are left whole.
_ALGORITHMS = {
    "ar": "arabic", "ca": "catalan", "da": "danish", "de": "german", "el": "greek", "en": "english", "es": "spanish",
    "et": "estonian", "eu": "basque", "fi": "finnish", "fr": "french", "ga": "irish", "hi": "hindi", "hu": "hungarian",
    "hy": "armenian", "id": "indonesian", "it": "italian", "lt": "lithuanian", "ne": "nepali", "nl": "dutch",
    "no": "norwegian", "nb": "norwegian", "nn": "norwegian", "pt": "portuguese", "ro": "romanian", "ru": "russian",
    "sr": "serbian", "sv": "swedish", "ta": "tamil", "tr": "turkish", "yi": "yiddish",
}  # fmt: skip

# What text without a known language is read as, since most of it is English.
UNKNOWN = "en"


def words(text: str) -> list[str]:
    """The words of a text, in small letters and without accents, in order."""
    decomposed = unicodedata.normalize("NFKD", text.casefold())
    folded = "".join(character for character in decomposed if not unicodedata.combining(character))
    return _WORD.findall(unicodedata.normalize("NFKC", folded))


def stems(text_words: Sequence[str], language: str | None) -> list[str]:
    """The words' stems in a language as BCP 47 has it; None stands for one that is not known."""
    primary = (language or UNKNOWN).partition("-")[0].lower()
    return [_stem(word, primary) for word in text_words]


def all_stems(word: str, languages: Sequence[str]) -> Iterator[str]:
    """The distinct stems of a word in some languages, and the word itself."""
    yield from dict.fromkeys([*(_stem(word, language.partition("-")[0].lower()) for language in languages), word])


@lru_cache(maxsize=200_000)
def _stem(word: str, language: str) -> str:
    stemmer = _stemmer(language)
    return word if stemmer is None else "".join(words(stemmer.stemWord(word))) or word


@lru_cache
def _stemmer(language: str) -> snowballstemmer.stemmer.Stemmer | None:
    algorithm = _ALGORITHMS.get(language)
    if algorithm is None or algorithm not in snowballstemmer.algorithms():
        return None
    return snowballstemmer.stemmer(algorithm)
