"""Pictures, animations and pieces of videos, made on request in processes of their own and kept in a folder."""

from __future__ import annotations

import asyncio
import hashlib
import json
import math
import time
from collections import Counter, OrderedDict
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Generic, Literal, TypeVar

from pipeline.isolated_process import IsolatedProcess, ProcessCrashed, TaskTimedOut
from pipeline.previews.streams import Streams
from schemas.errors import JobError, VideoError
from schemas.records import Span
from server.media.cache import RenderingCache
from server.media.playable import Play, how_to_play, may_play
from server.media.tasks import RenderTask, look, render_moment, render_picture, render_strip
from server.media.video_file import MediaError, VideoFile

Result = TypeVar("Result")
Kind = Literal["picture", "strip", "moment"]

# Counted up where renderings come out differently, so that older ones are not taken for them.
_VERSION = 1

# Pictures of other widths are made in the next larger of these, so that no page fills the cache with its own.
WIDTHS = (160, 320, 480, 640, 960, 1280)

_WORK: dict[Kind, Callable[[RenderTask], None]] = {
    "picture": render_picture,
    "strip": render_strip,
    "moment": render_moment,
}
_ENDINGS: dict[Kind, str] = {"picture": ".jpg", "strip": ".webp", "moment": ".mp4"}

# Videos of which it is remembered how they play, and renderings of which it is remembered that they failed.
_REMEMBERED = 4096

# What failed for a reason of the video's own is not tried again for this many seconds: a page asks for it at each look.
_FAILED_S = 300.0
_OWN_REASONS = frozenset({"undecodable", "crashed", "too slow"})

# A longer piece is refused: it would fill the cache. Longer videos are played by their file.
MAX_MOMENT_S = 600.0


@dataclass(frozen=True, slots=True)
class RenderingCounts:
    """What renderings have done since they were made, for metrics.

    Attributes:
        running: tasks in processes now.
        waiting: tasks that wait for a process now.
        hits: requests that were answered from the folder.
        shared: requests that were answered by another request's rendering.
        misses: requests that had to be rendered.
        cancelled: renderings that nobody waited for any more, given up before they began.
        failures: failed tasks by `MediaError.problem`.
        restarts: processes that were ended or died.
        cached: renderings in the folder.
        cached_bytes: their size.
        deleted: renderings deleted for the limit.
    """

    running: int
    waiting: int
    hits: int
    shared: int
    misses: int
    cancelled: int
    failures: dict[str, int]
    restarts: int
    cached: int
    cached_bytes: int
    deleted: int


@dataclass(slots=True, eq=False)
class _Shared(Generic[Result]):
    """A piece of work that several requests may wait for."""

    task: asyncio.Task[Result]
    requests: int = 0
    begun: bool = field(default=False)


