from __future__ import annotations

import json
from pathlib import Path

import pytest

from jobs.ingest.timing import StageTiming
from jobs.ingest.trace import check_trace, write_trace
from schemas.errors import UsageError


def test_a_trace_is_what_perfetto_opens(tmp_path: Path) -> None:
    timings = [
        StageTiming("decode", 12.5, 2.0, 1.5, 3, 12.0, "host/7", "a.mp4 part 1 of 1"),
        StageTiming("plan", 10.0, 0.25, 0.2, 1, 12.0, "host/7", "a.mp4"),
        StageTiming("annotate", 14.5, 1.0, 2.0, 3, 12.0, "other/9", thread=90),
        StageTiming("annotate", 15.0, 1.0, 2.0, 3, 12.0, "other/9", thread=91),
    ]
    write_trace(tmp_path / "t.json", timings)
    events = json.loads((tmp_path / "t.json").read_text())["traceEvents"]
    assert [(event["pid"], event["args"]["name"]) for event in events if event["ph"] == "M"] == [
        (1, "decode+plan host/7"),
        (2, "annotate other/9"),
    ]
    assert [(e["name"], e["pid"], e["tid"], e["ts"], e["dur"]) for e in events if e["ph"] == "X"] == [
        ("plan", 1, 1, 0, 250_000),
        ("decode", 1, 1, 2_500_000, 2_000_000),
        ("annotate", 2, 1, 4_500_000, 1_000_000),
        ("annotate", 2, 2, 5_000_000, 1_000_000),
    ]
    assert events[3]["args"] == {"count": 3, "video_s": 12.0, "cpu_s": 1.5, "about": "a.mp4 part 1 of 1"}


def test_a_trace_that_cannot_be_written_is_said_before_the_run(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"^trace: '.*/no/t.json' cannot be written: No such file or directory; give a"):
        check_trace(tmp_path / "no" / "t.json")


def test_a_trace_takes_the_place_of_a_trace_and_of_nothing_else(tmp_path: Path) -> None:
    (tmp_path / "film.mp4").write_bytes(b"a film")
    with pytest.raises(UsageError, match=r"^trace: '.*film\.mp4' exists and is not a trace; name another file$"):
        check_trace(tmp_path / "film.mp4")
    assert (tmp_path / "film.mp4").read_bytes() == b"a film"
    for _ in range(2):
        check_trace(tmp_path / "trace.json")
        write_trace(tmp_path / "trace.json", [])
