"""The process that decodes: reads tasks as lines of JSON, and answers each with a line. It ends with its standard input.

Run as ``python -m server.media.worker``. Whatever a file does to a decoder happens here and not in the server.
"""

from __future__ import annotations

import io
import json
import os
import resource
import sys
from pathlib import Path
from typing import Any

# Address space that decoding may take.
_MEMORY_BYTES = 6 << 30

_STRIP_FRAMES = 8
_STRIP_MS = 180


def main() -> None:
    """Work on tasks until there are no more."""
    resource.setrlimit(resource.RLIMIT_AS, (_MEMORY_BYTES, resource.RLIM_INFINITY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not be taken for an answer
    for line in sys.stdin:
        answers.write(json.dumps(_work(json.loads(line))) + "\n")
        answers.flush()


def _work(task: dict[str, Any]) -> dict[str, Any]:
    """Do a task: ``{}``, or what is wrong as ``status`` and ``error``."""
    from schemas.errors import VidsiftError
    from server.media.video_file import FileProblem, open_checked

    output = Path(task["output"])
    try:
        os.close(open_checked(task["path"], task["size_bytes"], task["modified_us"]))
        {"jpg": _picture, "webp": _strip, "mp4": _moment}[task["kind"]](task, output)
    except FileProblem as exc:
        return {"status": exc.status, "error": str(exc)}
    except MemoryError:
        return {"status": 422, "error": "the video takes too much memory to decode"}
    except (VidsiftError, OSError, ValueError) as exc:
        output.unlink(missing_ok=True)
        return {"status": 422, "error": f"the moment cannot be shown: {exc}"}
    return {}


def _frames(task: dict[str, Any], count: int) -> list[Any]:
    from PIL import Image

    from pipeline.still_frames import still_frames
    from schemas.records import Span

    width = task["width"]
    span = Span(task["start_s"], task["end_s"])
    frames = still_frames(task["path"], span, count, max(16, width * 9 // 16), track=task["track"])
    pictures = [Image.fromarray(frame) for frame in frames]
    for picture in pictures:
        picture.thumbnail((width, width))
    return pictures


def _picture(task: dict[str, Any], output: Path) -> None:
    (picture,) = _frames(task, 1)
    data = io.BytesIO()
    picture.save(data, "JPEG", quality=82)
    output.write_bytes(data.getvalue())


def _strip(task: dict[str, Any], output: Path) -> None:
    first, *rest = _frames(task, _STRIP_FRAMES)
    data = io.BytesIO()
    first.save(data, "WEBP", save_all=True, append_images=rest, duration=_STRIP_MS, loop=0, quality=60, method=2)
    output.write_bytes(data.getvalue())


def _moment(task: dict[str, Any], output: Path) -> None:
    from pipeline.still_frames import probed
    from pipeline.trim.cut import cut_video
    from pipeline.trim.players import BROWSERS
    from schemas.records import Span

    meta = probed(task["path"], task["track"])
    end_s = min(task["end_s"], meta.end_s)
    cut_video(task["path"], meta, Span(min(task["start_s"], max(0.0, end_s - 0.1)), end_s), output, players=BROWSERS)


if __name__ == "__main__":
    main()
