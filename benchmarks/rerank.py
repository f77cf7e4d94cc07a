"""What the model's own score costs, and what keeping features in fewer bits does to it: full-size random X-CLIP, one thread.

    python -m benchmarks.rerank

Prints two tables: milliseconds for one text against 1, 10 and 100 clips, by transformers' own code and by vidsift's; and how
far logits move when the features are stored as fp16 or int8, for plain features and for some with CLIP's large dimensions.
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
from pipeline.models import ExactEmbedder, load_embedder
from pipeline.models.checkpoint import find_checkpoint
from schemas.features import FeatureLayout

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


def main() -> None:
    """Run, and print both tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", choices=["small", "base"], default="base")
    parser.add_argument("--repeats", type=int, default=15)
    arguments = parser.parse_args()
    size = cast("Size", arguments.size)
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        folder = write_embedder(Path(scratch) / "embedder", size)
        model = XCLIPModel.from_pretrained(folder).eval()
        embedder = load_embedder(find_checkpoint(str(folder), "--embedder"), "fp32")
        assert isinstance(embedder, ExactEmbedder)
        tokens = AutoTokenizer.from_pretrained(folder)(_TEXT, return_tensors="pt")
        with torch.inference_mode():
            text = model.get_text_features(**tokens).pooler_output
        embeddings, features = make_clips(embedder.dim, _TOKENS[size], 100, outliers=False)

        print("clips  transformers ms  vidsift ms  largest difference")
        for count in (1, 10, 100):
            some = embeddings[:count], features[:count]
            stock = milliseconds(lambda some=some: stock_scores(model, text, *some), arguments.repeats)  # type: ignore[misc]
            ours = milliseconds(lambda some=some: embedder.exact_scores([_TEXT], *some), arguments.repeats)  # type: ignore[misc]
            apart = np.abs(stock_scores(model, text, *some) - embedder.exact_scores([_TEXT], *some)).max()
            print(f"{count:5}  {stock:15.1f}  {ours:10.1f}  {apart:18.1e}")

        print("\nfeatures                kept as  bytes a clip  MB an hour  largest drift  spread of the logits")
        for outliers in (False, True):
            embeddings, features = make_clips(embedder.dim, _TOKENS[size], 100, outliers=outliers)
            exact = embedder.exact_scores([_TEXT], embeddings, features)
            for layout in (
                FeatureLayout("fp16", _TOKENS[size], embedder.dim),
                FeatureLayout("int8", _TOKENS[size], embedder.dim),
            ):
                kept = layout.decode_features(layout.encode(embeddings, features))
                drift = np.abs(embedder.exact_scores([_TEXT], embeddings, kept) - exact).max()
                print(
                    f"{'with large dimensions' if outliers else 'alike in all dimensions':<23} {layout.kind:>7}  "
                    f"{layout.record_bytes:12,}  {layout.record_bytes * 900 / 1e6:10.1f}  {drift:13.1e}  {exact.std():20.2f}"
                )


if __name__ == "__main__":
    main()
