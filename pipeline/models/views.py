"""How many seconds a classifier was trained to see at once: the length of a view of a clip (`schemas.models.Views`)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pipeline.models.checkpoint import read_config
from pipeline.models.families import ModelFamily, classifier_family, own_num_frames
from schemas.errors import UsageError
from schemas.models import Checkpoint

MAX_VIEWS = 32  # of a clip

_KEY = "view_seconds"


def own_view_s(config: Mapping[str, Any], family: ModelFamily | None) -> float | None:
    """The seconds that a classifier was trained to see at once; None where nothing says it.

    It is ``view_seconds`` of config.json. Where that is missing, it is what was published for the models of the family with
    this number of frames. A ``view_seconds`` of null says that there is none, as of models that always see whole clips.
    """
    if _KEY in config:
        given = config[_KEY]
        return float(given) if isinstance(given, int | float) and not isinstance(given, bool) and given > 0 else None
    return None if family is None else family.view_s.get(own_num_frames(config, family) or 0)


def check_views(checkpoint: Checkpoint, views: int) -> float:
    """The seconds of each view of a clip, after making sure that a classifier can be shown ``views`` of them.

    Raises:
        ModelError: config.json cannot be read.
        UsageError: nothing says what it was trained to see at once, it hears, or the number is out of range.
    """
    config = read_config(Path(checkpoint.folder), checkpoint.name, "classifier")
    if not 1 <= views <= MAX_VIEWS:
        raise UsageError(f"got {views}, expected 1 to {MAX_VIEWS}", argument="views")
    if "sound_seconds" in config:
        raise UsageError(f"got {views}, but the classifier hears; leave the option out", argument="views")
    view_s = own_view_s(config, classifier_family(checkpoint.model_type))
    if view_s is None:
        raise UsageError(
            f"got {views}, but nothing says how many seconds {checkpoint.name!r} was trained to see at once; leave "
            f"the option out, or write the seconds into its config.json as {_KEY!r}",
            argument="views",
        )
    return view_s
