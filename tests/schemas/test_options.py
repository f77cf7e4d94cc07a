from __future__ import annotations

from typing import Any

import pytest

from schemas.errors import UsageError
from schemas.options import IngestOptions, Sampling


@pytest.mark.parametrize(
    ("sampling", "message"),
    [
        ({"window_s": 0.0}, "window_s: got 0 s, expected 0.1 to 3600 s"),
        ({"window_s": -4.0}, "window_s: got -4 s"),
        ({"window_s": float("nan")}, "window_s: got nan s"),
        ({"window_s": 4.0, "stride_s": 0.0}, "stride_s: got 0 s, expected 0.1 s to the window (4 s)"),
        ({"window_s": 4.0, "stride_s": 6.0}, "stride_s: got 6 s, expected 0.1 s to the window (4 s)"),
        ({"shots": "guess"}, "shots: got 'guess', expected none, content, transnetv2"),
    ],
)
def test_sampling_refuses_what_would_leave_seconds_unseen(sampling: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        Sampling(**sampling)
    assert str(error.value).startswith(message)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"precision": "int8"}, "precision: got 'int8', expected auto, fp32, bf16"),
        ({"batch_size": 0}, "batch_size: got 0, expected 1 or more"),
        ({"scaling": "slow"}, "scaling: got 'slow', expected fast, exact"),
        ({"engine": "tensorflow"}, "engine: got 'tensorflow', expected torch, openvino, onnx"),
        (
            {"engine": "onnx", "precision": "bf16"},
            "precision: got bf16, expected fp32 or auto, since the `engine` onnx computes in fp32",
        ),
        ({"num_decoders": 0}, "num_decoders: got 0, expected 1 or more"),
        ({"num_threads": 0}, "num_threads: got 0, expected 1 or more"),
        ({"num_cpus": 0}, "num_cpus: got 0, expected 1 or more"),
        ({"video_timeout_s": 0.5}, "video_timeout_s: got 0.5, expected 1 or more"),
    ],
)
def test_ingest_options_refuse_what_no_run_could_use(options: dict[str, Any], message: str) -> None:
    with pytest.raises(UsageError) as error:
        IngestOptions(**options)
    assert str(error.value) == message
