"""The layouts of benchmarks' annotation files, as published. To add one: a reader, and a line in `READERS`."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.csv_rows import FileLine, read_rows, read_text
from jobs.evaluate.benchmarks.results import Query
from schemas.errors import UsageError
from schemas.records import Span

_ARGUMENT = "annotations"
_EXPECTED = "the benchmark's annotation file"
_DEFAULT_SPLIT = "test"


def read_annotations(benchmark: str, source: Path, split: str | None = None) -> tuple[list[Query], str | None]:
    """The queries of an annotation file, and the split that they are; None for the whole file.

    Args:
        benchmark: one of `READERS`.
        source: the file.
        split: a split that the file names, which MSR-VTT's JSON alone does (``test`` where none is given); or a text file
            with the name of a video on each line, whose queries are taken.

    Raises:
        UsageError: the file or the split cannot be used.
    """
    queries = list(READERS[benchmark](source))
    if not queries:
        raise UsageError(f"got no query, expected {_EXPECTED} of {benchmark}", argument=_ARGUMENT, value=source)
    named = sorted({query.split for query in queries if query.split is not None})
    if split is not None and split not in named and Path(split).is_file():
        lines = read_text(Path(split), "split", "a text file of video names", kind="text file").splitlines()
        videos = {line.strip() for line in lines}
        chosen = [query for query in queries if query.video in videos]
    elif named:
        split = split or _DEFAULT_SPLIT
        chosen = [query for query in queries if query.split == split]
    else:
        chosen = queries if split is None else []
    if not chosen:
        splits = f"one of the file's splits ({', '.join(named)})" if named else "no split, since the file names none"
        message = f"got {split!r}, expected {splits}, or a text file with the names of its videos, one on each line"
        raise UsageError(message, argument="split")
    return chosen, split


@dataclass(frozen=True, slots=True)
class _Entry:
    """A JSON object of an annotation file.

    Attributes:
        source: the file.
        where: its place in it, for messages.
        value: the object.
    """

    source: Path
    where: str
    value: dict[str, Any]

    def error(self, message: str) -> UsageError:
        return UsageError(f"{self.where}: {message}", argument=_ARGUMENT, value=self.source)

    def text(self, name: str) -> str:
        """A text that is not blank."""
        text = self.value.get(name)
        if not isinstance(text, str) or not text.strip():
            raise self.wrong(name, "a text")
        return text.strip()

    def whole(self, name: str) -> int:
        """A whole number."""
        number = self.value.get(name)
        if not isinstance(number, int) or isinstance(number, bool):
            raise self.wrong(name, "a whole number")
        return number

    def texts(self, name: str) -> list[str]:
        """A list of texts."""
        texts = self.value.get(name)
        if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
            raise self.wrong(name, "a list of texts")
        return texts

    def window(self, name: str) -> tuple[Span, ...]:
        """A moment [start, end]; none where it ends before it begins."""
        return self._windows(name, [self.value.get(name)], "[start, end] in seconds")

    def windows(self, name: str) -> tuple[Span, ...]:
        """The moments of a list; those that end before they begin are left out."""
        return self._windows(name, self.value.get(name), "a list of [start, end] in seconds")

    def wrong(self, name: str, expected: str) -> UsageError:
        """The error for a value that is missing or not what it should be."""
        if name not in self.value:
            return self.error(f"got no {name}, expected {expected}")
        return self.error(f"got {json.dumps(self.value[name])} as {name}, expected {expected}")

    def _windows(self, name: str, given: object, expected: str) -> tuple[Span, ...]:
        if not isinstance(given, list):
            raise self.wrong(name, expected)
        windows = []
        for pair in given:
            if not isinstance(pair, list) or len(pair) != 2 or not all(map(_is_time, pair)):
                raise self.wrong(name, expected)
            windows.append(Span(float(pair[0]), float(pair[1])))
        return tuple(window for window in windows if window.end_s > window.start_s)


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < math.inf


def _msrvtt(source: Path) -> Iterator[Query]:
    """MSR-VTT's JSON, each sentence a query; or the CSV of its 1k-A split (Yu et al., 2018), each row a query."""
    if source.suffix.lower() == ".csv":
        for line, cells in read_rows(source, _ARGUMENT, _csv_columns, expected=_EXPECTED):
            entry = _Entry(source, f"line {line}", dict(cells))
            yield Query(line, entry.text("sentence"), entry.text("video_id"))
        return
    data = _json(source)
    videos = {video.text("video_id"): video.text("split") for video in _listed(source, data, "videos")}
    for number, sentence in enumerate(_listed(source, data, "sentences")):
        video = sentence.text("video_id")
        if video not in videos:
            raise sentence.error(f"got video_id {video!r}, expected one of `videos`")
        yield Query(number, sentence.text("caption"), video, split=videos[video])


def _csv_columns(header: Sequence[str], where: FileLine) -> list[str]:
    columns = [cell.strip() for cell in header]
    if not {"video_id", "sentence"} <= set(columns):
        raise where.error(f"got the columns {', '.join(columns)}, expected video_id and sentence among them")
    return columns


