"""The script that a user would write from the documentation of PyAV, VideoMAE and X-CLIP."""

from __future__ import annotations

from typing import Any

WINDOW_S = 4.0


class PlainScript:
    """Both models and their processors."""

    def __init__(self, classifier: str, embedder: str) -> None:
        import torch
        from transformers import (
            AutoImageProcessor,
            VideoMAEForVideoClassification,
            XCLIPModel,
        )

        from pipeline.models.checkpoint import find_checkpoint

        names = [find_checkpoint(classifier, "--classifier").folder, find_checkpoint(embedder, "--embedder").folder]
        self.processors = [AutoImageProcessor.from_pretrained(name, backend="pil") for name in names]
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.classifier = VideoMAEForVideoClassification.from_pretrained(names[0], dtype=torch.float32).eval()
        self.embedder = XCLIPModel.from_pretrained(names[1], dtype=torch.float32).eval()
        for model in (self.classifier, self.embedder):
            model.to(self.device)

    def clip(self, frames: list[Any]) -> tuple[Any, Any]:
        """Probabilities [labels] and the embedding [dim] of 16 frames."""
        import torch

        with torch.inference_mode():
            pixels = self.processors[0](frames, return_tensors="pt")["pixel_values"].to(self.device)
            probabilities = self.classifier(pixels).logits.softmax(-1)[0]
            pixels = self.processors[1](frames[::2], return_tensors="pt")["pixel_values"].to(self.device)
            vector = self.embedder.get_video_features(pixels).pooler_output[0]
        return probabilities.cpu(), (vector / vector.norm()).cpu()

    def video(self, path: str, window_s: float = WINDOW_S) -> list[tuple[Any, Any]]:
        """All clips of a video."""
        import av

        answers, frames, clip = [], [], 0
        with av.open(path) as container:
            stream = container.streams.video[0]
            start_s = float((container.start_time or 0) / av.time_base)
            shown = None
            for frame in container.decode(stream):
                time_s = (frame.time or 0.0) - start_s
                while shown is not None and time_s > clip * window_s + (len(frames) + 0.5) * window_s / 16 + 4e-6:
                    frames.append(shown.to_ndarray(format="rgb24"))
                    if len(frames) == 16:
                        answers.append(self.clip(frames))
                        frames, clip = [], clip + 1
                shown = frame
        return answers
