"""The Ray within a run: who can reach it, where it keeps its files, and what is left of it."""

from __future__ import annotations

import os
import signal
import stat
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import psutil  # type: ignore[import-untyped]
import pytest

from jobs.cluster.run_folder import place_for_sockets, run_folder, temporary_files
from schemas.errors import JobError
from tests.helpers.processes import family, outside, watch
from tests.helpers.videos import write_many

pytestmark = pytest.mark.slow

SESSION = """
import sys
from jobs.cluster.session import ray_session
from schemas.options import IngestOptions
import ray
with ray_session(IngestOptions(num_cpus=1)):
    print(ray.get_runtime_context().gcs_address, flush=True)
    if sys.stdin.read() == "work":
        print(ray.get(ray.remote(lambda: "a worker ran").remote()))
"""
OUTSIDER = """
import sys, ray
ray.init(address=sys.argv[1], log_to_driver=False)
print("ran:", ray.get(ray.remote(num_cpus=0)(lambda: 3).remote()))
"""


@contextmanager
def session(place: Path, **environment: str) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """A process with a Ray of its own, which keeps its files in ``place``, and the address of that Ray."""
    driver = subprocess.Popen(
        [sys.executable, "-c", SESSION], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
        env=outside() | {"TMPDIR": str(place)} | environment,
    )  # fmt: skip
    assert driver.stdout is not None
    try:
        address = driver.stdout.readline().strip()
        assert address, driver.communicate()[1]
        yield driver, address
    finally:
        with suppress(subprocess.TimeoutExpired):
            driver.communicate(timeout=60)
        driver.kill()


