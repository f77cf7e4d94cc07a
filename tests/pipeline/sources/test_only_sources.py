"""Videos are reached through `pipeline.sources` alone: no other module asks the disk for one by itself."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[3]

# Who asks the disk nevertheless, and for what. A name that ends in a slash stands for all files of a folder.
EXCEPTIONS = {
    "pipeline/sources/": "the sources themselves",
    "pipeline/container/reading.py": "opens for FFmpeg what the source gave: a local path, or a file object",
    "pipeline/container/seeking.py": "likewise, and counts what FFmpeg reads of it",
    "pipeline/child_processes.py": "folders of Python packages",
    "pipeline/memory_limit.py": "the system's own counters",
    "pipeline/models/": "checkpoints and converted models",
    "pipeline/shots/weights.py": "weights of a model",
    "pipeline/speech/ctranslate.py": "converted models",
    "pipeline/speech/cues.py": "subtitles that are in memory",
    "pipeline/speech/sidecar.py": "subtitles on this machine's disk, of which a named pipe must not be waited for",
    "pipeline/text/reader.py": "whether a package has its models",
    "pipeline/write.py": "Parquet files of clips",
    "jobs/cluster/": "folders of Ray's, and devices",
    "jobs/convert/": "checkpoints and lists of labels",
    "jobs/csv_rows.py": "CSV files",
    "jobs/evaluate/": "the library's tables, and reports",
    "jobs/export/": "the folder that an export writes",
    "jobs/images.py": "pictures that are written, and whether one would be written over what is read",
    "jobs/ingest/resources.py": "sizes of checkpoints",
    "jobs/ingest/timing.py": "the system's own counters",
    "jobs/ingest/trace.py": "the trace that is written",
    "jobs/ingest/workers.py": "the system's own counters, and marks that outlive a process",
    "jobs/observe/metrics.py": "the library's own files",
    "jobs/output_folder.py": "folders that are written",
    "jobs/watch/alert_rules.py": "the file of alerts",
    "jobs/watch/alerts.py": "the library's own files",
    "jobs/watch/arrivals.py": "whether a folder that is followed is still the same one",
    "jobs/train/": "checkpoints, decoded clips that are kept, and folders that are written",
}

FUNCTIONS = {"open", "io.open", "av.open"} | {
    f"os.{name}" for name in ("access", "listdir", "lstat", "open", "scandir", "stat", "walk")
} | {
    f"os.path.{name}"
    for name in ("exists", "getmtime", "getsize", "isdir", "isfile", "islink", "lexists", "realpath", "samefile")
}  # fmt: skip
RECORD = re.compile(r"\b(clip|example|file|moment|video)\.path\b")
METHODS = {"exists", "is_dir", "is_file", "iterdir", "lstat", "open", "read_bytes", "rglob", "samefile", "stat"}


def disk_calls(code: str) -> Iterator[tuple[str, bool]]:
    """The calls that ask the disk for something, and whether it is for the path of a record, such as ``video.path``."""
    for node in ast.walk(ast.parse(code)):
        if not isinstance(node, ast.Call):
            continue
        function = ast.unparse(node.func)
        is_method = isinstance(node.func, ast.Attribute) and node.func.attr in METHODS
        receiver = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
        writes = function == "av.open" and len(node.args) > 1 and ast.unparse(node.args[1]) == "'w'"
        if writes or (receiver in ("os", "os.path") and function not in FUNCTIONS):
            continue
        if function in FUNCTIONS or (is_method and receiver != "source" and not receiver.startswith("source_of(")):
            yield ast.unparse(node), RECORD.search(ast.unparse(node)) is not None


def excepted(file: str) -> bool:
    return any(file.startswith(name) if name.endswith("/") else file == name for name in EXCEPTIONS)


def test_only_sources_ask_the_disk_for_videos() -> None:
    found = []
    for room in ("pipeline", "jobs"):
        for path in sorted((ROOT / room).rglob("*.py")):
            file = path.relative_to(ROOT).as_posix()
            for call, is_of_record in disk_calls(path.read_text(encoding="utf-8")):
                if not excepted(file) or (is_of_record and not file.startswith("pipeline/sources/")):
                    found.append(f"{file}: {call}")
    assert found == []


def test_calls_that_ask_the_disk_are_seen() -> None:
    code = """
with open(path, "rb") as file: ...
os.stat(example.path)
Path(video.path).exists()
av.open(path)
"""
    assert set(disk_calls(code)) == {
        ("open(path, 'rb')", False),
        ("os.stat(example.path)", True),
        ("Path(video.path).exists()", True),
        ("av.open(path)", False),
    }
    others = (
        "os.path.join(a, b); av.open(path, 'w'); source.open(path); source_of(path).stat(path); file.read(8); open_video(p)"
    )
    assert list(disk_calls(others)) == []
