"""Splits of a dataset: as the data states them, or drawn such that no group is in two splits."""

from __future__ import annotations

import os
import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

from jobs.csv_rows import FileLine
from jobs.datasets.examples import Example, Split
from schemas.errors import UsageError

# UCF101's names: the groups are shootings, numbered from g01 in every class.
_UCF101 = re.compile(r"v_\w+_(g\d\d)_c\d\d\.\w+")


@dataclass(slots=True)
class ExampleDraft:
    """An example whose split is not settled yet.

    Attributes:
        path: the video, as it is found on this machine.
        key: its path relative to the dataset, the same on any machine.
        line: the line of the CSV file that first names it, from 1; 0 in a folder.
        label: as in `Example`, like the fields below.
        split: None where the data states none.
        captions: each caption with the facts that it states.
    """

    path: str
    key: str
    line: int = 0
    label: str | None = None
    split: Split | None = None
    group: str | None = None
    start_s: float | None = None
    end_s: float | None = None
    captions: tuple[tuple[str, tuple[str, ...]], ...] = ()
    facts: tuple[str, ...] = ()

    @property
    def shooting(self) -> str | None:
        """Its group: as stated, or else as the file's name has it; None where neither does."""
        match = _UCF101.fullmatch(os.path.basename(self.path))
        return self.group or (match[1] if match else None)

    def example(self) -> Example:
        """The finished example."""
        return Example(
            path=self.path,
            label=self.label,
            captions=tuple(caption for caption, _ in self.captions),
            facts=self.facts,
            caption_facts=tuple(facts for _, facts in self.captions),
            start_s=self.start_s,
            end_s=self.end_s,
            split=self.split or "train",
            group=self.shooting,
        )


def settle_splits(moments: Sequence[ExampleDraft], source: str, stated_by: str, seed: int) -> str:
    """Give every moment its split.

    Args:
        moments: their ``split`` is filled in.
        source: the data, for messages.
        stated_by: what states the splits, for the sentence.
        seed: of splits that are drawn.

    Returns:
        A sentence that says where the splits come from.

    Raises:
        UsageError: splits are stated for some moments only, or a group is in two of them.
    """
    by = "group" if any(moment.shooting for moment in moments) else "video"
    unstated = [moment for moment in moments if moment.split is None]
    if len(unstated) == len(moments):
        return f"drawn from seed {seed}, by {by}: {_draw(moments, {'train': 8, 'val': 1, 'test': 1}, seed, by)}"
    if unstated:
        raise FileLine("data", source, unstated[0].line).error(
            f"split is empty, and stated in other lines (empty in all: {len(unstated)}); "
            "state it for every example, or for none to have it drawn"
        )
    first: dict[tuple[str | None, str], ExampleDraft] = {}
    for moment in moments:
        if moment.shooting is None:
            continue
        # In file names the groups are numbered anew for every class.
        earlier = first.setdefault((None if moment.group else moment.label, moment.shooting), moment)
        if earlier.split != moment.split:
            raise UsageError(
                f"group {moment.shooting!r} is in {earlier.split} ({earlier.key!r}) and in {moment.split} "
                f"({moment.key!r}), expected one split, or {moment.split} would be no test of anything new; put all of it "
                "into one, or state no splits to have them drawn",
                argument="data",
                value=source,
            )
    train = [moment for moment in moments if moment.split == "train"]
    if not train or any(moment.split == "val" for moment in moments):
        return f"stated by {stated_by}"
    return f"stated by {stated_by}, and val drawn out of train from seed {seed}, by {by}: " + _draw(
        train, {"train": 9, "val": 1}, seed, by
    )


def _draw(moments: Sequence[ExampleDraft], tenths: dict[Split, int], seed: int, by: str) -> str:
    """Assign whole groups to splits at random, and describe the outcome in words."""
    of_video = dict(sorted((moment.key, moment.shooting) for moment in moments if moment.shooting))
    groups: dict[str, list[ExampleDraft]] = defaultdict(list)
    for moment in moments:
        groups[moment.shooting or of_video.get(moment.key, moment.key)].append(moment)
    order = sorted(groups, key=lambda name: blake2b(f"{seed}\0{name}".encode(errors="surrogateescape")).digest())
    labels_of = {name: Counter(moment.label or "" for moment in groups[name]) for name in order}
    for name, split in _assign_splits(labels_of, tenths).items():
        for moment in groups[name]:
            moment.split = split
    return _outcome(moments, tenths, f"{len(groups)} {by}s")


def _assign_splits(labels_of: dict[str, Counter[str]], tenths: dict[Split, int]) -> dict[str, Split]:
    """A split for each group, by how many examples of each class it has.

    The first group of every class goes to train. Each further one goes to the split that lacks most of the class. What whole
    groups cannot even out is carried over to the next class, so that many small classes together have the right shares.

    Args:
        labels_of: for each group, how many examples of each class.
        tenths: the splits, and their shares in tenths.
    """
    split_of: dict[str, Split] = {}
    of_label: dict[str, list[str]] = defaultdict(list)
    for name, labels in labels_of.items():
        for label in labels:
            of_label[label].append(name)
    carried = dict.fromkeys(tenths, 0)
    assigned: Counter[tuple[str, Split]] = Counter()
    for label in sorted(of_label, key=lambda label: (len(of_label[label]), label)):
        total = sum(labels_of[name][label] for name in of_label[label])
        missing = {split: carried[split] + share * total - 10 * assigned[label, split] for split, share in tenths.items()}
        for name in of_label[label]:
            if name not in split_of:
                split_of[name] = max(missing, key=lambda split: missing[split]) if assigned[label, "train"] else "train"
                missing[split_of[name]] -= 10 * labels_of[name][label]
                assigned.update({(other, split_of[name]): count for other, count in labels_of[name].items()})
        carried = missing
    for split in tenths:  # no split stays empty where train can spare a group
        spare = [name for name in labels_of if split_of[name] == "train" and _can_spare(assigned, labels_of[name])]
        if spare and split not in split_of.values():
            moved = min(spare, key=lambda name: labels_of[name].total())
            assigned.subtract({(label, "train"): count for label, count in labels_of[moved].items()})
            split_of[moved] = split
    return split_of


def _can_spare(assigned: Counter[tuple[str, Split]], labels: Counter[str]) -> bool:
    """Whether train keeps examples of all classes without a group of these."""
    return all(assigned[label, "train"] > count for label, count in labels.items())


def _outcome(moments: Sequence[ExampleDraft], tenths: dict[Split, int], groups: str) -> str:
    """The shares of the splits in words, and where they differ from what was asked for."""
    labels = {split: {moment.label for moment in moments if moment.split == split} for split in tenths}
    counts = Counter(moment.split for moment in moments)
    total = len({moment.label for moment in moments})
    text = ", ".join(f"{100 * counts[split] / len(moments):.0f} % {split}" for split in tenths)
    if any(abs(counts[split] / len(moments) - share / 10) > 0.05 for split, share in tenths.items()):
        text += f" ({groups} do not divide more evenly)"
    lacking = [f"{split} has {len(labels[split])} of {total} classes" for split in tenths if len(labels[split]) < total > 1]
    return "; ".join([text, *lacking])
