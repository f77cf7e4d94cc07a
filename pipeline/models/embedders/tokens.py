"""From texts to the tokens that a text model reads, and what is left of a text that has more of them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer

from pipeline.models.loading import first_line
from schemas.errors import ModelError
from schemas.models import CutText

_SHOWN = 40  # characters of what is not read
_LONGEST_WORD = 20  # characters between two blanks that are still taken for one word


class TextTokenizer:
    """A checkpoint's own tokenizer, for texts that anybody may have written.

    The names of its special tokens are words like others in them. X-CLIP takes a text's meaning from where the first
    end-of-text token stands: a text with ``<|endoftext|>`` in it would end there, and nobody would know.

    Attributes:
        max_tokens: the most that the model reads, those included that the tokenizer puts at both ends.
    """

    def __init__(self, folder: Path, name: str, option: str, max_tokens: int) -> None:
        """Read it from a checkpoint's folder; ``name`` and ``option`` are for messages.

        Raises:
            ModelError: it is missing or damaged.
        """
        try:
            self._tokenizer = AutoTokenizer.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
        except Exception as exc:
            raise ModelError(
                f"{option} {name}: its tokenizer cannot be read ({first_line(exc)}); the folder needs tokenizer.json"
            ) from exc
        self.max_tokens = max_tokens

    def __call__(self, texts: Sequence[str]) -> Any:
        """``input_ids`` and ``attention_mask``, int64 [texts, tokens]; of longer texts the beginning, ended as any text."""
        return self._tokenizer(
            list(texts),
            padding=True,
            truncation=True,
            max_length=self.max_tokens,
            split_special_tokens=True,
            return_tensors="pt",
        )

    def cut(self, texts: Sequence[str]) -> list[CutText]:
        """Those of ``texts`` that have more tokens than are read."""
        if not texts:
            return []
        found = self._tokenizer(
            list(texts),
            split_special_tokens=True,
            return_offsets_mapping=True,
            return_special_tokens_mask=True,
            verbose=False,
        )
        cut = []
        for text, offsets, special in zip(texts, found["offset_mapping"], found["special_tokens_mask"], strict=True):
            if len(offsets) > self.max_tokens:
                own = [offset for offset, added in zip(offsets, special, strict=True) if not added]
                unread = own[max(0, self.max_tokens - sum(special))][0]
                cut.append(CutText(text, len(offsets), self.max_tokens, _from_word(text, unread)))
        return cut


def _from_word(text: str, start: int) -> str:
    """What begins with the word that the character at ``start`` is in, as far as it is worth showing."""
    begin = start
    while begin > 0 and not text[begin].isspace() and not text[begin - 1].isspace():
        begin -= 1
    if start - begin > _LONGEST_WORD:  # no words, as in a text without blanks
        begin = start
    rest = text[begin:].strip()
    return rest if len(rest) <= _SHOWN else f"{rest[:_SHOWN].rstrip()}…"
