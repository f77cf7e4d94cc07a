"""A library of rendered films, served."""

from __future__ import annotations

import asyncio
import shutil
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest
import uvicorn
from starlette.testclient import TestClient

from demo.render import render_all
from demo.world import plan
from jobs.annotate.annotate import annotate
from jobs.ingest.ingest import ingest
from schemas.channels import Shot, Utterance
from server.app import Settings, make_app
from server.libraries import ServedLibraries
from server.run import listen
from tests.helpers.inline_run import run_inline
from tests.helpers.made_annotators import made, said, use_annotators, written
from tests.helpers.videos import write_video


@dataclass(frozen=True)
class FilmLibrary:
    """A library and its videos: two films of several actions, an AVI file, and one that is no video."""

    folder: Path
    videos: Path


@pytest.fixture(scope="session")
def film_library(tmp_path_factory: pytest.TempPathFactory) -> FilmLibrary:
    folder = tmp_path_factory.mktemp("served")
    videos = folder / "videos"
    videos.mkdir()
    for _ in render_all(plan(0, 4, 2, "base"), videos, 2):
        pass
    write_video(videos / "numbers.avi", 60, codec="mpeg4")
    (videos / "broken.mp4").write_text("this is no video\n")
    return FilmLibrary(ingested(videos, folder / "films"), videos)


def ingested(videos: Path, library: Path) -> Path:
    """A library of the videos in a folder, by the pocket models."""
    with pytest.MonkeyPatch.context() as patch:
        run_inline(patch)
        ingest([videos], library, classifier="pocket", embedder="pocket", window_s=2.4, stride_s=0.8)
    return library


@pytest.fixture(scope="session")
def talking_library(film_library: FilmLibrary, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The same library, with what is said and can be read in its first film, and its shots."""
    folder = tmp_path_factory.mktemp("talking") / "films"
    shutil.copytree(film_library.folder, folder)
    film = str(film_library.videos / "films" / "00.mp4")
    numbers = str(film_library.videos / "numbers.avi")
    speech = (
        said(1, 2, "Good morning, everybody."),
        said(2.5, 4, "The budgets are <gone>,\nall of them."),
        Utterance(6, 7.5, "Die Häuser sind verkauft.", "de", "embedded", None),
    )
    shots = (Shot(0.0, 3.0, "start", 1.0, "moving"), Shot(3.0, 9.0, "cut", 0.875, "moving"))
    with pytest.MonkeyPatch.context() as patch:
        use_annotators(
            patch,
            subtitles=made(
                "subtitles", "speech", entries=((film, speech), (numbers, (said(0, 1, "zero"), said(1.2, 2, "one"))))
            ),
            text=made("text", "screen_text", entries=((film, (written(2, 5, "BUDGET 2024"),)),)),
            shots=made("shots", "shots", entries=((film, shots),)),
        )
        annotate(folder, ["subtitles", "text", "shots"])
    return folder


def make_client(library: Path, cache: Path, **settings: object) -> TestClient:
    """A client of a server over one library, as a browser on this machine asks it."""
    libraries = ServedLibraries([library], embedder=None, say=lambda note: None)
    app = make_app(libraries, Settings(cache_folder=cache, **settings), lambda note: None)  # type: ignore[arg-type]
    return TestClient(app, base_url="http://127.0.0.1:8765", raise_server_exceptions=False)


@pytest.fixture(scope="module")
def client(film_library: FilmLibrary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with make_client(film_library.folder, tmp_path_factory.mktemp("cache")) as client:
        yield client


@contextmanager
def serving(library: Path, cache: Path) -> Iterator[str]:
    """The address of a real server over a library."""
    libraries = ServedLibraries([library], embedder=None, say=lambda note: None)
    listening = listen("127.0.0.1", 0)
    app = make_app(libraries, Settings(cache_folder=cache), print)
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning", ws="none"))
    thread = threading.Thread(target=lambda: asyncio.run(server.serve(sockets=[listening])), daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.05)
    yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    server.should_exit = True
    thread.join()


@pytest.fixture(scope="module")
def address(film_library: FilmLibrary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with serving(film_library.folder, tmp_path_factory.mktemp("cache")) as address:
        yield address
