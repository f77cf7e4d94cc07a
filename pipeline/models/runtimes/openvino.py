"""Both models' forward passes over clips by OpenVINO instead of PyTorch: faster on CPUs, for those who have it installed.

VideoMAE-base takes 0.85 of the time that it takes in PyTorch, in bf16 and in fp32 (one core with AVX-512 BF16). Converting
a model takes some twenty seconds of its own, so what comes of it is kept in the user's cache folder. Everything else, such
as text and the exact score, stays with PyTorch.
"""

from __future__ import annotations

import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray
from transformers import XCLIPModel

from pipeline.models.classifiers.huggingface import HuggingFaceClassifier
from pipeline.models.embedders.xclip import XClipEmbedder
from pipeline.models.loading import load_pretrained
from pipeline.models.pixels import choose_dtype
from schemas.models import Checkpoint
from schemas.options import Precision

_CPU = torch.device("cpu")


class OpenVinoClassifier(HuggingFaceClassifier):
    """A `HuggingFaceClassifier` whose logits OpenVINO computes."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.load_classifier`."""
        super().__init__(checkpoint, "fp32", _CPU)
        self.dtype = choose_dtype(precision, _CPU)
        self._run = _Compiled(checkpoint, _Logits(self._model), self.dtype)


class OpenVinoXClip(XClipEmbedder):
    """An `XClipEmbedder` whose clips OpenVINO sees."""

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "auto") -> None:
        """Load the checkpoint; see `pipeline.models.load_embedder`."""
        super().__init__(checkpoint, "fp32")
        self.dtype = choose_dtype(precision, _CPU)
        self._run = _Compiled(checkpoint, _Seen(self._model), self.dtype)

    def _load(self, checkpoint: Checkpoint, precision: Precision) -> tuple[Any, torch.device, torch.dtype]:
        return load_pretrained(XCLIPModel, checkpoint, precision, "--embedder", device=_CPU)


class _Logits(torch.nn.Module):
    """[1, frames, 3, height, width] -> logits."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> Any:
        return self.model(**{self.model.main_input_name: pixels}).logits


class _Seen(torch.nn.Module):
    """[1, frames, 3, height, width] -> the projected video and the hidden states of its patches."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model = model

    def forward(self, pixels: torch.Tensor) -> Any:
        seen = self.model.get_video_features(pixels)
        return seen.pooler_output, seen.last_hidden_state


class _Compiled:
    """A module of one clip, converted when it is first needed; by then it is known how many threads it may use."""

    def __init__(self, checkpoint: Checkpoint, module: torch.nn.Module, dtype: torch.dtype) -> None:
        self._checkpoint, self._module, self._dtype = checkpoint, module, dtype
        self._request: Any = None

    def __call__(self, pixels: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """What the module gives for each clip of [batch, frames, 3, height, width], one by one: batches gain nothing."""
        if self._request is None:
            self._request = self._compile(pixels[:1].float())
        found = [self._infer(clip) for clip in pixels.float().numpy()]
        return tuple(torch.from_numpy(np.concatenate(outputs)) for outputs in zip(*found, strict=True))

    def _infer(self, clip: NDArray[np.float32]) -> list[NDArray[np.float32]]:
        self._request.infer({0: clip[None]})
        return [np.array(output.data) for output in self._request.output_tensors]

    def _compile(self, example: torch.Tensor) -> Any:
        core = import_openvino().Core()
        config = {
            "INFERENCE_PRECISION_HINT": "bf16" if self._dtype == torch.bfloat16 else "f32",
            "INFERENCE_NUM_THREADS": torch.get_num_threads(),
            "NUM_STREAMS": 1,
            "ENABLE_CPU_PINNING": False,  # else every process takes the first cores, whoever has them
        }
        return core.compile_model(str(self._converted(example)), "CPU", config).create_infer_request()

    def _converted(self, example: torch.Tensor) -> Path:
        """The converted model's file in the cache, made where it is not there."""
        openvino = import_openvino()
        versions = f"openvino{openvino.__version__.split('-')[0]}-transformers{transformers.__version__}"
        path = _cache() / f"{type(self._module).__name__.strip('_').lower()}-{self._checkpoint.sha256[:16]}-{versions}.xml"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch, torch.inference_mode(), warnings.catch_warnings():
                warnings.simplefilter("ignore")  # tracing warns of every size that it takes for a constant, as it should
                made = openvino.convert_model(self._module, example_input=example, input=[tuple(example.shape)])
                openvino.save_model(made, Path(scratch, "model.xml"), compress_to_fp16=False)
                os.replace(Path(scratch, "model.bin"), path.with_suffix(".bin"))
                os.replace(Path(scratch, "model.xml"), path)
        return path


def import_openvino() -> Any:
    """The package, without the one beside it that tells its makers of every conversion."""
    sys.modules["openvino_telemetry"] = None  # type: ignore[assignment]
    import openvino

    return openvino


def _cache() -> Path:
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache", "vidsift", "openvino")
