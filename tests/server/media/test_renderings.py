"""Renderings are made once, in processes whose end costs one rendering, and by as many as there are processes."""

from __future__ import annotations

import asyncio
import os
import signal
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from schemas.records import Span
from server.media import renderings as module
from server.media.cache import RenderingCache
from server.media.renderings import WIDTHS, Renderings
from server.media.tasks import RenderTask
from server.media.video_file import MediaError, VideoFile
from tests.helpers.media import video_file
from tests.helpers.videos import decode_all, number_in, write_video, write_with_sound

SPAN = Span(1.0, 3.0)


def by_first_byte(task: RenderTask) -> None:
    """Do as the video's first byte says, and note in its folder when it was done."""
    path = Path(task.video.path)
    what = path.read_bytes()[:1]
    log(path, "begins")
    if what == b"K":
        os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(60)
    if what == b"H":
        time.sleep(60)
    if what == b"S":
        time.sleep(0.5)
    while what == b"G" and not (path.parent / "gate").exists():
        time.sleep(0.01)
    task.output.write_bytes(what * 1000)
    log(path, "ends")


def log(path: Path, what: str) -> None:
    with (path.parent / "log").open("a") as file:
        file.write(f"{path.name} {what}\n")


def lines(folder: Path) -> list[str]:
    return (folder / "log").read_text().splitlines() if (folder / "log").exists() else []


def made_up(folder: Path, name: str, content: bytes) -> VideoFile:
    (folder / name).write_bytes(content)
    return video_file(folder / name)


