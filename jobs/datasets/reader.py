"""Reads a dataset: a folder of class folders, or a CSV file with a line for each moment."""

from __future__ import annotations

import difflib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from jobs.csv_rows import FileLine, interval, read_rows
from jobs.datasets.examples import SPLITS, Dataset, Split
from jobs.datasets.splits import ExampleDraft, settle_splits
from pipeline.sources import absolute_path, exists, is_file, is_folder, kind_of, scheme_of
from pipeline.sources.find import find_videos
from pipeline.sources.paths import on_disk
from schemas.errors import UsageError
from schemas.records import path_text

_SPLIT_NAMES: dict[str, Split] = {"train": "train", "val": "val", "validation": "val", "valid": "val", "test": "test"}
_COLUMNS = ("path", "label", "caption", "start_s", "end_s", "split", "group", "facts")
_ALIASES = {"action": "label"}
_EXPECTED = "a folder of class folders or a CSV file"
_MIN_LIKENESS = 0.8  # columns whose names are this similar to one of ours are taken for misspelt


def read_dataset(source: str | Path, *, seed: int = 0, want: Literal["labels", "captions", "nothing"]) -> Dataset:
    """Read the examples of ``source``, and settle their splits.

    Args:
        source: a folder ``DATA/<class>/**/*.mp4``, with or without ``train``, ``val`` and ``test`` folders above the
            classes; or a CSV file in UTF-8 with a header. Its columns are ``path`` (from the CSV's folder, or absolute),
            ``label`` (or ``action``), ``caption``, ``start_s``, ``end_s``, ``split``, ``group`` and ``facts`` (separated by
            semicolons); all but ``path`` may be left out. Rows of one moment are one example with several captions. Other
            columns are passed over, unless they look like one of these misspelt.
        seed: of the splits where the data states none. The same data and seed give the same splits on any machine: 80 %
            train, 10 % val, 10 % test, as evenly over the classes as whole groups allow. Examples without a group are
            grouped by video. Of data with a train split and no val split, a tenth of train becomes val.
        want: what every example must have. ``nothing`` takes a folder of any layout.

    Raises:
        UsageError: there is no such data, something in it is not valid, or it lacks what is wanted.
    """
    if not exists(str(source)):
        message = f"no such file or folder: {str(source)!r}; give a folder of class folders, or a CSV file"
        raise UsageError(message, argument="data")
    if is_folder(str(source)):
        moments, stated_by = list(_folder(absolute_path(str(source)), str(source), want)), "the folders"
    else:
        moments, stated_by = _csv(Path(source)), "the CSV's split column"
    _check_wanted(moments, str(source), want)
    how = settle_splits(moments, str(source), stated_by, seed)
    return Dataset(source=str(source), examples=tuple(moment.example() for moment in moments), how_split=how)


def _folder(folder: str, source: str, want: str) -> Iterator[ExampleDraft]:
    paths = []
    for item in find_videos([folder]):
        file, error = item if isinstance(item, tuple) else (item, None)
        if error and kind_of(file.path) in ("folder", "other"):
            message = f"{file.path!r}: {error.reason}; make it readable, or move it elsewhere"
            raise UsageError(message, argument="data", value=source)
        paths.append(file.path)
    if not paths:
        message = "the folder holds no video; give a folder of class folders, or a CSV file"
        raise UsageError(message, argument="data", value=source)
    if want == "captions":
        message = "got a folder, which has no captions; give a CSV file with columns path and caption"
        raise UsageError(message, argument="data", value=source)
    keys = {path: path.removeprefix(folder.rstrip("/") + "/") for path in paths}
    tops = {key.split("/")[0] for key in keys.values()}
    splits = sorted(top for top in tops if top.lower() in _SPLIT_NAMES)
    others = sorted(tops - set(splits))
    if splits and others and want == "labels":
        raise UsageError(
            f"got {others[0]!r} beside {splits[0]!r}, expected folders of splits (train, val, test) or "
            f"folders of classes; move one of them away, or, where {splits[0]!r} is a class, give a CSV file",
            argument="data",
            value=source,
        )
    for path, key in keys.items():
        parts = key.split("/")[:-1]
        split = _SPLIT_NAMES[parts.pop(0).lower()] if splits and not others else None
        if not parts and want == "labels":
            raise UsageError(
                f"{key!r} lies in no class folder, expected {'SPLIT/' if split else ''}CLASS/video.mp4; "
                "put each video into a folder with its class's name, or give a CSV file with columns path and label",
                argument="data",
                value=source,
            )
        yield ExampleDraft(path, key, label=path_text(parts[0]) if parts else None, split=split)


def _csv(source: Path) -> list[ExampleDraft]:
    moments = read_moments(source)
    missing = {moment.path: moment.line for moment in reversed(moments) if not is_file(moment.path)}
    if missing:
        path, line = list(missing.items())[-1]
        raise FileLine("data", source, line).error(
            f"no such file: {path!r} (missing files in all: {len(missing)}); paths are taken "
            f"from the CSV's own folder, {os.path.dirname(os.path.abspath(source))!r}"
        )
    return moments


