"""The list of known models is one that can be used, and what it says of costs is counted right."""

from __future__ import annotations

import json

import pytest
from click.testing import CliRunner

from cli import main
from pipeline.models.families import family_of
from pipeline.models.known import KNOWN, KnownModel, known_model, licence_note
from pipeline.models.measure import measure
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER


@pytest.mark.parametrize("known", KNOWN, ids=lambda known: known.name)
def test_every_entry_can_be_loaded_by_its_family(known: KnownModel) -> None:
    family = family_of(known.model_type)
    assert family is not None
    assert family.role == known.role
    assert bool(known.figures) == bool(known.source)
    assert known.shape is None or isinstance(known.shape, dict)


def test_the_defaults_are_known() -> None:
    embedder, classifier = known_model(DEFAULT_EMBEDDER), known_model(DEFAULT_CLASSIFIER)
    assert embedder is not None
    assert classifier is not None
    assert (embedder.role, embedder.figures["MSR-VTT"]) == ("embedder", 10.4)
    assert (classifier.role, classifier.figures["Kinetics-400"]) == ("classifier", 80.9)
    assert known_model("google/videoprism-lvt-base-f16r288@main") is not None
    assert known_model("nobody/nothing") is None


def test_multiply_adds_are_counted_as_papers_count_them() -> None:
    """By hand: 2 frames of 16 patches and a class token, 2 layers of width 32 with 4 times the width between them."""
    vision = {
        "hidden_size": 32,
        "intermediate_size": 128,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    text = {"vocab_size": 100, "hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = {"vision_config": vision, "text_config": text, "projection_dim": 24}
    cost = measure(KnownModel("x/y", "clip", "embedder", "tests", 2, 24, shape=shape))
    tokens, width = 17, 32
    layer = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * 4 * width
    frame = 16 * 3 * 8 * 8 * width + 2 * layer + width * 24
    assert cost.gflops == pytest.approx(2 * frame / 1e9)
    assert cost.clips_per_s > 0
    with pytest.raises(ValueError, match="the shape of x/y is not known here"):
        measure(KnownModel("x/y", "clip", "embedder", "tests", 2, 24))


def test_the_list_that_people_see() -> None:
    done = CliRunner().invoke(main, ["models", "--kind", "embedder"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["model", "kind", "for", "frames", "dim", "licence", "published", "cached"]
    assert lines[2].startswith("microsoft/xclip-base-patch32")
    assert "MSR-VTT 10.4, MSVD 24.2, DiDeMo 9.9, ActivityNet 9.2" in lines[2]
    (metaclip,) = (line for line in lines if line.startswith("facebook/metaclip-2"))
    assert "CC-BY-NC-4.0, not commercial" in metaclip
    (qwen,) = (line for line in lines if line.startswith("Qwen/Qwen3-VL-Embedding-2B"))
    assert "for GPUs" in qwen
    assert "MSR-VTT 55.6, MSVD 75.2, DiDeMo 55.6, ActivityNet 58.1" in qwen
    assert not any("videomae" in line for line in lines)
    assert "arXiv 2504.13181, table 6: openai/clip-vit-base-patch16, google/siglip2-base-patch16-224" in done.stdout


def test_the_list_that_programs_see() -> None:
    done = CliRunner().invoke(main, ["models", "--json"])
    entries = [json.loads(line) for line in done.stdout.splitlines()]
    assert [entry["name"] for entry in entries] == [known.name for known in KNOWN]
    first = entries[0]
    assert (first["dim"], first["num_frames"], first["licence"], first["measured"]) == (512, 8, "MIT", None)


def test_licences_that_forbid_commercial_use() -> None:
    sentence = "the licence of facebook/timesformer-base-finetuned-k400@main (CC-BY-NC-4.0) forbids commercial use"
    assert licence_note("facebook/timesformer-base-finetuned-k400@main") == sentence
    assert licence_note("google/siglip2-base-patch16-224") is None
    assert licence_note("/models/timesformer-base-finetuned-k400") is None