@pytest.fixture
def made_up_work(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_WORK", dict.fromkeys(("picture", "strip", "moment"), by_first_byte))


@asynccontextmanager
async def running(
    folder: Path, *, processes: int = 2, timeout_s: float = 60.0, cache_mb: int = 10
) -> AsyncIterator[Renderings]:
    renderings = Renderings(folder / "cache", cache_mb=cache_mb, processes=processes, timeout_s=timeout_s)
    try:
        yield renderings
    finally:
        await renderings.close()


def run(folder: Path, check: Callable[[Renderings], Awaitable[None]], **options: float) -> None:
    async def main() -> None:
        async with running(folder, **options) as renderings:  # type: ignore[arg-type]
            await check(renderings)

    asyncio.run(main())


async def refusal(request: Awaitable[Path]) -> tuple[str, str]:
    with pytest.raises(MediaError) as caught:
        await request
    return caught.value.problem, caught.value.reason


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(60):
        while not condition():
            await asyncio.sleep(0.01)


def test_pictures_animations_and_pieces_show_the_span(tmp_path: Path) -> None:
    video = video_file(write_with_sound(tmp_path / "a.mp4", 10, options={"g": "250", "sc_threshold": "0"}))
    span = Span(3.0, 5.0)

    async def check(renderings: Renderings) -> None:
        picture, strip, moment = await asyncio.gather(
            renderings.picture(video, span), renderings.strip(video, span), renderings.moment(video, span)
        )
        shown = Image.open(picture)
        assert (shown.format, shown.size) == ("JPEG", (160, 120))  # as small as the video is
        assert abs(number_in(np.asarray(shown.convert("RGB"))) - 100) <= 2
        animation = Image.open(strip)
        assert (animation.format, getattr(animation, "n_frames", 1), animation.info["loop"]) == ("WEBP", 8, 0)
        numbers = []
        for number in range(8):
            animation.seek(number)
            numbers.append(number_in(np.asarray(animation.convert("RGB"))))
        assert np.abs(np.array(numbers) - (78 + 6.25 * np.arange(8))).max() <= 3
        assert [number_in(frame) for frame in decode_all(moment)[1]] == list(range(75, 125))
        counts = renderings.counts()
        assert (counts.misses, counts.hits, counts.cached, counts.running, counts.waiting) == (3, 0, 3, 0, 0)
        assert counts.cached_bytes == sum(path.stat().st_size for path in (picture, strip, moment))
        assert await renderings.picture(video, span) == picture
        assert renderings.counts().hits == 1

    run(tmp_path, check)


def test_renderings_outlast_the_server(tmp_path: Path, made_up_work: None) -> None:
    video = made_up(tmp_path, "a", b"fast")

    async def check(renderings: Renderings) -> None:
        await renderings.picture(video, SPAN)

    run(tmp_path, check)
    run(tmp_path, check)
    assert lines(tmp_path) == ["a begins", "a ends"]


def test_each_span_width_and_version_of_a_file_is_another_rendering(tmp_path: Path, made_up_work: None) -> None:
    video = made_up(tmp_path, "a", b"fast")

    async def check(renderings: Renderings) -> None:
        first = await renderings.picture(video, SPAN, 320)
        assert await renderings.picture(video, SPAN, 300) == first  # rounded up
        assert await renderings.picture(video, SPAN, 10_000) == await renderings.picture(video, SPAN, WIDTHS[-1])
        others = [
            await renderings.picture(video, SPAN, 640),
            await renderings.picture(video, Span(1.0, 3.001)),
            await renderings.strip(video, SPAN),
            await renderings.picture(replace(video, track=2), SPAN),
            await renderings.picture(replace(video, modified_us=1), SPAN),
        ]
        assert len({first, *others}) == 6

    run(tmp_path, check)


def test_file_that_changed_is_an_error(tmp_path: Path) -> None:
    video = video_file(write_video(tmp_path / "a.mp4", 50))

    async def check(renderings: Renderings) -> None:
        os.utime(video.path)
        for request in (renderings.picture, renderings.strip, renderings.moment):
            assert (await refusal(request(video, SPAN)))[0] == "changed"
        os.unlink(video.path)
        assert (await refusal(renderings.picture(video, SPAN)))[0] == "gone"
        assert renderings.counts().failures == {"changed": 3, "gone": 1}
        assert renderings.counts().restarts == 0

    run(tmp_path, check)
    assert list((tmp_path / "cache").iterdir()) == []


def test_what_cannot_be_decoded_says_why(tmp_path: Path) -> None:
    video = made_up(tmp_path, "a.mp4", b"no video at all")

    async def check(renderings: Renderings) -> None:
        problem, reason = await refusal(renderings.picture(video, SPAN))
        assert problem == "undecodable"
        assert "no video container that FFmpeg can read" in reason

    run(tmp_path, check)


def test_killed_process_costs_one_picture(tmp_path: Path, made_up_work: None) -> None:
    videos = [made_up(tmp_path, name, content) for name, content in (("a", b"K"), ("b", b"fast"), ("c", b"fast"))]

    async def check(renderings: Renderings) -> None:
        outcomes = await asyncio.gather(*(renderings.picture(video, SPAN) for video in videos), return_exceptions=True)
        assert isinstance(outcomes[0], MediaError)
        assert (outcomes[0].problem, outcomes[0].status) == ("crashed", 422)
        assert outcomes[0].reason == "its decoder crashed: the process was ended by SIGKILL"
        assert [isinstance(outcome, Path) for outcome in outcomes] == [False, True, True]
        assert (renderings.counts().restarts, renderings.counts().failures) == (1, {"crashed": 1})
        assert isinstance(await renderings.picture(videos[1], Span(0, 1)), Path)  # by a new process

    run(tmp_path, check, processes=1)
    assert all(entry.suffix == ".jpg" for entry in (tmp_path / "cache").iterdir())


def test_task_that_takes_too_long_costs_one_picture(tmp_path: Path, made_up_work: None) -> None:
    hanging, fast = made_up(tmp_path, "a", b"H"), made_up(tmp_path, "b", b"fast")

    async def check(renderings: Renderings) -> None:
        assert await refusal(renderings.picture(hanging, SPAN)) == ("too slow", "it was given up: it took longer than 2 s")
        assert isinstance(await renderings.picture(fast, SPAN), Path)

    run(tmp_path, check, processes=1, timeout_s=2)


def test_requests_for_the_same_share_one_rendering(tmp_path: Path, made_up_work: None) -> None:
    video = made_up(tmp_path, "a", b"S")

    async def check(renderings: Renderings) -> None:
        paths = await asyncio.gather(*(renderings.picture(video, SPAN) for _ in range(5)))
        assert len(set(paths)) == 1
        counts = renderings.counts()
        assert (counts.misses, counts.shared, counts.hits) == (1, 4, 0)

    run(tmp_path, check)
    assert lines(tmp_path) == ["a begins", "a ends"]


def test_request_that_leaves_does_not_disturb_those_that_share(tmp_path: Path, made_up_work: None) -> None:
    video = made_up(tmp_path, "a", b"S")

    async def check(renderings: Renderings) -> None:
        leaves = asyncio.create_task(renderings.picture(video, SPAN))
        stays = asyncio.create_task(renderings.picture(video, SPAN))
        await asyncio.sleep(0)
        leaves.cancel()
        assert (await stays).exists()
        with pytest.raises(asyncio.CancelledError):
            await leaves

    run(tmp_path, check)


def test_request_that_leaves_while_it_waits_is_never_begun(tmp_path: Path, made_up_work: None) -> None:
    slow, waiting, last = (made_up(tmp_path, name, b"S") for name in "abc")

    async def check(renderings: Renderings) -> None:
        first = asyncio.create_task(renderings.picture(slow, SPAN))
        await until(lambda: lines(tmp_path) == ["a begins"])
        left = asyncio.create_task(renderings.picture(waiting, SPAN))
        stays = asyncio.create_task(renderings.picture(last, SPAN))
        await until(lambda: renderings.counts().waiting == 2)
        left.cancel()
        await until(lambda: renderings.counts().waiting == 1)
        await asyncio.gather(first, stays)
        counts = renderings.counts()
        assert (counts.cancelled, counts.running, counts.waiting) == (1, 0, 0)
        assert (await renderings.picture(waiting, SPAN)).exists()  # asked for again, it is made

    run(tmp_path, check, processes=1)
    assert lines(tmp_path) == ["a begins", "a ends", "c begins", "c ends", "b begins", "b ends"]


def test_request_that_leaves_a_begun_rendering_leaves_it_to_the_cache(tmp_path: Path, made_up_work: None) -> None:
    video = made_up(tmp_path, "a", b"S")

    async def check(renderings: Renderings) -> None:
        request = asyncio.create_task(renderings.picture(video, SPAN))
        await until(lambda: lines(tmp_path) == ["a begins"])
        request.cancel()
        await until(lambda: renderings.counts().cached == 1)
        await renderings.picture(video, SPAN)
        assert renderings.counts().hits == 1

    run(tmp_path, check)


def test_no_more_at_once_than_processes_and_half_of_them_for_pieces(tmp_path: Path, made_up_work: None) -> None:
    pieces = [made_up(tmp_path, f"piece{number}", b"G") for number in range(3)]
    picture = made_up(tmp_path, "picture", b"fast")

    async def check(renderings: Renderings) -> None:
        made = [asyncio.create_task(renderings.moment(video, SPAN)) for video in pieces]
        await until(lambda: len(lines(tmp_path)) == 1)
        await renderings.picture(picture, SPAN)
        assert lines(tmp_path) == ["piece0 begins", "picture begins", "picture ends"]
        (tmp_path / "gate").touch()
        await asyncio.gather(*made)

    run(tmp_path, check, processes=2)
    order = [line for line in lines(tmp_path) if line.startswith("piece")]
    assert [line.split()[1] for line in order] == ["begins", "ends"] * 3


def test_cache_stays_within_its_limit(tmp_path: Path, made_up_work: None) -> None:
    video = made_up(tmp_path, "a", b"fast")

    async def check(renderings: Renderings) -> None:
        renderings._cache = RenderingCache(tmp_path / "cache", 3000, in_use_s=0)
        for number in range(5):
            await renderings.picture(video, Span(number, number + 1))
        counts = renderings.counts()
        assert (counts.cached, counts.cached_bytes, counts.deleted) == (3, 3000, 2)

    run(tmp_path, check)


def test_closing_ends_what_runs_and_refuses_the_rest(tmp_path: Path, made_up_work: None) -> None:
    running_video, waiting_video = made_up(tmp_path, "a", b"H"), made_up(tmp_path, "b", b"fast")

    async def check(renderings: Renderings) -> None:
        requests = [asyncio.create_task(renderings.picture(video, SPAN)) for video in (running_video, waiting_video)]
        await until(lambda: lines(tmp_path) == ["a begins"])
        began_s = time.monotonic()
        await renderings.close()
        assert time.monotonic() - began_s < 10
        assert [await refusal(request) for request in requests] == [("closed", "the server is stopping")] * 2
        assert (await refusal(renderings.picture(waiting_video, SPAN)))[0] == "closed"

    run(tmp_path, check, processes=1)
    assert list((tmp_path / "cache").iterdir()) == []


def test_how_videos_are_played(tmp_path: Path) -> None:
    plays = write_with_sound(tmp_path / "a.mp4", 1)
    sounds_else = write_with_sound(tmp_path / "b.mp4", 1, codec="ac3", samples=1536)

    async def check(renderings: Renderings) -> None:
        for _ in range(2):
            assert await renderings.how_to_play(video_file(plays, codec="h264", container="mp4")) == "file"
            assert await renderings.how_to_play(video_file(sounds_else, codec="h264", container="mp4")) == "moment"
        assert renderings.counts().misses == 2  # and remembered
        assert await renderings.how_to_play(video_file(plays, codec="hevc", container="mp4")) == "moment"
        assert await renderings.how_to_play(video_file(plays, codec="h264", container="mp4", track=2)) == "moment"
        assert renderings.counts().misses == 2  # the catalogue says enough

    run(tmp_path, check)


def test_what_failed_by_itself_is_not_tried_again_at_once(
    tmp_path: Path, made_up_work: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    video, changed = made_up(tmp_path, "a", b"K"), made_up(tmp_path, "b", b"fast")

    async def check(renderings: Renderings) -> None:
        for _ in range(3):
            assert (await refusal(renderings.picture(video, SPAN)))[0] == "crashed"
        assert lines(tmp_path) == ["a begins"]
        monkeypatch.setattr(module, "_FAILED_S", 0.0)
        assert (await refusal(renderings.picture(video, SPAN)))[0] == "crashed"
        assert lines(tmp_path) == ["a begins"] * 2
        assert isinstance(await renderings.picture(changed, SPAN), Path)

    run(tmp_path, check)


@pytest.mark.parametrize("span", [(1, 1), (2, 1), (-1, 1), (float("nan"), 1), (0, float("inf"))])
def test_span_that_is_none_is_refused(tmp_path: Path, span: tuple[float, float]) -> None:
    async def check(renderings: Renderings) -> None:
        for request in (renderings.picture, renderings.strip, renderings.moment):
            assert (await refusal(request(made_up(tmp_path, "a", b""), Span(*span))))[0] == "bad span"

    run(tmp_path, check)


def test_piece_that_is_too_long_is_refused(tmp_path: Path) -> None:
    async def check(renderings: Renderings) -> None:
        refused = await refusal(renderings.moment(made_up(tmp_path, "a", b""), Span(0, 601)))
        assert refused == ("bad span", "got 601 s, expected at most 600 s")

    run(tmp_path, check)
