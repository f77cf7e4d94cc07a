"""The cost of rerank scores, and their drift where features are kept in fewer bits: full-size random X-CLIP, one thread.

    python -m benchmarks.rerank

Prints three tables: milliseconds for one text against 1, 10 and 100 clips, by transformers' own code and by vidsift's; how
far logits move when the features are stored as fp16 or int8; and the room on disk that a library's features take, with the
time to publish (with their hash) and to fetch them.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import cast

import numpy as np
import torch
from numpy.typing import NDArray
from transformers import AutoTokenizer, XCLIPModel

from demo.checkpoints import Size, write_embedder
from index.snapshot.feature_records import SegmentFeatures, features_info, write_records
from pipeline.models.embedders.xclip_scorer import PromptScorer
from pipeline.write import write_clips
from schemas.records import ClipRow, Span
from schemas.rerank_features import ClipFeatures, FeatureLayout

_TEXT = "a dog catches a ball"
_TOKENS = {"base": 49, "small": 16}


def milliseconds(run: Callable[[], object], repeats: int) -> float:
    """The median of ``repeats`` runs, after one that does not count."""
    run()
    times = []
    for _ in range(repeats):
        began = time.perf_counter()
        run()
        times.append(time.perf_counter() - began)
    return float(np.median(times)) * 1e3


@torch.inference_mode()
def stock_scores(
    model: XCLIPModel, text: torch.Tensor, embeddings: NDArray[np.float32], features: NDArray[np.float32]
) -> NDArray[np.float32]:
    """The end of ``XCLIPModel.forward``, in its own words; ``text`` is [1, dim], projected."""
    text_embeds = text.unsqueeze(0).expand(len(features), -1, -1)
    text_embeds = text_embeds + model.prompts_generator(text_embeds, torch.from_numpy(features))
    text_embeds = text_embeds / text_embeds.norm(p=2, dim=-1, keepdim=True)
    logits = torch.einsum("bd,bkd->bk", torch.from_numpy(embeddings), model.logit_scale.exp() * text_embeds)
    return cast("NDArray[np.float32]", logits.T.numpy())


def make_clips(dim: int, tokens: int, count: int, *, outliers: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Random embeddings [count, dim] and features [count, tokens, dim]; two dimensions ten and sixteen times the others'."""
    rng = np.random.default_rng(0)
    embeddings = rng.normal(size=(count, dim)).astype(np.float32)
    features = (rng.normal(size=(1, 1, dim)) + rng.normal(size=(count, tokens, dim))).astype(np.float32)
    if outliers:
        features[..., dim // 4] *= 16
        features[..., dim // 5] *= 10
    return embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True), features


@torch.inference_mode()
def sharpen(model: XCLIPModel) -> None:
    """Make the attention prefer some patches, as a trained model's does; a random one hardly tells them apart."""
    for layer in model.prompts_generator.decoder:
        for projection in (layer.cross_attn.q_proj, layer.cross_attn.k_proj):
            projection.weight.normal_(0, 2 / projection.in_features**0.5)


def print_speed(model: XCLIPModel, text: torch.Tensor, tokens: int, repeats: int) -> None:
    """The first table: milliseconds by transformers' code and by vidsift's."""
    scorer = PromptScorer(model)
    embeddings, features = make_clips(text.shape[1], tokens, 100, outliers=False)
    print("clips  transformers ms  vidsift ms  largest difference")
    for count in (1, 10, 100):
        some = embeddings[:count], features[:count]
        stock = milliseconds(lambda some=some: stock_scores(model, text, *some), repeats)  # type: ignore[misc]
        ours = milliseconds(lambda some=some: scorer(text, *some), repeats)  # type: ignore[misc]
        apart = np.abs(stock_scores(model, text, *some) - scorer(text, *some)).max()
        print(f"{count:5}  {stock:15.1f}  {ours:10.1f}  {apart:18.1e}")


def print_drift(model: XCLIPModel, text: torch.Tensor, tokens: int) -> None:
    """The second table: how far logits move. It changes the model."""
    print("\nattention  dimensions      kept as  bytes a clip  MB an hour  largest drift  spread of the logits")
    for sharp in (False, True):
        if sharp:
            sharpen(model)
        scorer = PromptScorer(model)
        for outliers in (False, True):
            embeddings, features = make_clips(text.shape[1], tokens, 100, outliers=outliers)
            exact = scorer(text, embeddings, features)
            for layout in (FeatureLayout("fp16", tokens, text.shape[1]), FeatureLayout("int8", tokens, text.shape[1])):
                kept = layout.decode_features(layout.encode(embeddings, features))
                drift = np.abs(scorer(text, embeddings, kept) - exact).max()
                print(
                    f"{'sharp' if sharp else 'even':<9}  {'two are large' if outliers else 'alike':<14}  {layout.kind:>7}  "
                    f"{layout.record_bytes:12,}  {layout.record_bytes * 900 / 1e6:10.1f}  {drift:13.1e}  {exact.std():20.2f}"
                )


def print_storage(scratch: Path, layout: FeatureLayout, count: int) -> None:
    """The third table: features on disk."""
    files, rows = [], []
    rng = np.random.default_rng(0)
    (scratch / "features").mkdir()
    (scratch / "clips").mkdir()
    for start in range(0, count, 128):
        embeddings, features = make_clips(layout.dim, layout.tokens, min(128, count - start), outliers=False)
        features *= rng.uniform(0.5, 2)
        records = layout.encode(embeddings, features)
        rows = [
            ClipRow(start + i, "v", Span(0.0, 4.0), (), embeddings[i], ClipFeatures(layout, record.tobytes()))
            for i, record in enumerate(records)
        ]
        features_folder = scratch / "features"
        written = write_clips(rows, scratch / "clips", classifier="-", embedder="-", features_folder=features_folder)
        assert written.features is not None
        files.append(written.features)
    paths = [str(scratch / "features" / file.name) for file in files]
    hours = count / 900
    print(f"\n{count:,} clips, {hours:.0f} h of video, as {layout.kind}:")
    print(f"{'Parquet':<34}{sum(file.size_bytes for file in files) / 1e6 / hours:8.1f} MB an hour")
    known: list[str] = []
    places = np.empty(0, np.int64)
    for name, shown in (
        ("first segment", np.arange(count - 128)),
        ("one with 128 new clips", np.arange(count - 128, count)),
    ):
        began = time.perf_counter()
        places, names, _ = write_records(scratch / "records", paths, shown, known)
        size = sum((scratch / "records" / file).stat().st_size for file in names)
        print(f"{name + ', write':<34}{(time.perf_counter() - began) * 1e3:8.0f} ms for {size / 1e6:.1f} MB")
        if not known:
            known, first = names, places
    info = features_info(layout, known)

    def opened() -> SegmentFeatures:
        return SegmentFeatures(first, scratch / "records", info)

    chosen, features_of = rng.choice(len(first), 100, replace=False), opened()
    print(f"{'open':<34}{milliseconds(opened, 9):8.1f} ms")
    print(
        f"{'fetch 100 clips':<34}{milliseconds(lambda: layout.decode_features(features_of.records_at(chosen)), 9):8.1f} ms"
    )


def main() -> None:
    """Run, and print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "base"], default="base")
    parser.add_argument("--repeats", type=int, default=15)
    parser.add_argument("--clips", type=int, default=9_000, help="clips of the library in the third table")
    arguments = parser.parse_args()
    size = cast("Size", arguments.size)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_embedder(Path(scratch) / "embedder", size)
        model = XCLIPModel.from_pretrained(folder).eval()
        words = AutoTokenizer.from_pretrained(folder)(_TEXT, return_tensors="pt")
        with torch.inference_mode():
            text = model.get_text_features(**words).pooler_output
        print_speed(model, text, _TOKENS[size], arguments.repeats)
        print_drift(model, text, _TOKENS[size])
        print_storage(Path(scratch), FeatureLayout("int8", _TOKENS[size], text.shape[1]), arguments.clips)


if __name__ == "__main__":
    main()
