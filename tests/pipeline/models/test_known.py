"""The list of known models is one that can be used, and what it says of costs is counted right."""

from __future__ import annotations

import json
from importlib.util import find_spec
from typing import Any

import pytest
import torch
from click.testing import CliRunner

from cli import main
from pipeline.models.architectures import architecture_of
from pipeline.models.families import family_of
from pipeline.models.known import KNOWN, KnownModel, known_model, licence_note
from pipeline.models.known_report import model_row
from pipeline.models.measure import Cost, can_measure, count_gflops, empty_network, fill_weights, measure
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER
from tests.helpers.small_embedders import pe_audio_video_config


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
    assert cost.clips_per_s
    with pytest.raises(ValueError, match="the shape of x/y is not known here"):
        measure(KnownModel("x/y", "clip", "embedder", "tests", 2, 24))


def small_clip(name: str) -> KnownModel:
    """A CLIP of a few thousand weights."""
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 1, "num_attention_heads": 2}
    shape = {"vision_config": {**layers, "image_size": 32, "patch_size": 8}, "text_config": {**layers, "vocab_size": 100}}
    return KnownModel(name, "clip", "embedder", "tests", 2, 512, shape=shape)


def small_qwen() -> KnownModel:
    """A Qwen3-VL of two layers, shown two pairs of 64 x 32 pixels: 8 squares of 2 x 2 patches a pair."""
    text = {"hidden_size": 48, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2}
    text |= {"num_key_value_heads": 1, "head_dim": 16, "vocab_size": 300, "use_cache": False}
    rope = {"rope_type": "default", "rope_theta": 10_000.0, "mrope_section": [4, 2, 2]}
    vision: dict[str, Any] = {"hidden_size": 32, "intermediate_size": 64, "depth": 2, "num_heads": 2, "patch_size": 8}
    vision |= {"out_hidden_size": 48, "num_position_embeddings": 64, "deepstack_visual_indexes": [0]}
    marks = {"image_token_id": 290, "video_token_id": 291, "vision_start_token_id": 292, "vision_end_token_id": 293}
    shape = {"text_config": {**text, "rope_parameters": rope}, "vision_config": vision, **marks}
    return KnownModel("x/qwen", "qwen3_vl", "embedder", "tests", 4, 48, shape=shape, picture=(32, 64))


def small_gemma() -> KnownModel:
    """An EmbeddingGemma 2 of two layers."""
    layers = {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 2, "head_dim": 16}
    text = {**layers, "num_key_value_heads": 1, "vocab_size": 300, "global_head_dim": 16, "hidden_size_per_layer_input": 8}
    vision = {**layers, "num_key_value_heads": 2, "model_type": "gemma4_vision", "patch_size": 8, "pooling_kernel_size": 2}
    marks = {"boi_token_id": 290, "video_token_id": 291, "eoi_token_id": 292, "image_token_id": 293, "audio_token_id": 294}
    shape = {"text_config": text, "vision_config": vision, **marks}
    return KnownModel("x/gemma", "embedding_gemma2", "embedder", "tests", 4, 768, shape=shape, picture=(32, 64))


@pytest.mark.parametrize("known", [small_clip("x/clip"), small_qwen(), small_gemma()], ids=lambda known: known.model_type)
def test_what_is_timed_computes_with_usual_numbers(known: KnownModel) -> None:
    """Neither infinities nor numbers so small that processors slow down."""
    network = empty_network(known, torch.float32)
    model = network.model
    fill_weights(model)
    assert network.size == (known.picture or (32, 32))
    with torch.no_grad():
        (vectors, *_) = network.forward(torch.rand(2, known.num_frames, 3, *network.size))
    sizes = vectors.abs()
    assert torch.isfinite(vectors).all()
    assert sizes[sizes > 0].min() > 1e-20
    assert sizes.max() > 1e-6
    cost = measure(known)
    assert cost.gflops > 0
    assert cost.parameters == sum(weights.numel() for weights in model.parameters())
    assert cost.clips_per_s