class Renderings:
    """Makes and keeps renderings; for one event loop.

    Decoding happens in other processes, so that a file that crashes a decoder, or that it never returns from, costs one
    rendering. Pieces take at most half of the processes, so that pictures do not wait for them.
    """

    def __init__(self, cache_folder: Path, *, cache_mb: int = 1024, processes: int = 2, timeout_s: float = 30.0) -> None:
        """Prepare; processes are started when they are needed.

        Args:
            cache_folder: where renderings are kept; made where there is none.
            cache_mb: its limit in millions of bytes.
            processes: how many work at once.
            timeout_s: seconds after which a picture or an animation is given up; a piece is after ten times as many.

        Raises:
            OSError: the folder cannot be made or read.
        """
        self.on_stage: Callable[[str, float], None] = lambda stage, seconds: None
        self._cache = RenderingCache(cache_folder, cache_mb * 1_000_000)
        self._timeout_s = timeout_s
        self._idle = [IsolatedProcess() for _ in range(processes)]
        self._all = tuple(self._idle)
        self._threads = ThreadPoolExecutor(processes, "rendering")
        self._slots, self._moments = asyncio.Semaphore(processes), asyncio.Semaphore(max(1, processes // 2))
        self._shared: dict[str, _Shared[Any]] = {}
        self._streams: OrderedDict[VideoFile, Streams] = OrderedDict()
        self._failed: OrderedDict[str, tuple[float, MediaError]] = OrderedDict()
        self._counts: Counter[str] = Counter()
        self._failures: Counter[str] = Counter()
        self._running = self._waiting = 0
        self._closed = False

    async def picture(self, video: VideoFile, span: Span, width: int = 320) -> Path:
        """A JPEG of a frame from within a span: the middle one, or one near it that costs much less.

        Args:
            video: the video.
            span: an interval of it, in seconds.
            width: pixels across, rounded up to one of `WIDTHS`; small videos are not enlarged.

        Returns:
            A file, which stays for at least ten seconds.

        Raises:
            MediaError: the file cannot be shown, or the picture cannot be made.
        """
        return await self._rendered("picture", video, span, _rounded(width))

    async def strip(self, video: VideoFile, span: Span, width: int = 320) -> Path:
        """An animated WebP of eight frames of a span; see `picture`."""
        return await self._rendered("strip", video, span, _rounded(width))

    async def moment(self, video: VideoFile, span: Span) -> Path:
        """An MP4 of a span, which browsers play and seek in; see `picture`.

        It begins up to half a second before the span and ends up to half a second later where packets can be copied.
        """
        if span.end_s - span.start_s > MAX_MOMENT_S:
            raise MediaError("bad span", f"got {span.end_s - span.start_s:g} s, expected at most {MAX_MOMENT_S:g} s")
        return await self._rendered("moment", video, span, 0)

    async def how_to_play(self, video: VideoFile) -> Play:
        """Whether a browser plays the file as it is: see `server.media.playable`.

        Raises:
            MediaError: the file cannot be shown.
        """
        if not may_play(video.container, video.codec, video.track):
            return "moment"
        streams = self._streams.get(video)
        if streams is None:
            task = RenderTask(video, Span(0.0, 0.0), 0, Path(), "")
            streams = await self._share(_key("look", video, task.span, 0), lambda shared: self._look(shared, task))
            self._streams[video] = streams
            if len(self._streams) > _REMEMBERED:
                self._streams.popitem(last=False)
        return how_to_play(video.container, video.codec, streams.pixel_format, streams.sound, video.track)

    def counts(self) -> RenderingCounts:
        """What has been done so far."""
        counts = self._counts
        return RenderingCounts(
            running=self._running,
            waiting=self._waiting,
            hits=counts["hits"],
            shared=counts["shared"],
            misses=counts["misses"],
            cancelled=counts["cancelled"],
            failures=dict(self._failures),
            restarts=counts["restarts"],
            cached=len(self._cache),
            cached_bytes=self._cache.size_bytes,
            deleted=self._cache.deleted,
        )

    async def close(self) -> None:
        """End all processes, and whatever they work on; those who wait get a `MediaError`."""
        self._closed = True
        for shared in list(self._shared.values()):
            shared.task.cancel()
        for process in self._all:
            process.stop()
        await asyncio.gather(*(shared.task for shared in self._shared.values()), return_exceptions=True)
        await asyncio.to_thread(self._threads.shutdown)
        for process in self._all:
            process.kill()

    async def _rendered(self, kind: Kind, video: VideoFile, span: Span, width: int) -> Path:
        if not (math.isfinite(span.start_s) and math.isfinite(span.end_s) and 0 <= span.start_s < span.end_s):
            raise MediaError(
                "bad span", f"got {span.start_s:g} to {span.end_s:g} s, expected a start from 0 on and a later end"
            )
        key = _key(kind, video, span, width)
        cached = self._cache.get(key)
        if cached is not None:
            self._counts["hits"] += 1
            return cached
        return await self._share(key, lambda shared: self._render(shared, kind, key, video, span, width))

    async def _share(self, key: str, work: Callable[[_Shared[Result]], Awaitable[Result]]) -> Result:
        """The result of the work of a key, which is begun for the first who asks, and given up when all have left."""
        if self._closed:
            raise MediaError("closed", "the server is stopping")
        failed_s, error = self._failed.get(key, (-math.inf, None))
        if error is not None and time.monotonic() - failed_s < _FAILED_S:
            raise error
        shared: _Shared[Result] | None = self._shared.get(key)
        if shared is None:
            self._counts["misses"] += 1
            shared = self._shared[key] = self._begin(key, work)
        else:
            self._counts["shared"] += 1
        shared.requests += 1
        try:
            return await asyncio.shield(shared.task)
        except asyncio.CancelledError:
            this = asyncio.current_task()
            if shared.task.cancelled() and not (this and this.cancelling()):  # by `close`
                raise MediaError("closed", "the server is stopping") from None
            raise
        finally:
            shared.requests -= 1
            if not shared.requests and not shared.begun and not shared.task.done():
                shared.task.cancel()
                self._counts["cancelled"] += 1
                del self._shared[key]

    def _begin(self, key: str, work: Callable[[_Shared[Result]], Awaitable[Result]]) -> _Shared[Result]:
        async def run() -> Result:
            return await work(shared)

        def end(task: asyncio.Task[Result]) -> None:
            if self._shared.get(key) is shared:
                del self._shared[key]
            error = None if task.cancelled() else task.exception()  # asked for here, since those who waited may have left
            self._failed.pop(key, None)
            if isinstance(error, MediaError) and error.problem in _OWN_REASONS:
                self._failed[key] = time.monotonic(), error
                if len(self._failed) > _REMEMBERED:
                    self._failed.popitem(last=False)

        shared = _Shared(asyncio.create_task(run()))
        shared.task.add_done_callback(end)
        return shared

    async def _render(self, shared: _Shared[Path], kind: Kind, key: str, video: VideoFile, span: Span, width: int) -> Path:
        if kind == "moment":
            async with self._moments:
                return await self._render_one(shared, kind, key, video, span, width)
        return await self._render_one(shared, kind, key, video, span, width)

    async def _render_one(
        self, shared: _Shared[Path], kind: Kind, key: str, video: VideoFile, span: Span, width: int
    ) -> Path:
        timeout_s = self._timeout_s * (10 if kind == "moment" else 1)

        def work(process: IsolatedProcess) -> Path:
            folder = self._cache.work_folder()
            try:
                task = RenderTask(video, span, width, folder, f"made{_ENDINGS[kind]}")
                process.run(_WORK[kind], task, timeout_s)
                return self._cache.put(key, task.output)
            finally:
                self._cache.discard(folder)

        began = time.perf_counter()
        made = await self._in_process(shared, work)
        self.on_stage(kind, time.perf_counter() - began)
        return made

    async def _look(self, shared: _Shared[Streams], task: RenderTask) -> Streams:
        def work(process: IsolatedProcess) -> Streams:
            folder = self._cache.work_folder()
            try:
                here = RenderTask(task.video, task.span, task.width, folder, task.name)
                return process.run(look, here, self._timeout_s)
            finally:
                self._cache.discard(folder)

        return await self._in_process(shared, work)

    async def _in_process(self, shared: _Shared[Result], work: Callable[[IsolatedProcess], Result]) -> Result:
        """The result of ``work`` in a thread, with the next process that is free.

        Raises:
            MediaError: it failed.
        """
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        shared.begun = True
        self._running += 1
        process = self._idle.pop()
        try:
            return await asyncio.get_running_loop().run_in_executor(self._threads, work, process)
        except Exception as exc:
            error = self._error(exc)
            self._failures[error.problem] += 1
            raise error from exc
        finally:
            self._running -= 1
            self._idle.append(process)
            self._slots.release()

    def _error(self, exc: Exception) -> MediaError:
        if self._closed:
            return MediaError("closed", "the server is stopping")
        if isinstance(exc, MediaError):
            return exc
        if isinstance(exc, ProcessCrashed | TaskTimedOut):
            self._counts["restarts"] += 1
        if isinstance(exc, ProcessCrashed):
            return MediaError("crashed", f"its decoder crashed: {exc}")
        if isinstance(exc, TaskTimedOut):
            return MediaError("too slow", f"it was given up: {exc}")
        if isinstance(exc, VideoError):
            return MediaError("undecodable", f"nothing of it can be decoded: {exc.reason}")
        if isinstance(exc, OSError | JobError):
            return MediaError("unwritable", f"the rendering cannot be kept: {exc}")
        return MediaError("undecodable", f"it cannot be decoded: {type(exc).__name__}: {exc}")


def _rounded(width: int) -> int:
    return next((known for known in WIDTHS if known >= width), WIDTHS[-1])


def _key(kind: str, video: VideoFile, span: Span, width: int) -> str:
    """A key of what a rendering depends on; times count to the millisecond."""
    identity = [video.video_id, video.path, video.size_bytes, video.modified_us, video.track]
    times_ms = [round(1000 * time_s) for time_s in span]
    text = json.dumps([_VERSION, kind, identity, times_ms, width])
    return hashlib.blake2b(text.encode(), digest_size=20).hexdigest()
