"""Published figures, by the stamp of a library's embedder."""

from __future__ import annotations

from jobs.evaluate.benchmarks.published import published


def test_a_models_figure_is_found_by_its_stamp() -> None:
    found = published("xclip-base-patch32@1234abcd", "msvd")
    assert found is not None
    assert (found.model, found.recall_at_1) == ("xclip-base-patch32", 0.242)
    assert "MTEB" in found.source
    assert published("google/videoprism-lvt-base-f16r288@fb6de9f0@1234abcd", "activitynet") is not None


def test_what_is_not_published_is_none() -> None:
    assert published("my-xclip@1234abcd", "msvd") is None
    assert published("clip-vit-base-patch16@1234abcd", "didemo") is None
    assert published("xclip-base-patch32@1234abcd", "tvr") is None