@pytest.fixture
def short() -> Iterator[Path]:
    """A folder whose path is short enough for sockets."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="v") as folder:
        yield Path(folder)


@dataclass(frozen=True)
class Killed:
    """A run whose driver was killed.

    Attributes:
        place: the folder for its files, which has nothing else in it.
        started: the driver and all processes that Ray had started for it.
        num_at_once: how many of these ended within 15 s.
        shared: the files of shared memory that came with it.
    """

    place: Path
    started: list[psutil.Process]
    num_at_once: int
    shared: set[str]


@pytest.fixture(scope="module", autouse=True)
def killed() -> Iterator[Killed]:
    """Killed before all tests here, so that they pass the minute that some of its processes take to end."""
    with tempfile.TemporaryDirectory(dir="/tmp", prefix="v") as folder:
        before = set(os.listdir("/dev/shm"))
        with session(Path(folder)) as (driver, _):
            started = family(driver.pid)
            shared = set(os.listdir("/dev/shm")) - before
            driver.send_signal(signal.SIGKILL)
            ended, _ = psutil.wait_procs(started, timeout=15)
        yield Killed(Path(folder), started, len(ended), shared)


def test_an_ingest_listens_on_the_loopback_interface_alone(
    tmp_path: Path, short: Path, classifier_folder: Path, embedder_folder: Path
) -> None:
    (tmp_path / "videos").mkdir()
    write_many(tmp_path / "videos", 20, num_frames=120)
    printed, addresses, names = watch(
        short, "ingest", tmp_path / "videos", "--library", tmp_path / "library", "--cpus", "2", "--classifier",
        classifier_folder, "--embedder", embedder_folder,
    )  # fmt: skip
    assert printed.startswith("20 videos found: 20 indexed")
    assert {"gcs_server", "raylet", "ray::decode_gro", "ray::AnnotatorA"} <= {name[:15] for name in names}
    assert addresses == {"127.0.0.1"}
    assert list(short.iterdir()) == []


def tokens_of(processes: Iterable[psutil.Process]) -> set[str]:
    """The tokens that processes have in their environment; one that has just begun or ended may show none."""
    found = set()
    for process in processes:
        with suppress(psutil.Error):
            found |= {process.environ().get("RAY_AUTH_TOKEN", "")}
    return found - {""}


def test_nobody_else_runs_anything_in_it(short: Path, tmp_path: Path) -> None:
    """Neither without a token nor with another one; with the run's own, which only this user can read, it would work."""
    with session(short) as (driver, address):
        (token,) = tokens_of(family(driver.pid))
        assert len(token) == 64
        told = [" ".join(process.cmdline()) for process in family(driver.pid)]
        assert any("gcs_server" in line for line in told)
        assert not any(token in line for line in told)
        for folder in short.iterdir():
            assert stat.S_IMODE(folder.stat().st_mode) == 0o700
            kept = [file for file in folder.rglob("*") if file.is_file()]
            assert not any(token.encode() in file.read_bytes() for file in kept)
        plain = outside() | {
            "HOME": str(tmp_path),
            "RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER": "0",
            "RAY_gcs_server_port_wait_time_s": "2",
        }
        answers = {}
        for given in ("", "0" * 64, token):
            mode = {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": given} if given else {"RAY_AUTH_MODE": "disabled"}
            done = subprocess.run(
                [sys.executable, "-c", OUTSIDER, address], env=plain | mode, capture_output=True, text=True, check=False
            )
            answers[given] = done.stdout
            if given != token:
                assert "InvalidAuthToken: Authentication token is missing or incorrect" in done.stderr
        assert answers == {"": "", "0" * 64: "", token: "ran: 3\n"}
    assert not (tmp_path / ".ray").exists()
    assert list(short.iterdir()) == []


def test_the_users_own_word_on_tokens_holds_again_afterwards(short: Path, tmp_path: Path) -> None:
    script = (
        "import os; from jobs.cluster.session import ray_session; from schemas.options import IngestOptions\n"
        "from ray._raylet import AuthenticationMode, get_authentication_mode\n"
        "seen = []\n"
        "for _ in range(2):\n"
        "    with ray_session(IngestOptions(num_cpus=1)):\n"
        "        seen.append(os.environ['RAY_AUTH_TOKEN'])\n"
        "assert seen[0] != seen[1]\n"
        "assert get_authentication_mode() == AuthenticationMode.DISABLED\n"
        "print({name: os.environ.get(name) for name in ('RAY_AUTH_MODE', 'RAY_AUTH_TOKEN', 'RAY_AUTH_TOKEN_PATH')})"
    )
    environment = outside() | {"TMPDIR": str(short), "RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN_PATH": "/no/such/file"}
    environment.pop("RAY_AUTH_TOKEN", None)
    done = subprocess.run([sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    told = {"RAY_AUTH_MODE": "disabled", "RAY_AUTH_TOKEN": None, "RAY_AUTH_TOKEN_PATH": "/no/such/file"}
    assert done.stdout == f"{told}\n"


@pytest.mark.parametrize("name", ["x" * 60, "Entwürfe", "with blanks"])
def test_any_folder_for_temporary_files_will_do(short: Path, name: str) -> None:
    """Sockets go elsewhere where its path is too long for them, or is none that Ray can read."""
    place = short / name
    place.mkdir()
    with session(place) as (driver, _):
        assert driver.communicate("work", timeout=60) == ("a worker ran\n", "")
        assert driver.returncode == 0
    assert list(place.iterdir()) == []


def test_where_no_folder_will_do_it_says_what_to_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    long = tmp_path / ("x" * 60)
    long.mkdir()
    monkeypatch.setenv("RAY_TMPDIR", str(long))
    monkeypatch.delenv("XDG_RUNTIME_DIR", raising=False)
    assert temporary_files() == str(long)
    assert place_for_sockets() == "/tmp"
    monkeypatch.setattr("jobs.cluster.run_folder.os.access", lambda place, mode: place == str(long))
    with pytest.raises(
        JobError, match=r"^TMPDIR: got '.*x', expected a folder of at most \d\d letters of ASCII.*; set TMPDIR"
    ):
        place_for_sockets()


def test_folders_of_the_living_and_of_others_are_left_alone(short: Path) -> None:
    (short / "elsewhere").mkdir()
    (short / "elsewhere" / "kept").touch()
    (short / "vidsift.linked").symlink_to(short / "elsewhere")
    (short / "vidsift.file").touch()
    with run_folder(str(short)) as first, run_folder(str(short)) as second:
        assert first.exists()
        assert second.exists()
    assert sorted(path.name for path in short.rglob("*")) == ["elsewhere", "kept", "vidsift.file", "vidsift.linked"]


def test_what_a_killed_run_leaves_is_gone_after_the_next(killed: Killed) -> None:
    """All but two of Ray's agents end at once; these look for Ray for a minute before they give up."""
    assert killed.num_at_once >= len(killed.started) - 2
    _, alive = psutil.wait_procs(killed.started, timeout=105)
    assert alive == []
    assert killed.shared & set(os.listdir("/dev/shm")) == set()
    assert len(list(killed.place.iterdir())) == 2
    with run_folder(str(killed.place)) as folder:
        assert list(killed.place.iterdir()) == [folder]
    assert list(killed.place.iterdir()) == []
