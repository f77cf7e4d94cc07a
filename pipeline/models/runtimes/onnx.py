"""Writes modules as ONNX graphs, and runs a model's forward pass over clips with ONNX Runtime instead of PyTorch.

A graph takes batches of any size. Graphs of models that ingest are kept in the user's cache folder. Everything else, such as
text models and rerank scores, stays with PyTorch.
"""

from __future__ import annotations

import os
import tempfile
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import torch
import transformers
from numpy.typing import NDArray

from pipeline.cache_folder import cache_folder
from pipeline.models.runtimes.cuda_graphs import Forward
from pipeline.models.runtimes.micro_batches import MicroBatched
from schemas.models import Checkpoint

# The version of ONNX's operators: the newest that TensorRT 10 and ONNX Runtime since 1.14 both read, with LayerNorm as one.
OPSET = 18

# A file of ONNX is one message of protobuf, which has a limit of 2 GiB. Larger weights go into a second file beside it.
MOST_BYTES_IN_ONE_FILE = 2_000_000_000
DATA_ENDING = ".data"


class OnnxForward:
    """A forward pass whose graph is made at its first call; by then the number of threads that it may use is set."""

    def __init__(
        self, checkpoint: Checkpoint, name: str, module: torch.nn.Module, inputs: Sequence[str] = ("pixels",)
    ) -> None:
        """Prepare the forward pass.

        Args:
            checkpoint: the model's files; the graph is kept under their hash.
            name: tells apart the graphs of a checkpoint.
            module: float32 [batch, num_frames, 3, height, width], and others, -> tensors whose first dimension is a multiple
                of batch.
            inputs: names of what it takes, pixels first.
        """
        self._checkpoint, self._name, self._module, self._inputs = checkpoint, name, module, tuple(inputs)
        self._session: Any = None

    def __call__(self, *given: torch.Tensor) -> tuple[torch.Tensor, ...]:
        """The module's outputs for [batch, num_frames, 3, height, width], and the other inputs in their order."""
        inputs = {name: tensor.float().cpu() for name, tensor in zip(self._inputs, given, strict=True)}
        if self._session is None:
            example = {name: tensor[:1] for name, tensor in inputs.items()}
            self._session = open_session(self._graph(example), torch.get_num_threads(), providers())
        return tuple(map(torch.from_numpy, run_session(self._session, inputs)))

    def _graph(self, example: Mapping[str, torch.Tensor]) -> Path:
        """The graph's file in the cache, made where it is not there."""
        frames, _, height, width = example["pixels"].shape[1:]
        shape = f"{frames}x{height}x{width}"
        versions = f"opset{OPSET}-torch{torch.__version__.split('+')[0]}-transformers{transformers.__version__}"
        path = cache_folder("onnx") / f"{self._name}-{self._checkpoint.sha256[:16]}-{shape}-{versions}.onnx"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryDirectory(dir=path.parent) as scratch:
                written = write_graph(self._module, example, self._outputs(example), Path(scratch, path.name))
                for file in written:
                    os.replace(file, path.parent / file.name)
        return path

    def _outputs(self, example: Mapping[str, torch.Tensor]) -> list[str]:
        with torch.inference_mode():
            outputs = self._module(*example.values())
        return [f"output_{number}" for number in range(len(outputs))] if isinstance(outputs, tuple) else ["output_0"]


def onnx_runtime(checkpoint: Checkpoint, name: str, module: torch.nn.Module, config: Any) -> Forward:
    """An `OnnxForward`, in micro-batches on a CPU; ``config`` is the vision model's transformers configuration."""
    run = OnnxForward(checkpoint, name, module)
    return run if len(providers()) > 1 else MicroBatched(run, config)


def providers() -> list[Any]:
    """The ways to compute that ONNX Runtime is to try here, best first: TensorRT, CUDA, CPU, of those that are installed.

    Its wheel for GPUs names TensorRT whether or not TensorRT's own libraries are there, so that takes their package too.
    Only the CPU's has been run.
    """
    import onnxruntime

    available = onnxruntime.get_available_providers()
    chosen: list[Any] = []
    if torch.cuda.is_available():
        if "TensorrtExecutionProvider" in available and find_spec("tensorrt"):
            kept = {"trt_engine_cache_enable": True, "trt_engine_cache_path": str(cache_folder("tensorrt"))}
            chosen.append(("TensorrtExecutionProvider", kept))  # building an engine takes minutes
        if "CUDAExecutionProvider" in available:
            chosen.append("CUDAExecutionProvider")
    return [*chosen, "CPUExecutionProvider"]


@contextmanager
def unfused_attention() -> Iterator[None]:
    """Within it, torch.nn's attention computes by operators that ONNX has, and not by its one fused operator."""
    fused = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(fused)


def open_session(path: Path, num_threads: int | None = None, chosen: Sequence[Any] = ("CPUExecutionProvider",)) -> Any:
    """An ONNX Runtime session of a graph.

    Args:
        path: the graph's file.
        num_threads: threads to compute with on a CPU; None takes a thread for each core.
        chosen: as `providers` returns them.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors; below that it warns of every constant it folds
    options.intra_op_num_threads = num_threads or 0
    options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # waiting threads leave the cores to decoders
    return onnxruntime.InferenceSession(str(path), options, providers=list(chosen))


def write_graph(
    module: torch.nn.Module,
    inputs: Mapping[str, torch.Tensor],
    outputs: Sequence[str],
    path: Path,
    metadata: Mapping[str, str] | None = None,
) -> list[Path]:
    """Write a module as an ONNX graph whose first dimensions may vary.

    Args:
        module: takes ``inputs`` in their order.
        inputs: examples by name.
        outputs: names of what it returns.
        path: the file to write, in a folder that holds nothing else.
        metadata: to be written into the file.

    Returns:
        The files: ``path``, after the file with its weights where these do not fit into it.
    """
    import onnx

    sizes = {name: {0: "batch"} for name in inputs} | {name: {0: f"{name}_rows"} for name in outputs}
    with torch.inference_mode(False), torch.no_grad(), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # tracing warns of every size that becomes a constant, which is intended
        torch.onnx.export(
            module,
            tuple(tensor.clone() for tensor in inputs.values()),  # tensors of inference mode cannot be traced
            str(path),
            input_names=list(inputs),
            output_names=list(outputs),
            dynamic_axes=sizes,
            opset_version=OPSET,
            dynamo=False,
        )
    model = onnx.load(str(path))
    for name, value in (metadata or {}).items():
        model.metadata_props.add(key=name, value=value)
    if num_bytes(module) <= MOST_BYTES_IN_ONE_FILE:
        onnx.save_model(model, str(path))
        return [path]
    for file in path.parent.iterdir():  # the exporter writes a file for each tensor that it finds too large
        file.unlink()
    data = path.with_name(path.name + DATA_ENDING)
    onnx.save_model(model, str(path), save_as_external_data=True, all_tensors_to_one_file=True, location=data.name)
    return [data, path]


def num_bytes(module: torch.nn.Module) -> int:
    """Bytes of a module's weights."""
    return sum(weights.numel() * weights.element_size() for weights in module.parameters())


def run_session(session: Any, inputs: Mapping[str, torch.Tensor]) -> list[NDArray[np.float32]]:
    """A session's outputs for inputs by name."""
    outputs: list[NDArray[np.float32]] = session.run(None, {name: tensor.numpy() for name, tensor in inputs.items()})
    return outputs
