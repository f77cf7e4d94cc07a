"""Decodes files that users send as examples, in a process of its own for each."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from pipeline.isolated_process import IsolatedProcess, ProcessCrashed, TaskTimedOut
from schemas.errors import UsageError
from schemas.models import ModelInput
from schemas.options import Sampling

_TIMEOUT_S = 60.0

_Example = tuple[str, ModelInput, Sampling]


def decode_example(like: str, model_input: ModelInput, sampling: Sampling) -> NDArray[np.uint8]:
    """The clips of an example, uint8 [clips, num_frames, height, width, 3].

    Raises:
        UsageError: it cannot be decoded, crashes the process that decodes it, or takes too long.
    """
    process = IsolatedProcess()
    try:
        return process.run(_decode, (like, model_input, sampling), _TIMEOUT_S)
    except UsageError as exc:  # which speaks of `like`, as the command does
        raise UsageError(exc.message, argument="file") from exc
    except ProcessCrashed as exc:
        raise UsageError("the file crashed the decoder; send another", argument="file") from exc
    except TaskTimedOut as exc:
        raise UsageError(f"the file took longer than {_TIMEOUT_S:g} s to decode; send a part", argument="file") from exc
    finally:
        process.kill()


def _decode(example: _Example) -> NDArray[np.uint8]:
    from index.search.examples import example_frames

    return example_frames(*example)
