"""How many operations a second this machine does in products of matrices, and how many both models need for a clip."""

from __future__ import annotations

import time


def multiply(_: int) -> float:
    """Floating-point operations a second in large products of matrices, one thread."""
    import torch

    from pipeline.models.loading import use_faster_fp32
    from pipeline.models.pixels import best_device, choose_dtype

    torch.set_num_threads(1)
    device = best_device()
    if device.type == "cpu":
        use_faster_fp32()
    size = 8192 if device.type == "cuda" else 2048
    left, right = (torch.randn(size, size, device=device).to(choose_dtype("auto", device)) for _ in range(2))

    def several(count: int) -> float:
        began = time.perf_counter()
        for _ in range(count):
            left @ right
        if device.type == "cuda":
            torch.cuda.synchronize()
        return time.perf_counter() - began

    several(2)  # libraries are loaded, and clocks go up
    count = max(4, int(2 / several(2)))
    return count * 2 * size**3 / several(count)


def flop_of(classifier: str, embedder: str) -> float:
    """Floating-point operations of both models on a clip, counted without computing them."""
    import torch
    from torch.utils.flop_counter import FlopCounterMode
    from transformers import AutoConfig, VideoMAEForVideoClassification, XCLIPModel

    from pipeline.models.checkpoint import find_checkpoint

    with torch.device("meta"), torch.inference_mode(), FlopCounterMode(display=False) as counter:
        config = AutoConfig.from_pretrained(find_checkpoint(classifier, "--classifier").folder, attn_implementation="eager")
        size = config.image_size
        VideoMAEForVideoClassification(config).eval()(torch.empty(1, config.num_frames, 3, size, size))
        config = AutoConfig.from_pretrained(find_checkpoint(embedder, "--embedder").folder, attn_implementation="eager")
        seen = torch.empty(1, config.vision_config.num_frames, 3, *[config.vision_config.image_size] * 2)
        XCLIPModel(config).eval().get_video_features(seen)
        return float(counter.get_total_flops())
