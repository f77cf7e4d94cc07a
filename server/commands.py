"""What changes a library or writes files runs as a ``vidsift`` command of its own, beside the server."""

from __future__ import annotations

import asyncio
import csv
import json
import shutil
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from http import HTTPStatus
from pathlib import Path
from typing import Any

import anyio.to_thread
from starlette.background import BackgroundTask

from server.problems import Problem

_COMMAND = (sys.executable, "-P", "-c", "import cli; cli.run()")
_TIMEOUT_S = 600.0

# Forms of an export: the command's options. A CSV list of the moments comes with each.
_FORMS = {
    "mp4": ("--format", "files"),
    "edl": ("--format", "edl", "--pad", "0"),
    "webvtt": ("--format", "webvtt", "--pad", "0"),
    "csv": ("--format", "webvtt", "--pad", "0"),
}


@dataclass(frozen=True, slots=True)
class Archive:
    """A ZIP file, and what removes it once it was sent."""

    file: Path
    removal: BackgroundTask


async def taught(library: Path, name: str, right: Sequence[dict[str, Any]], wrong: Sequence[dict[str, Any]]) -> str:
    """Teach ``library`` a tag by clips that show it and clips that do not; gives what the command said.

    Args:
        library: its folder.
        name: the tag's.
        right: rows of clips that show it, two or more.
        wrong: rows of clips that do not.

    Raises:
        Problem: the command refused (400); it says why.
    """
    folder = Path(tempfile.mkdtemp(prefix="vidsift-teach-"))
    try:
        examples = folder / "examples.csv"
        with examples.open("w", encoding="utf-8", newline="") as file:
            writer = csv.writer(file)
            writer.writerow(["path", "start_s", "end_s", "tag"])
            for tag, clips in ((name, right), (f"not {name}", wrong)):
                writer.writerows([clip["path"], clip["start_s"], clip["end_s"], tag] for clip in clips)
        # A name may begin like an option.
        return await _run("teach", "--examples", str(examples), "--library", str(library), "--", name)
    finally:
        shutil.rmtree(folder, ignore_errors=True)


async def exported(moments: Sequence[dict[str, Any]], form: str) -> Archive:
    """A ZIP file with these moments.

    Args:
        moments: path, start_s, end_s and label of each.
        form: mp4, edl, webvtt or csv.

    Raises:
        Problem: there is no such form, or the command refused (400).
    """
    if form not in _FORMS:
        raise Problem(HTTPStatus.BAD_REQUEST, f"form: got {form!r}, expected {', '.join(_FORMS)}")
    folder = Path(tempfile.mkdtemp(prefix="vidsift-export-"))
    try:
        hits = folder / "hits.jsonl"
        lines = [json.dumps({**moment, "rank": number}) for number, moment in enumerate(moments, start=1)]
        hits.write_text("\n".join(lines), encoding="utf-8")
        output = folder / "moments"
        await _run("export", str(hits), "--to", str(output), *_FORMS[form])
        archive = folder / "moments.zip"
        await anyio.to_thread.run_sync(_zip, output, archive, form)
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise
    return Archive(archive, BackgroundTask(shutil.rmtree, folder, ignore_errors=True))


def _zip(folder: Path, archive: Path, form: str) -> None:
    """Pack the files of an export; of one in the form csv its list alone."""
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_STORED) as packed:
        for file in sorted(folder.iterdir()):
            if file.is_file() and not file.name.startswith(".") and (form != "csv" or file.suffix == ".csv"):
                packed.write(file, file.name)


async def _run(*arguments: str) -> str:
    """What a vidsift command prints.

    Raises:
        Problem: it ended with an error (400), or took too long (504).
    """
    process = await asyncio.create_subprocess_exec(
        *_COMMAND,
        *arguments,
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        printed, errors = await asyncio.wait_for(process.communicate(), _TIMEOUT_S)
    except TimeoutError as exc:
        raise Problem(HTTPStatus.GATEWAY_TIMEOUT, f"it took longer than {_TIMEOUT_S:g} s; ask for less") from exc
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    if process.returncode:
        said = errors.decode(errors="replace").strip().splitlines() or ["it ended without a word"]
        raise Problem(HTTPStatus.BAD_REQUEST, said[-1].removeprefix("vidsift: "))
    return printed.decode(errors="replace").strip()
