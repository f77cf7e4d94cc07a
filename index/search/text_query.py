"""A question as terms of a full-text search: words by their stems, "phrases" in quotes, and beginnings of words with a *."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

from index.snapshot.text_analysis import all_stems, words

# What stands between the words that mean something. A question of nothing else is taken as it is.
_FUNCTION_WORDS = """
a an and are as at be been but by can did do does for from had has have he her here him his how i if in into is it its me my
no not of on or our out say saying says she so somebody someone something speak speaks talk talking talks than that the their
them then there these they this those to tell tells up was we were what when where which who whom whose why will with you
your about
"""
_MEANINGLESS = frozenset(_FUNCTION_WORDS.split())

MOST_TERMS = 64
"""Terms of a question that are looked for; of a longer one the first."""

_TOKEN = re.compile(r'"([^"]*)"|(\S+)')


@dataclass(frozen=True, slots=True)
class Term:
    """One thing that a text has to have.

    Attributes:
        words: one word, or those of a phrase.
        stems: of one word, its stems in all languages of the library; none for phrases and beginnings.
        is_prefix: whether the word is the beginning of one.
    """

    words: tuple[str, ...]
    stems: tuple[str, ...] = ()
    is_prefix: bool = False

    @property
    def expression(self) -> str:
        """For FTS5, over the columns of `index.snapshot.channel_text`."""
        if self.stems:
            return f"{{stem}} : ({' OR '.join(map(_quoted, self.stems))})"
        return f"{{whole}} : {_quoted(' '.join(self.words))}{' *' * self.is_prefix}"

    def is_in(self, text_words: Sequence[str], text_stems: Sequence[str]) -> bool:
        """Whether a text with these words, and these stems of them, has it."""
        if self.stems:
            return not set(self.stems).isdisjoint(text_stems)
        if self.is_prefix:
            return any(word.startswith(self.words[0]) for word in text_words)
        count = len(self.words)
        return any(tuple(text_words[at : at + count]) == self.words for at in range(len(text_words) - count + 1))


def terms_of(texts: Sequence[str], languages: Sequence[str]) -> list[Term]:
    """The distinct terms of a question, without words that only join others; none where it has no letter.

    Args:
        texts: of the question.
        languages: of the texts that are searched, as BCP 47 has them.
    """
    terms: dict[Term, None] = {}
    for text in texts:
        for phrase, token in _TOKEN.findall(text):
            of_token = words(phrase or token)
            if not of_token:
                continue
            if not phrase and len(of_token) == 1 and token.endswith("*"):
                terms[Term((of_token[0],), is_prefix=True)] = None
            elif len(of_token) > 1 or phrase:  # "org-chart" is a phrase, and so are several Chinese characters
                terms[Term(tuple(of_token))] = None
            else:
                terms[Term((of_token[0],), tuple(all_stems(of_token[0], languages)))] = None
    telling = [term for term in terms if not (term.stems and term.words[0] in _MEANINGLESS)]
    return (telling or list(terms))[:MOST_TERMS]


def meaning_of(texts: Sequence[str]) -> str:
    """What a question says as one text, without quotes and stars; empty where it has nothing but phrases and beginnings.

    Who quotes a word wants that word, and no other for it.
    """
    tokens = [found for text in texts for found in _TOKEN.findall(text)]
    if not any(token.strip("*") and not token.endswith("*") and words(token) for _, token in tokens):
        return ""
    return " ".join(phrase or token.rstrip("*") for phrase, token in tokens)


def _quoted(text: str) -> str:
    doubled = text.replace('"', '""')
    return f'"{doubled}"'
