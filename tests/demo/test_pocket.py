"""The checkpoints that come with vidsift: they are there, small, safe, and know the demo's world."""

from __future__ import annotations

from pathlib import Path

import pytest
from safetensors.torch import load_file

from demo.measure import make_world
from demo.world import BASE_ACTIONS, PAIRS
from jobs.evaluate.model import evaluate_model
from jobs.evaluate.model_inputs import EvaluateOptions
from jobs.evaluate.model_results import ClassifierResults, EmbedderResults
from pipeline.models.checkpoint import find_checkpoint, pocket_folder

KINDS = ("classifier", "embedder")


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """64 clips of a seed that nothing was trained or measured on."""
    folder = tmp_path_factory.mktemp("world")
    make_world(folder, 64, seed=77)
    return folder / "captions.csv"


def test_both_are_small_and_in_the_hubs_layout() -> None:
    total = 0
    for kind in KINDS:
        folder = pocket_folder(kind)
        names = {path.name for path in folder.iterdir()}
        assert {"config.json", "model.safetensors", "preprocessor_config.json", "README.md"} <= names
        assert not [name for name in names if name.endswith((".bin", ".pt", ".py", ".pkl"))]
        total += sum(path.stat().st_size for path in folder.iterdir())
        assert load_file(folder / "model.safetensors")
    assert total < 12_000_000


def test_pocket_is_found_by_its_option() -> None:
    classifier, embedder = (find_checkpoint("pocket", f"--{kind}") for kind in KINDS)
    assert (classifier.model_type, embedder.model_type) == ("videomae", "xclip")
    assert classifier.stamp.startswith("pocket@")


def test_the_cards_say_what_they_know_and_how_they_were_made() -> None:
    for kind in KINDS:
        card = (pocket_folder(kind) / "README.md").read_text(encoding="utf-8")
        for part in ("## Data", "## Measured", "## Recipe", "## On a world of another seed", "and nothing else"):
            assert part in card, (kind, part)


def test_the_classifier_names_the_actions(world: Path) -> None:
    pairs = tuple(",".join(pair) for pair in PAIRS)
    found = evaluate_model("pocket", world, kind="classifier", options=EvaluateOptions(split="all", pairs=pairs))
    assert isinstance(found, ClassifierResults)
    assert set(found.labels) == set(BASE_ACTIONS)
    assert found.top1 >= 0.85
    assert found.top5 >= 0.98
    assert all(row.right >= 0.75 for row in found.pairs)  # 8 clips each


def test_the_embedder_finds_captions_and_names_what_it_sees(world: Path) -> None:
    options = EvaluateOptions(split="all", captions=40)
    found = evaluate_model("pocket", world, kind="embedder", options=options)
    assert isinstance(found, EmbedderResults)
    assert {row.score: row.recall_at_5 >= 0.95 for row in found.retrieval} == {"exact": True, "plain": True}
    kinds = {row.kind: row.plain for row in found.kinds}
    assert kinds["action"] >= 0.8
    assert min(kinds["shirt"], kinds["background"]) >= 0.95
