"""Datasets: moments of videos with their labels, captions and facts, each in a split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Split = Literal["train", "val", "test"]
SPLITS: tuple[Split, ...] = ("train", "val", "test")


@dataclass(frozen=True, slots=True, kw_only=True)
class Example:
    """One moment to learn from.

    Attributes:
        path: the video.
        label: its class; None where the data has none.
        captions: sentences that describe it; empty where the data has none.
        facts: what the moment shows, such as ``("action=waving", "shirt=red")``; empty where the data has none.
        caption_facts: for each caption, the facts that it states; it is true of every example that has them all.
        start_s: where the moment begins in the video; None is its beginning.
        end_s: where it ends; None is the video's end.
        split: the split that it belongs to.
        group: examples of one group (one shooting, one person) are in the same split; None is a group of its own.
    """

    path: str
    label: str | None = None
    captions: tuple[str, ...] = ()
    facts: tuple[str, ...] = ()
    caption_facts: tuple[tuple[str, ...], ...] = ()
    start_s: float | None = None
    end_s: float | None = None
    split: Split = "train"
    group: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The examples of a folder or a CSV file, in their order there.

    Attributes:
        source: the folder or CSV file as the user gave it.
        how_split: a sentence that says where the splits come from.
    """

    source: str
    examples: tuple[Example, ...]
    how_split: str

    @property
    def labels(self) -> tuple[str, ...]:
        """The classes, sorted by name: class i is ``labels[i]``."""
        return tuple(sorted({example.label for example in self.examples if example.label is not None}))

    def of(self, split: Split) -> tuple[Example, ...]:
        """The examples of one split, in order."""
        return tuple(example for example in self.examples if example.split == split)