def read_moments(source: Path, argument: str = "data", *, expected: str = _EXPECTED) -> list[ExampleDraft]:
    """The moments that a CSV file lists, as `read_dataset` describes it. Whether their files exist is not checked.

    Args:
        source: the file.
        argument: the argument that named the file, for messages.
        expected: what the argument may be, for messages.

    Raises:
        UsageError: there is no such file, something in it is not valid, or it has no rows.
    """
    folder = os.path.dirname(os.path.abspath(source))
    moments: dict[tuple[str, float, float | None], ExampleDraft] = {}
    for line, cells in read_rows(source, argument, _columns, expected=expected):
        where = FileLine(argument, source, line)
        new = _moment(cells, folder, line, where)
        known = moments.setdefault((new.path, new.start_s or 0.0, new.end_s), new)
        if known is not new:
            _merge(known, new, where)
    if not moments:
        raise UsageError("got a header and no rows; give a row for every example", argument=argument, value=source)
    return list(moments.values())


def _columns(header: Sequence[str], where: FileLine) -> list[str]:
    given = [name.strip().lower() for name in header]
    names = [_ALIASES.get(name, name) for name in given]
    for name, count in Counter(names).items():
        if count > 1:
            twice = ", ".join(repr(other) for other in given if _ALIASES.get(other, other) == name)
            raise where.error(f"got the column {name!r} {count} times ({twice}), expected once; take the others out")
    known = [*_COLUMNS, *_ALIASES]
    for name in names:
        like = difflib.get_close_matches(name, [*known, "start", "end"], 1, _MIN_LIKENESS)
        if name not in known and like and not name.endswith("_id"):
            meant = {"start": "start_s", "end": "end_s"}.get(like[0], like[0])
            raise where.error(f"got the column {name!r}, which looks like {meant!r}; name it so, or unlike any of ours")
    if "path" not in names:
        raise where.error(
            f"got the columns {', '.join(map(repr, given))}, expected {', '.join(known)}, "
            "separated by commas; name the column of the videos 'path'"
        )
    return names


def _moment(cells: dict[str, str], folder: str, line: int, where: FileLine) -> ExampleDraft:
    given = cells["path"]
    if not given:
        raise where.error("the path is empty; name a video, or take the line out")
    split = cells.get("split", "")
    if split and split.lower() not in _SPLIT_NAMES:
        raise where.error(f"split is {split!r}, expected {', '.join(SPLITS)}; correct it")
    start_s, end_s = interval(cells, where)
    path = absolute_path(given, folder)
    key = path if scheme_of(path) else os.path.relpath(path, folder)
    facts = tuple(dict.fromkeys(fact.strip() for fact in cells.get("facts", "").split(";") if fact.strip()))
    return ExampleDraft(
        on_disk(path),
        path if os.path.isabs(given) and key.startswith(os.pardir) else key,
        line,
        label=cells.get("label") or None,
        split=_SPLIT_NAMES[split.lower()] if split else None,
        group=cells.get("group") or None,
        start_s=start_s,
        end_s=end_s,
        captions=((cells["caption"], facts),) if cells.get("caption") else (),
        facts=facts,
    )


def _merge(known: ExampleDraft, new: ExampleDraft, where: FileLine) -> None:
    """Add another row of the same moment to what is known of it, or refuse one that contradicts."""
    for name in ("label", "split", "group"):
        earlier, later = getattr(known, name), getattr(new, name)
        if earlier is not None and later is not None and earlier != later:
            raise where.error(
                f"{name} is {later!r}, and {earlier!r} in line {known.line} for the same moment of {new.key!r}; "
                "a moment has one: correct one of them"
            )
        setattr(known, name, later if earlier is None else earlier)
    known.captions = tuple(dict.fromkeys((*known.captions, *new.captions)))
    known.facts = tuple(dict.fromkeys((*known.facts, *new.facts)))


def _check_wanted(moments: Sequence[ExampleDraft], source: str, want: str) -> None:
    """Refuse data of which an example lacks what is wanted."""
    if want == "nothing":
        return
    column = want.removesuffix("s")
    without = [moment for moment in moments if not (moment.label if want == "labels" else moment.captions)]
    if without:
        raise FileLine("data", source, without[0].line).error(
            f"no {column} (examples without one in all: {len(without)}), "
            f"expected one for every example; fill the column {column!r}"
        )
    labels = sorted({str(moment.label) for moment in moments})
    if want == "labels" and len(labels) < 2:
        raise UsageError(
            f"got one class, {labels[0]!r}, expected two or more; give the folder that holds the classes' "
            "folders, or a CSV file with their labels",
            argument="data",
            value=source,
        )