def test_multiply_adds_of_a_language_model_that_sees() -> None:
    """By hand, all that depends on the number of tokens: 52 of 2 x 8 squares, their marks and 20 + 2 x 6 of words."""
    known = small_qwen()
    tokens, width, heads = 2 * 8 + 2 * 2 + 20 + 2 * 6, 48, 2 * 16
    attention = tokens * width * (2 * heads + 2 * 16) + 2 * tokens**2 * heads
    language = 2 * (attention + 3 * tokens * width * 64)
    patches = 2 * 32
    # A pair of frames is attended to by itself.
    seen = patches * 3 * 2 * 64 * 32 + 2 * (4 * patches * 32**2 + 2 * patches * 32 * 32 + 2 * patches * 32 * 64)
    merged = 2 * 16 * (128 * 128 + 128 * 48)
    small = tokens * 8 + patches * 8  # of the rotations, at most
    assert (language + seen + merged) / 1e9 <= measure(known).gflops <= (language + seen + merged + small) / 1e9


_TORCHVISION = [known for known in KNOWN if (made := architecture_of(known.model_type)) and made.library == "torchvision"]


@pytest.mark.skipif(find_spec("torchvision") is None, reason="torchvision is not installed")
@pytest.mark.parametrize("known", _TORCHVISION, ids=lambda known: known.model_type)
def test_networks_of_torchvision_cost_what_it_says(known: KnownModel) -> None:
    """Of 16 frames, as it counted them; some of its networks were trained with more, of which each costs the same."""
    from torchvision.models import get_model_weights

    published = next(iter(get_model_weights(known.model_type))).meta
    assert can_measure(known)
    with torch.device("meta"):  # multiplies nothing, so that counting takes no time
        network = empty_network(known, torch.float32)
        gflops = count_gflops(network, torch.zeros(1, known.num_frames, 3, *network.size))
    assert gflops * 16 / known.num_frames == pytest.approx(published["_ops"], abs=0.001)
    assert sum(weights.numel() for weights in network.model.parameters()) == published["num_params"]


@pytest.mark.skipif(
    find_spec("timm") is None or find_spec("torchvision") is None, reason="timm or torchvision is not installed"
)
def test_multiply_adds_of_perception_encoder() -> None:
    """By hand, all but what runs over the frames' vectors: 8 pictures of 16 patches and a class token, in 2 layers of 32."""
    shape = {name: value for name, value in pe_audio_video_config().to_dict().items() if name != "model_type"}
    known = KnownModel("x/pe", "pe_audio_video", "embedder", "tests", 8, 32, shape=shape, picture=(32, 32))
    assert can_measure(known)
    tokens, width = 17, 32
    layer = 4 * tokens * width**2 + 2 * tokens**2 * width + 2 * tokens * width * 4 * width
    pooled = (2 + 2 * tokens) * width**2 + 2 * tokens * width + 2 * width * 4 * width + width * 24
    pictures = 8 * (16 * 3 * 8 * 8 * width + 2 * layer + pooled)
    over_frames, tokens, width = 8 * (24 + 48) * 48, 9, 48  # two projections; then the frames' vectors and a class token
    over_frames += 2 * tokens * 3 * width**2 + tokens * width**2 + width * 32
    over_frames += 2 * (4 * tokens * width**2 + 2 * tokens**2 * width + 3 * tokens * width * 64)
    cost = measure(known)
    assert cost.gflops == pytest.approx((pictures + over_frames) / 1e9, rel=1e-6)
    assert cost.clips_per_s


