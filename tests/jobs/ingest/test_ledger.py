from __future__ import annotations

import random

import pytest

from jobs.ingest.ledger import VideoLedger
from schemas.records import Problem, SpanDone, VideoFailed, VideoFile, VideoInfo, Written, video_id_of

FILES = [VideoFile(f"/v/{i}.mp4", 1, 1) for i in range(4)]
VIDEOS = [VideoInfo(f"{i:016x}", file, "hash", duration_s=120.0) for i, file in enumerate(FILES)]


def done(video: int, part: int, clips: tuple[int, ...], *problems: Problem, num_parts: int = 2) -> SpanDone:
    return SpanDone(VIDEOS[video], part, num_parts, clips, problems)


def written(**clips: tuple[int, ...]) -> Written:
    return Written("part.parquet", 1, {VIDEOS[int(name[1:])].video_id: ids for name, ids in clips.items()})


OUTCOMES: list[Written | SpanDone | VideoFailed] = [
    done(0, 0, (1, 2)),
    done(0, 1, (3,)),
    done(1, 0, (4,), Problem("decode", "damaged"), num_parts=1),
    VideoFailed(VIDEOS[2], "probe", "no video stream"),
    done(3, 0, (), Problem("decode", "no frame"), num_parts=1),
    written(v0=(1, 2), v1=(4,)),
    written(v0=(3,)),
]


@pytest.mark.parametrize("seed", range(20))
def test_every_video_ends_in_one_row_whatever_the_order(seed: int) -> None:
    outcomes = random.Random(seed).sample(OUTCOMES, len(OUTCOMES))
    ledger = VideoLedger(FILES)
    rows = []
    for outcome in outcomes:
        ledger.add(outcome)
        rows += ledger.take_finished()
    assert ledger.num_finished == 4
    found = {row.video.file.path: (row.status, row.clip_count, row.error_stage, row.error) for row in rows}
    assert len(rows) == 4
    assert found == {
        "/v/0.mp4": ("indexed", 3, None, None),
        "/v/1.mp4": ("partial", 1, "decode", "damaged"),
        "/v/2.mp4": ("failed", 0, "probe", "no video stream"),
        "/v/3.mp4": ("failed", 0, "decode", "no frame"),
    }


def test_a_video_is_not_done_before_its_clips_are_written() -> None:
    ledger = VideoLedger(FILES[:1])
    ledger.add(done(0, 0, (1,)))
    ledger.add(done(0, 1, (2,)))
    ledger.add(written(v0=(1,)))
    assert ledger.take_finished() == []
    ledger.add(written(v0=(2,)))
    assert [row.status for row in ledger.take_finished()] == ["indexed"]


def test_what_never_comes_back_is_said_and_what_did_is_kept() -> None:
    ledger = VideoLedger(FILES)
    ledger.add(done(0, 0, (1, 2)))  # its second part is lost
    ledger.add(written(v0=(1, 2)))
    ledger.add(done(1, 0, (3,), num_parts=1))  # its clip is lost
    ledger.close(FILES, lambda file: Problem("decode", "the worker died"))
    rows = {row.video.file.path: row for row in ledger.take_finished()}
    assert {path: (row.status, row.clip_count) for path, row in rows.items()} == {
        "/v/0.mp4": ("partial", 2),
        "/v/1.mp4": ("failed", 0),
        "/v/2.mp4": ("failed", 0),
        "/v/3.mp4": ("failed", 0),
    }
    assert rows["/v/0.mp4"].error == "1 of 2 parts: the worker died"
    assert rows["/v/2.mp4"].error == "the worker died"
    assert rows["/v/2.mp4"].video.video_id == video_id_of(None, "/v/2.mp4")


def test_a_reason_is_said_once() -> None:
    ledger = VideoLedger(FILES[:1])
    ledger.add(done(0, 0, (1,), Problem("probe", "cut off"), Problem("decode", "damaged")))
    ledger.add(done(0, 1, (2,), Problem("decode", "damaged")))
    ledger.add(written(v0=(1, 2)))
    (row,) = ledger.take_finished()
    assert (row.status, row.error_stage, row.error) == ("partial", "probe", "cut off; damaged")
