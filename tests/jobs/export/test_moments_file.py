"""Lines of a search, read back: none of them is trusted."""

from __future__ import annotations

import io
import json
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from jobs.export.moments_file import RequestedMoment, read_hits
from schemas.errors import UsageError
from schemas.records import Span, path_text
from schemas.search import Moment, moment_json
from tests.helpers.videos import write_video

GOOD = {"path": "/films/a.mp4", "start_s": 1, "end_s": 2.5}


def test_what_search_prints_is_read(tmp_path: Path) -> None:
    moment = Moment(1, 0.25, "/films/a.mp4", "v", 7, 1.0, 2.5, "waving", 0.9, 0.5, 1.0, 2.5, 1)
    (tmp_path / "hits.jsonl").write_text(json.dumps(moment_json(moment)) + "\n\n" + json.dumps(GOOD) + "\n")
    assert read_hits(str(tmp_path / "hits.jsonl")) == (
        RequestedMoment(1, "/films/a.mp4", Span(1.0, 2.5), 1, 0.25, "waving"),
        RequestedMoment(3, "/films/a.mp4", Span(1.0, 2.5), None, None, None),
    )


def test_standard_input(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BytesIO(json.dumps(GOOD).encode())))
    assert [moment.span for moment in read_hits("-")] == [Span(1.0, 2.5)]


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("{", "not JSON in UTF-8"),
        ("[" * 100_000, "not JSON in UTF-8"),
        ("[1]", "got [1], expected an object with path, start_s and end_s"),
        (json.dumps({**GOOD, "path": None}), "path is None, expected the path of a video"),
        (json.dumps({**GOOD, "path": "a\0b"}), "path is 'a\\x00b', expected the path of a video"),
        (json.dumps({**GOOD, "start_s": "1"}), "start_s is '1', expected a number"),
        (json.dumps({**GOOD, "start_s": True}), "start_s is True, expected a number"),
        (json.dumps({**GOOD, "end_s": 10**400}), "end_s is 1000000"),
        (json.dumps({"path": "a", "start_s": 1}), "end_s is None, expected a number"),
        ('{"path": "a", "start_s": 0, "end_s": NaN}', "end_s is nan, expected a number"),
        ('{"path": "a", "start_s": 0, "end_s": Infinity}', "end_s is inf, expected a number"),
        (json.dumps({**GOOD, "start_s": -1}), "got start_s -1 and end_s 2.5, expected 0 or more and more than that"),
        (json.dumps({**GOOD, "start_s": 2.5}), "got start_s 2.5 and end_s 2.5"),
        (json.dumps({**GOOD, "rank": 1.5}), "rank is 1.5, expected a whole number from 1"),
        (json.dumps({**GOOD, "rank": 0}), "rank is 0, expected a whole number from 1"),
        (json.dumps({**GOOD, "score": "x"}), "score is 'x', expected a number"),
        (json.dumps({**GOOD, "label": 3}), "label is 3, expected text or null"),
        (json.dumps({**GOOD, "text": 3}), "text is 3, expected text or null"),
        (json.dumps({**GOOD, "reasons": "x"}), "reasons is 'x', expected a list of objects"),
        (json.dumps({**GOOD, "reasons": [4]}), "reasons is [4], expected a list of objects"),
    ],
)
def test_a_line_that_is_off_is_named(tmp_path: Path, line: str, message: str) -> None:
    (tmp_path / "h").write_text(json.dumps(GOOD) + "\n" + line + "\n")
    with pytest.raises(UsageError) as caught:
        read_hits(str(tmp_path / "h"))
    assert str(caught.value).startswith(f"hits {tmp_path / 'h'}: line 2: {message}")


def test_nothing_to_read(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="cannot be read: No such file or directory; make the lines with: vidsift search"):
        read_hits(str(tmp_path / "gone"))
    (tmp_path / "h").write_text("\n")
    with pytest.raises(UsageError, match="got no line, expected one or more"):
        read_hits(str(tmp_path / "h"))


def test_names_are_found_in_either_spelling(tmp_path: Path) -> None:
    path = str(write_video(tmp_path / "fu\u0308r.mp4", 5))
    (tmp_path / "h").write_text(json.dumps({**GOOD, "path": path.replace("u\u0308", "\u00fc")}))
    assert read_hits(str(tmp_path / "h"))[0].path == path


def test_names_that_are_no_utf8_are_found(tmp_path: Path) -> None:
    path = os.path.join(str(tmp_path), os.fsdecode(b"caf\xe9.mp4"))
    shutil.copy(write_video(tmp_path / "a.mp4", 5), path)
    (tmp_path / "h").write_text(json.dumps({**GOOD, "path": path_text(path)}))
    assert read_hits(str(tmp_path / "h"))[0].path == path
