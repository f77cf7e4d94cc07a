"""Turns what a multimodal language model is to embed into the tokens of a conversation, in the ChatML layout."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch.nn.utils.rnn import pad_sequence

from pipeline.models.embedders.tokens import TextTokenizer
from schemas.errors import ModelError

_MARKS = ("<|im_start|>", "<|im_end|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>")


class ChatTokenizer(TextTokenizer):
    """A checkpoint's own tokenizer, for conversations: an instruction, what the user gives, and an answer just begun.

    Conversations end as the checkpoint's tokenizer ends every text, which may be with a token of its own.
    """

    def __init__(self, folder: Path, name: str, argument: str, max_tokens: int, text_instruction: str) -> None:
        """Read the tokenizer from a checkpoint's folder.

        Args:
            folder: the checkpoint's.
            name: the checkpoint's, for messages.
            argument: the argument that named it, for messages.
            max_tokens: the most tokens of a conversation that the model reads.
            text_instruction: the instruction that texts are embedded with.

        Raises:
            ModelError: it is missing or damaged, or lacks a mark of the layout.
        """
        super().__init__(folder, name, argument, max_tokens)
        known = self._tokenizer.get_vocab()
        if missing := [mark for mark in _MARKS if mark not in known]:
            raise ModelError(
                f"its tokenizer lacks {', '.join(missing)}; copy the tokenizer of the model that it was trained from",
                argument=argument,
                value=name,
            )
        before, after = _around(text_instruction)
        self._before = self._ids(before)
        self._after = self._tokenizer(after)["input_ids"]
        num_end_tokens = len(self._after) - len(self._ids(after))
        self._max_text_tokens = max_tokens - len(self._before) - len(self._after)
        self.max_tokens = self._max_text_tokens + num_end_tokens  # which `cut` counts with the text's

    def __call__(self, texts: Sequence[str]) -> dict[str, torch.Tensor]:
        """``input_ids`` and ``attention_mask``, int64 [texts, tokens]: a conversation about each text, padded at its end."""
        encoded = self._tokenizer(
            [text.strip() for text in texts],
            add_special_tokens=False,
            split_special_tokens=True,
            truncation=True,
            max_length=self._max_text_tokens,
        )
        rows = [torch.tensor([*self._before, *ids, *self._after]) for ids in encoded["input_ids"]]
        masks = [torch.ones_like(row) for row in rows]
        return {"input_ids": pad_sequence(rows, batch_first=True), "attention_mask": pad_sequence(masks, batch_first=True)}

    def video(self, instruction: str, times_s: Sequence[float], num_patches: int) -> torch.Tensor:
        """The tokens of a conversation about a video, int64 [tokens].

        Args:
            instruction: what to do with it.
            times_s: the time of each of its temporal patches, which is written before it.
            num_patches: the number of tokens that stand for each temporal patch.
        """
        patches = f"<|vision_start|>{'<|video_pad|>' * num_patches}<|vision_end|>"
        before, after = _around(instruction)
        video = "".join(f"<{time_s:.1f} seconds>{patches}" for time_s in times_s)
        return torch.tensor(self._tokenizer(f"{before}{video}{after}")["input_ids"])

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._tokenizer(text, add_special_tokens=False)["input_ids"]
        return ids


def _around(instruction: str) -> tuple[str, str]:
    """What stands before and after the user's part."""
    return f"<|im_start|>system\n{instruction}<|im_end|>\n<|im_start|>user\n", "<|im_end|>\n<|im_start|>assistant\n"
