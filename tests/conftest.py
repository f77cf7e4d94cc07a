"""Fixtures that several parts' tests share."""

from __future__ import annotations

import faulthandler
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from demo.checkpoints import write_classifier, write_embedder
from demo.films import plan_films, render
from pipeline.models.checkpoint import find_checkpoint
from schemas.models import Checkpoint

if TYPE_CHECKING:
    from tests.helpers.inline_run import InlineRun

os.environ["HF_HUB_OFFLINE"] = "1"

# Seconds that the process may take to end after the last test.
_MAX_TO_END_S = 120


def pytest_unconfigure() -> None:
    """Fail where something is left running that the process waits for, and say where, rather than hang."""
    faulthandler.dump_traceback_later(_MAX_TO_END_S, exit=True)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the slow tests, so that several test processes come to their ends at the same time."""
    items.sort(key=lambda item: not any(item.iter_markers("slow")) and not any(item.iter_markers("on_ray")))


SHARED_CLIPS = Path(__file__).parents[2] / "shared" / "clips"


@pytest.fixture(scope="session")
def shared_clips() -> Path:
    """Real clips beside the project, where they are."""
    if not SHARED_CLIPS.is_dir():
        pytest.skip(f"no real clips at {SHARED_CLIPS}")
    return SHARED_CLIPS


@pytest.fixture(scope="session")
def shared_cases() -> Path:
    """Small files that were handled wrongly, where they are."""
    folder = SHARED_CLIPS.parent / "cases"
    if not folder.is_dir():
        pytest.skip(f"no hard cases at {folder}")
    return folder


@pytest.fixture(scope="session")
def classifier_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_classifier(tmp_path_factory.mktemp("models") / "classifier")


@pytest.fixture(scope="session")
def embedder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_embedder(tmp_path_factory.mktemp("models") / "embedder")


@pytest.fixture(scope="session")
def sharp_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An embedder whose rerank score is far from the dot product."""
    from tests.helpers.exact import sharpen

    return sharpen(write_embedder(tmp_path_factory.mktemp("models") / "sharp", seed=3))


@pytest.fixture(scope="session")
def classifier_checkpoint(classifier_folder: Path) -> Checkpoint:
    return find_checkpoint(str(classifier_folder), "--classifier")


@pytest.fixture(scope="session")
def embedder_checkpoint(embedder_folder: Path) -> Checkpoint:
    return find_checkpoint(str(embedder_folder), "--embedder")


@pytest.fixture(scope="session")
def films(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six short films of the demo world."""
    folder = tmp_path_factory.mktemp("films")
    return [render(film, folder) for film in plan_films(6, seed=0)]


@pytest.fixture(scope="session")
def whole_library(
    tmp_path_factory: pytest.TempPathFactory, classifier_checkpoint: Checkpoint, embedder_checkpoint: Checkpoint
) -> Path:
    """`tests.helpers.whole_library`, beside its ``videos``: to be read, or copied and changed."""
    from tests.helpers.whole_library import write_whole

    return write_whole(tmp_path_factory.mktemp("whole"), classifier_checkpoint, embedder_checkpoint)


@pytest.fixture
def inline_run(monkeypatch: pytest.MonkeyPatch) -> type[InlineRun]:
    """Ingests run in this process, without Ray."""
    from tests.helpers.inline_run import run_inline

    return run_inline(monkeypatch)


@pytest.fixture(scope="session")
def ray_session_for_tests() -> Iterator[None]:
    """One Ray for all tests in this process, since starting it takes seconds."""
    from jobs.cluster.session import ray_session
    from schemas.options import IngestOptions

    with ray_session(IngestOptions(num_cpus=2)):
        yield