def _msvd(source: Path) -> Iterator[Query]:
    """MSVD's descriptions, each a query: lines of a video's name, which ends in its seconds of the film, and a sentence."""
    for where, line in _lines(source):
        video, _, caption = line.partition(" ")
        if line.startswith("#"):
            continue
        if not re.search(r"_\d+_\d+$", video) or not caption.strip():
            raise where.error(f"got {line!r}, expected VIDEO_START_END and a sentence")
        yield Query(where.line, caption.strip(), video)


def _didemo(source: Path) -> Iterator[Query]:
    """DiDeMo's JSON; all descriptions of a video are one query, in the order of the file."""
    of_video: dict[str, list[str]] = {}
    for entry in _objects(source, _json(source), "", "a list of objects with video and description"):
        of_video.setdefault(entry.text("video"), []).append(entry.text("description"))
    for number, (video, texts) in enumerate(of_video.items()):
        yield Query(number, " ".join(texts), video)


def _activitynet(source: Path) -> Iterator[Query]:
    """ActivityNet Captions' JSON; all sentences of a video are one query."""
    data = _json(source)
    if not isinstance(data, dict):
        raise _wrong_form(source, "an object with a video's duration, timestamps and sentences by its name")
    for number, (video, value) in enumerate(data.items()):
        entry = _entry(source, repr(video), value)
        text = " ".join(" ".join(entry.texts("sentences")).split())
        if not text:
            raise entry.wrong("sentences", "a list of texts that are not all blank")
        yield Query(number, text, video)


def _charades_sta(source: Path) -> Iterator[Query]:
    """Charades-STA's lines: a video's name, a moment's start and end, and after ``##`` its sentence."""
    for where, line in _lines(source):
        head, _, sentence = line.partition("##")
        try:
            video, *times = head.split()
            start_s, end_s = map(float, times)
        except ValueError:
            video, start_s, end_s = "", math.nan, math.nan
        if not (_is_time(start_s) and _is_time(end_s) and sentence.strip()):
            raise where.error(f"got {line!r}, expected VIDEO START END##SENTENCE with seconds from 0")
        yield Query(where.line, sentence.strip(), video, (Span(start_s, end_s),) if end_s > start_s else ())


def _qvhighlights(source: Path) -> Iterator[Query]:
    """QVHighlights' JSON lines."""
    for entry in _json_lines(source):
        yield Query(entry.whole("qid"), entry.text("query"), entry.text("vid"), entry.windows("relevant_windows"))


def _tvr(source: Path) -> Iterator[Query]:
    """TVR's JSON lines."""
    for entry in _json_lines(source):
        yield Query(entry.whole("desc_id"), entry.text("desc"), entry.text("vid_name"), entry.window("ts"))


READERS: dict[str, Callable[[Path], Iterator[Query]]] = {
    "msrvtt": _msrvtt,
    "msvd": _msvd,
    "didemo": _didemo,
    "activitynet": _activitynet,
    "charades-sta": _charades_sta,
    "qvhighlights": _qvhighlights,
    "tvr": _tvr,
}


def _lines(source: Path) -> Iterator[tuple[FileLine, str]]:
    """The lines that are not blank, without blanks around them."""
    text = read_text(source, _ARGUMENT, _EXPECTED, kind="text file")
    for number, line in enumerate(text.split("\n"), 1):
        if line.strip():
            yield FileLine(_ARGUMENT, source, number), line.strip()


def _json_lines(source: Path) -> Iterator[_Entry]:
    """The objects of a file with one on each line."""
    for where, line in _lines(source):
        yield _entry(source, f"line {where.line}", _parsed(line, where))


def _json(source: Path) -> Any:
    """What a file holds as one JSON value."""
    return _parsed(read_text(source, _ARGUMENT, _EXPECTED, kind="JSON file"), FileLine(_ARGUMENT, source, 1))


def _parsed(text: str, where: FileLine) -> Any:
    try:
        return json.loads(text)
    except (ValueError, RecursionError) as exc:
        line = where.line + getattr(exc, "lineno", 1) - 1
        message = f"got no valid JSON ({getattr(exc, 'msg', exc)}), expected {_EXPECTED}"
        raise FileLine(where.argument, where.source, line).error(message) from exc


def _listed(source: Path, data: object, name: str) -> Iterator[_Entry]:
    """The objects of a list that is an attribute of the whole."""
    expected = "an object with the lists videos and sentences"
    if not isinstance(data, dict) or name not in data:
        raise _wrong_form(source, expected)
    return _objects(source, data[name], name, expected)


def _objects(source: Path, values: object, name: str, expected: str) -> Iterator[_Entry]:
    """The objects of a list, which messages call ``name``."""
    if not isinstance(values, list):
        raise _wrong_form(source, expected)
    for number, value in enumerate(values):
        yield _entry(source, f"{name}[{number}]", value)


def _entry(source: Path, where: str, value: object) -> _Entry:
    if not isinstance(value, dict):
        message = f"{where}: got {json.dumps(value)}, expected a JSON object"
        raise UsageError(message, argument=_ARGUMENT, value=source)
    return _Entry(source, where, value)


def _wrong_form(source: Path, expected: str) -> UsageError:
    return UsageError(f"got JSON of another layout, expected {expected}", argument=_ARGUMENT, value=source)
