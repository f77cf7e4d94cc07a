"""The decoders that ``--decoder`` can name. To add one: a file here with a class, and a line in `DECODERS`."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pkgutil import resolve_name
from typing import TYPE_CHECKING, cast

from schemas.errors import UsageError

if TYPE_CHECKING:
    from pipeline.decoders.base import Decoder


@dataclass(frozen=True, slots=True)
class Backend:
    """A decoder that can be loaded.

    Attributes:
        factory: import path of the decoder's class, ``module:name``; imported when it is first loaded.
        arguments: passed to the class.
        package: the optional package that it needs, also the name of vidsift's extra; None where it is always installed.
        needs: what else has to be on the machine, for messages.
        on_gpu: whether it decodes on a GPU.
        chains: whether it is a `ChainDecoder`.
    """

    factory: str
    arguments: tuple[str, ...] = ()
    package: str | None = None
    needs: str = "its libraries"
    on_gpu: bool = False
    chains: bool = False


_TORCHCODEC = "pipeline.decoders.torchcodec:TorchCodecDecoder"

DECODERS: dict[str, Backend] = {
    "pyav": Backend("pipeline.decoders.pyav:PyAVDecoder", chains=True),
    "decord": Backend("pipeline.decoders.decord:DecordDecoder", package="decord"),
    "torchcodec": Backend(_TORCHCODEC, package="torchcodec", needs="FFmpeg's shared libraries"),
    "nvdec": Backend(
        _TORCHCODEC,
        ("cuda",),
        package="torchcodec",
        needs="a GPU, and a torchcodec and a torch made for it",
        on_gpu=True,
    ),
}
ON_GPU = frozenset(name for name, backend in DECODERS.items() if backend.on_gpu)
CHAINED = frozenset(name for name, backend in DECODERS.items() if backend.chains)


def load_decoder(name: str) -> Decoder:
    """The decoder called ``name``, on this machine. A process has one of each, which threads may share.

    Raises:
        UsageError: no such decoder, its package is not installed, or it cannot run here.
    """
    check_decoder(name)
    backend = DECODERS[name]
    try:
        return _load(backend)
    # torch and torchcodec raise any of these when a library is missing.
    except (ImportError, OSError, RuntimeError, AssertionError) as exc:
        reason = (str(exc) or type(exc).__name__).splitlines()[0]
        message = f"it cannot run here ({reason}); it needs {backend.needs}; or take pyav"
        raise UsageError(message, argument="decoder", value=name) from exc


@cache
def _load(backend: Backend) -> Decoder:
    return cast("Decoder", resolve_name(backend.factory)(*backend.arguments))


def check_decoder(name: str) -> None:
    """Check that there is such a decoder and that its package is installed; whether it can run here shows when it is loaded.

    Raises:
        UsageError: no such decoder, or its package is not installed.
    """
    if name not in DECODERS:
        raise UsageError(f"got {name!r}, expected {', '.join(DECODERS)}", argument="decoder")
    package = DECODERS[name].package
    if package and find_spec(package) is None:
        message = f"its package is not installed; pip install 'vidsift[{package}]', or take pyav"
        raise UsageError(message, argument="decoder", value=name)
