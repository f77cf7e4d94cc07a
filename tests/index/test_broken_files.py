"""Every kind of file in a library, damaged in every way: commands say what is broken and what to do, or answer rightly."""

from __future__ import annotations

import gc
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from click.testing import CliRunner, Result

from cli import main
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from pipeline.models.registry import load_embedder
from schemas.models import Checkpoint

pytestmark = pytest.mark.slow

COMMANDS = {
    "verify": ["verify"],
    "status": ["status", "--json"],
    "sql": ["sql", "select * from clips order by clip_id", "--format", "json"],
    "search": ["search", "a dog", "--all", "--by", "clip", "--json"],
    "history": ["history"],
}  # fmt: skip

# One of each kind. What nobody reads any more, or what another file stands in for, is left out.
FILES = (
    "library.json", "CURRENT", "tags.json", "videos/*.parquet", "clips/*.parquet", "features/*.parquet", "tags/*.parquet",
    "videos/_delta_log/*.json", "clips/_delta_log/*.json", "features/_delta_log/*.json", "tags/_delta_log/*.json",
    "snapshots/3/snapshot.json", "snapshots/3/videos.duckdb", "snapshots/3/tags-*.duckdb", "segments/*/segment.json",
    "segments/*/timeline.npy", "segments/*/sample.npy", "segments/*/videos.parquet", "segments/*/clips.duckdb",
    "segments/*/vectors.f32.faiss", "segments/*/features.npy", "records/*.bin",
)  # fmt: skip


def flip(at: float) -> Callable[[bytes], bytes]:
    def damage(data: bytes) -> bytes:
        place = min(int(at * len(data)), len(data) - 1)
        return data[:place] + bytes([data[place] ^ 0xFF]) + data[place + 1 :]

    return damage


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    **{f"flipped at {at}": flip(at) for at in (0.02, 0.25, 0.5, 0.98)},
    "cut in half": lambda data: data[: len(data) // 2],
    "emptied": lambda data: b"",
    "nested": lambda data: b"[" * 100_000,
}


@pytest.fixture(scope="module", autouse=True)
def one_model(embedder_checkpoint: Checkpoint) -> Iterator[None]:
    """The embedder is loaded once, and what is in memory by now is no garbage, which every error of a command looks for."""
    model = load_embedder(embedder_checkpoint, "fp32")
    gc.collect()
    gc.freeze()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("index.search.searcher.find_embedder", lambda *_: model)
        yield
    gc.unfreeze()


@pytest.fixture(scope="module")
def right(whole_library: Path) -> dict[str, str]:
    found = {name: ask(whole_library, name) for name in COMMANDS}
    assert {name: one.exit_code for name, one in found.items()} == dict.fromkeys(COMMANDS, 0)
    return {name: one.stdout for name, one in found.items()}


def ask(library: Path, name: str) -> Result:
    return CliRunner().invoke(main, [*COMMANDS[name], "--library", str(library)])


def contents(library: Path) -> list[pa.Table]:
    """All that the tables hold; fails where it cannot be read."""
    return [pq.read_table(file) for file in sorted(library.glob("*/*.parquet"))]


@pytest.mark.parametrize("pattern", FILES)
def test_damage_is_told_or_does_no_harm(whole_library: Path, right: dict[str, str], tmp_path: Path, pattern: str) -> None:
    wrong = []
    (segment,) = Snapshot(Library(whole_library)).info.segments
    pattern = pattern.replace("segments/*", f"segments/{segment.name}")
    file = sorted(whole_library.glob(pattern))[-1].relative_to(whole_library)
    intact = (whole_library / file).read_bytes()
    for what, damage in DAMAGES.items():
        library = Path(shutil.copytree(whole_library, tmp_path / "library"))
        (library / file).unlink()  # snapshots share some files by links
        (library / file).write_bytes(damage(intact))
        if damage(intact) == intact:
            continue
        for name in COMMANDS:
            done = ask(library, name)
            where = f"{file} {what}: {name}"
            if done.exception is not None and not isinstance(done.exception, SystemExit):
                wrong.append(f"{where}: {done.exception!r:.300}")
            elif done.exit_code not in (0, 1):
                wrong.append(f"{where}: exit code {done.exit_code}: {done.output}")
            elif done.exit_code == 1 and "--library" not in done.output and "BREACH" not in done.output:
                wrong.append(f"{where}: the message does not say where: {done.output[:300]}")
            elif done.exit_code == 0 and name == "verify" and contents(library) != contents(whole_library):
                wrong.append(f"{where}: the tables hold something else, and it sees nothing")
            elif (
                done.exit_code == 0
                and name != "verify"
                and done.stdout != right[name].replace(str(whole_library), str(library))
            ):
                told = ask(library, "verify").exit_code
                wrong += [] if told else [f"{where}: another answer, and verify sees nothing: {done.stdout[:200]}"]
        shutil.rmtree(library)
    assert not wrong, "\n".join(wrong)