def test_what_needs_more_than_is_installed_is_left_out(monkeypatch: pytest.MonkeyPatch) -> None:
    known = known_model("facebook/pe-av-large")
    assert known is not None
    monkeypatch.setattr("pipeline.models.measure.find_spec", lambda name: None if name == "timm" else object())
    monkeypatch.setattr("pipeline.models.known.KNOWN", (known,))
    monkeypatch.setattr("pipeline.models.measure.measure", lambda known: pytest.fail("it cannot be made"))
    done = CliRunner().invoke(main, ["models", "--measure"])
    assert done.exit_code == 0, done.output
    assert done.stdout.splitlines()[2].split()[-2:] == ["-", "-"]


def test_tables_of_tokens_do_not_count_towards_what_is_too_large(monkeypatch: pytest.MonkeyPatch) -> None:
    known = small_clip("x/clip")
    parameters = measure(known).parameters
    monkeypatch.setattr("pipeline.models.measure.best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr("pipeline.models.measure.MAX_WEIGHTS_ON_CPU", parameters - 100 * 32)
    assert measure(known).clips_per_s is not None


def test_a_large_model_is_counted_and_not_timed_on_a_cpu(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.models.measure.MAX_WEIGHTS_ON_CPU", 1_000)
    monkeypatch.setattr("pipeline.models.measure.best_device", lambda: torch.device("cpu"))
    monkeypatch.setattr("pipeline.models.measure.fill_weights", lambda model: pytest.fail("not timed, so not filled"))
    cost = measure(small_qwen())
    assert cost.clips_per_s is None
    assert model_row(small_qwen(), cost, measured=True)[-2:] == ["0", "-"]


def test_each_row_is_printed_as_it_is_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Here the second model fails; progress goes to standard error."""

    def measure_one(known: KnownModel) -> Cost:
        if known.name == "x/second":
            raise RuntimeError("no more")
        return Cost(1.5, 100, 2.25)

    unknown = KnownModel("x/unknown", "clip", "embedder", "tests", 2, 512)
    known = (unknown, small_clip("x/first"), small_clip("x/second"))
    monkeypatch.setattr("pipeline.models.known.KNOWN", known)
    monkeypatch.setattr("pipeline.models.measure.measure", measure_one)
    monkeypatch.setattr("commands.progress_line.ProgressLine._LOG_EVERY_S", 0.0)
    for arguments in (["models", "--measure"], ["models", "--measure", "--json"]):
        done = CliRunner().invoke(main, arguments)
        assert isinstance(done.exception, RuntimeError)
        *_, before, last = done.stdout.splitlines()
        if "--json" in arguments:
            assert json.loads(last)["measured"] == {"gflops": 1.5, "parameters": 100, "clips_per_s": 2.25}
            assert json.loads(before)["measured"] is None
        else:
            assert last.split()[0] == "x/first"
            assert last.split()[-2:] == ["2", "2.25"]
            assert before.split()[-2:] == ["-", "-"]
        told = [line.split(",")[0] for line in done.stderr.splitlines()]
        assert told == [f"measured {count} of 3 models" for count in range(3)]


def test_the_list_with_measurements(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pipeline.models.known.KNOWN", (small_clip("x/first"), small_qwen()))
    done = CliRunner().invoke(main, ["models", "--measure"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split()[-2:] == ["GFLOPs", "clips/s"]
    assert [line.split()[0] for line in lines[2:4]] == ["x/first", "x/qwen"]
    assert all(float(line.split()[-1]) > 0 for line in lines[2:4])
    assert lines[4] == ""


def test_the_list_that_people_see() -> None:
    done = CliRunner().invoke(main, ["models", "--kind", "embedder"])
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0].split() == ["model", "kind", "for", "frames", "dim", "licence", "published", "cached"]
    assert lines[2].startswith("microsoft/xclip-base-patch32")
    assert "MSR-VTT 10.4, MSVD 24.2, DiDeMo 9.9, ActivityNet 9.2" in lines[2]
    metaclip = [line for line in lines if line.startswith("facebook/metaclip-2")]
    assert len(metaclip) == 3
    assert all("CC-BY-NC-4.0, not commercial" in line for line in metaclip)
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
