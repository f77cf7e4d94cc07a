"""The tree's promises about who imports whom."""

from __future__ import annotations

import ast
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PARTS = ("schemas", "pipeline", "index", "jobs", "cli", "demo")
MAY_IMPORT = {
    "schemas": set(),
    "pipeline": {"schemas"},
    "index": {"schemas"},
    "jobs": {"schemas", "pipeline", "index"},
    "cli": {"schemas", "pipeline", "index", "jobs", "demo"},
    "demo": {"schemas", "pipeline", "index", "jobs"},
}
OWNERS = {
    "ray": {"jobs/embedded.py", "jobs/engine.py", "jobs/workers.py", "jobs/learn/distributed.py"},
    "deltalake": {"jobs/tables.py", "jobs/tag_table.py"},
    "faiss": {"index/vectors.py"},
    "duckdb": {"index/catalog.py"},
    "av": {
        "pipeline/probe.py",
        "pipeline/scale.py",
        "pipeline/cut.py",
        "pipeline/picture.py",
        "pipeline/recode.py",
        "pipeline/sound.py",
        "pipeline/colour.py",
        "pipeline/crop.py",
        "pipeline/packed_frames.py",
        "pipeline/seeking.py",
        "pipeline/colour_table.py",
        "pipeline/completeness.py",
        "pipeline/container.py",
        "pipeline/decoders/pyav.py",
        "pipeline/decoders/by_number.py",
        "pipeline/decoders/torchcodec.py",
        "demo/films.py",
        "demo/render.py",
    },
    "torch": {
        "pipeline/annotate.py",
        "pipeline/models/pixels.py",
        "pipeline/models/loading.py",
        "pipeline/models/openvino.py",
        "pipeline/models/prompts.py",
        "pipeline/models/pieces.py",
        "pipeline/models/recorded.py",
        "pipeline/models/video_classifier.py",
        "pipeline/models/xclip.py",
        "pipeline/models/xclip_texts.py",
        "demo/bases.py",
        "demo/checkpoints.py",
        "jobs/learn/align.py",
        "jobs/learn/base.py",
        "jobs/learn/distributed.py",
        "jobs/learn/finetune.py",
        "jobs/learn/pretrain.py",
        "jobs/learn/tasks.py",
        "jobs/learn/trainer.py",
        "jobs/learn/views.py",
    },
    "transformers": {
        "pipeline/models/loading.py",
        "pipeline/models/openvino.py",
        "pipeline/models/tokens.py",
        "pipeline/models/video_classifier.py",
        "pipeline/models/xclip.py",
        "pipeline/models/xclip_texts.py",
        "demo/bases.py",
        "demo/checkpoints.py",
        "jobs/learn/align.py",
        "jobs/learn/base.py",
        "jobs/learn/evaluate.py",
        "jobs/learn/finetune.py",
        "jobs/learn/pretrain.py",
        "jobs/learn/trainer.py",
    },
}


def sources() -> list[Path]:
    return [ROOT / "cli.py", *(path for part in PARTS if part != "cli" for path in (ROOT / part).rglob("*.py"))]


def imports(path: Path) -> Iterator[str]:
    """Every module that ``path`` imports when it runs, in functions too; what only type checkers import does not count."""
    tree = ast.parse(path.read_text(encoding="utf-8"))
    checked = {
        inner
        for node in ast.walk(tree)
        if isinstance(node, ast.If) and isinstance(node.test, ast.Name) and node.test.id == "TYPE_CHECKING"
        for inner in ast.walk(node)
    }
    for node in ast.walk(tree):
        if node in checked:
            continue
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: imports are absolute"
            assert node.module
            yield node.module


def test_imports_go_one_way() -> None:
    for path in sources():
        part = path.relative_to(ROOT).parts[0].removesuffix(".py")
        for module in imports(path):
            other = module.split(".")[0]
            if other in PARTS and other != part:
                assert other in MAY_IMPORT[part], f"{path.relative_to(ROOT)} imports {module}"


@pytest.mark.parametrize("package", OWNERS)
def test_heavy_packages_are_imported_by_their_owners_alone(package: str) -> None:
    users = {str(path.relative_to(ROOT)) for path in sources() if package in {name.split(".")[0] for name in imports(path)}}
    assert users == OWNERS[package]


def test_help_answers_at_once() -> None:
    """Under half a second, the best of three; and nothing heavy is loaded, which is what keeps it so."""
    program = (
        "import sys, cli\n"
        "try: cli.main(['--help'])\n"
        "except SystemExit: pass\n"
        "print(sorted({'ray', 'torch', 'transformers', 'faiss', 'duckdb', 'av', 'numpy', 'pyarrow'} & set(sys.modules)))"
    )
    times = []
    for _ in range(3):
        began = time.perf_counter()
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
        times.append(time.perf_counter() - began)
        assert done.stdout.splitlines()[-1] == "[]"
    assert min(times) < 0.5


def test_decode_workers_do_not_load_torch() -> None:
    program = (
        "import sys, jobs.stages, pipeline.decoders.pyav\n"
        "print(sorted({'ray', 'torch', 'transformers', 'faiss', 'duckdb'} & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"
