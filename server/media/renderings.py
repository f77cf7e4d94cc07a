"""Makes pictures, strips and clips of moments in worker processes, each once, and keeps them in a cache."""

from __future__ import annotations

import asyncio
import contextlib
import hashlib
import json
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, ClassVar

from schemas.records import Span
from server.media.rendering_cache import RenderingCache
from server.media.video_file import VideoFile

# Part of every key: counts up when renderings change.
_VERSION = 1

# Seconds that a rendering may take.
_TIMEOUTS_S = {"jpg": 30.0, "webp": 30.0, "mp4": 180.0}

LONGEST_S = 600.0
"""The longest moment that is encoded."""


class RenderingError(Exception):
    """A moment that cannot be shown; ``status`` is of HTTP."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status


class Renderings:
    """Renderings of moments.

    Pictures and strips have processes of their own, so that encoding moments does not keep them waiting. Who asks for a
    rendering that is being made waits for the same one; one that nobody waits for any more is not begun.

    Attributes:
        running: how many are being made.
        waiting: how many are to be made.
        failures: how many could not be made.
    """

    COUNTERS: ClassVar[dict[str, str]] = {
        "running": "Pictures and moments that are being made.",
        "waiting": "Pictures and moments that wait for their turn.",
        "failures": "Pictures and moments that could not be made.",
        "cache_bytes": "Size of the cache of pictures and moments.",
        "cache_hits": "Pictures and moments that were in the cache.",
        "cache_misses": "Pictures and moments that were not in the cache.",
    }

    def __init__(self, cache_folder: Path, *, cache_mb: int, processes: int, encoders: int = 1) -> None:
        """Prepare for rendering; processes start when they are first needed.

        Args:
            cache_folder: where renderings are kept.
            cache_mb: their size, in megabytes.
            processes: how many pictures and strips are made at a time.
            encoders: how many moments are encoded at a time.
        """
        self._cache = RenderingCache(cache_folder, cache_mb << 20)
        self._pictures, self._encoders = _Workers(processes), _Workers(encoders)
        self._tasks: dict[str, asyncio.Task[Path]] = {}
        self._waiters: dict[str, int] = {}
        self.failures = 0

    @property
    def running(self) -> int:
        """How many are being made."""
        return self._pictures.busy + self._encoders.busy

    @property
    def waiting(self) -> int:
        """How many are to be made."""
        return len(self._tasks) - self.running

    @property
    def cache_bytes(self) -> int:
        """Size of the cache."""
        return self._cache.size_bytes

    @property
    def cache_hits(self) -> int:
        """How many were in the cache."""
        return self._cache.hits

    @property
    def cache_misses(self) -> int:
        """How many were not."""
        return self._cache.misses

    async def picture(self, video: VideoFile, span: Span, width: int) -> Path:
        """A JPEG file with a frame of the moment, up to ``width`` pixels wide and high.

        Raises:
            RenderingError: the moment cannot be shown.
        """
        return await self._get("jpg", video, span, width)

    async def strip(self, video: VideoFile, span: Span, width: int) -> Path:
        """An animated WebP file with eight frames over the moment.

        Raises:
            RenderingError: the moment cannot be shown.
        """
        return await self._get("webp", video, span, width)

    async def moment(self, video: VideoFile, span: Span) -> Path:
        """An MP4 file of the moment with its sound, which browsers play.

        Raises:
            RenderingError: the moment cannot be shown, or is longer than `LONGEST_S`.
        """
        if span.end_s - span.start_s > LONGEST_S:
            raise RenderingError(400, f"got {span.end_s - span.start_s:g} s, expected {LONGEST_S:g} s or less")
        return await self._get("mp4", video, span, 0)

    async def close(self) -> None:
        """End all processes."""
        for task in self._tasks.values():
            task.cancel()
        await self._pictures.close()
        await self._encoders.close()

    async def _get(self, kind: str, video: VideoFile, span: Span, width: int) -> Path:
        span = Span(round(span.start_s, 3), round(span.end_s, 3))
        key = (_VERSION, video.video_id, video.path, video.size_bytes, video.modified_us, *span, width)
        name = f"{hashlib.sha1(repr(key).encode(errors='surrogateescape'), usedforsecurity=False).hexdigest()}.{kind}"
        if (found := self._cache.find(name)) is not None:
            return found
        task = self._tasks.get(name)
        if task is None:
            task = self._tasks[name] = asyncio.create_task(self._make(kind, video, span, width, name))
            task.add_done_callback(lambda _: self._tasks.pop(name, None))
        self._waiters[name] = self._waiters.get(name, 0) + 1
        try:
            return await asyncio.shield(task)
        finally:
            self._waiters[name] -= 1
            if not self._waiters[name]:
                del self._waiters[name]
                task.cancel()  # nothing happens where it is done

    async def _make(self, kind: str, video: VideoFile, span: Span, width: int, name: str) -> Path:
        workers = self._encoders if kind == "mp4" else self._pictures
        written = self._cache.place_for(name)
        task = {
            "kind": kind,
            "path": video.path_on_disk,
            "track": video.track,
            "size_bytes": video.size_bytes,
            "modified_us": video.modified_us,
            "start_s": span.start_s,
            "end_s": span.end_s,
            "width": width,
            "output": str(written),
        }
        try:
            answer = await workers.work(task, _TIMEOUTS_S[kind])
            if "error" in answer:
                raise RenderingError(answer["status"], answer["error"])
            return self._cache.keep(written, name)
        except RenderingError:
            self.failures += 1
            raise
        finally:
            written.unlink(missing_ok=True)


class _Workers:
    """Some processes of `server.media.worker`, each with one task at a time.

    Attributes:
        busy: how many have one.
    """

    def __init__(self, count: int) -> None:
        self._free = asyncio.Semaphore(count)
        self._idle: list[asyncio.subprocess.Process] = []
        self.busy = 0

    async def work(self, task: dict[str, Any], timeout_s: float) -> dict[str, Any]:
        """The answer to a task.

        Raises:
            RenderingError: the process ended, or took too long; it is replaced.
        """
        async with self._free, self._process() as process:
            assert process.stdin is not None
            assert process.stdout is not None
            try:
                process.stdin.write(json.dumps(task).encode() + b"\n")
                await process.stdin.drain()
                line = await asyncio.wait_for(process.stdout.readline(), timeout_s)
            except TimeoutError as exc:
                raise RenderingError(504, f"the moment took longer than {timeout_s:g} s to decode") from exc
            except (BrokenPipeError, ConnectionResetError):
                line = b""
            if not line:
                raise RenderingError(422, "the video crashed the decoder")
            answer: dict[str, Any] = json.loads(line)
            return answer

    @asynccontextmanager
    async def _process(self) -> AsyncIterator[asyncio.subprocess.Process]:
        """A process for one task; one that fails, or whose task is cancelled, is killed."""
        process = self._idle.pop() if self._idle else await self._start()
        self.busy += 1
        try:
            yield process
        except BaseException:
            await _kill(process)
            raise
        finally:
            self.busy -= 1
        self._idle.append(process)

    async def _start(self) -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            sys.executable,
            "-P",
            "-m",
            "server.media.worker",
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def close(self) -> None:
        """End all that are idle."""
        while self._idle:
            await _kill(self._idle.pop())


async def _kill(process: asyncio.subprocess.Process) -> None:
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    await process.wait()
