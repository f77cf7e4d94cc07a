"""Fine-tuning a classifier that hears: a video model, a new encoder of its sound, and their fusion."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from math import gcd
from typing import Any

from transformers import AutoModel

from jobs.train.base_model import Base, load_base
from jobs.train.clip_sound import (
    ClassificationWithSound,
    ClassificationWithSoundModule,
    ClipsWithSound,
    cache_sound,
    said_of_silence,
)
from jobs.train.report import TrainReport
from jobs.train.run import DecodedDataset, TrainingRun
from pipeline.models.classifiers.sound import Fusion, SoundVideoConfig, SoundVideoForVideoClassification
from schemas.errors import ModelError

# The video models whose tokens can be fused: their base model gives them as last_hidden_state.
_VIDEO_MODELS = ("videomae", "timesformer", "vivit")
# Entries of a configuration that the model around it has for itself.
_NOT_OF_THE_SHAPE = ("architectures", "dtype", "transformers_version", "id2label", "label2id", "_name_or_path")


def check_takes_sound(start: Base) -> None:
    """Refuse a base whose tokens cannot be fused with those of its sound.

    Raises:
        ModelError: it is of another type than VideoMAE, TimeSformer or ViViT.
    """
    if start.checkpoint.model_type not in _VIDEO_MODELS:
        raise ModelError(
            f"got a model of type {start.checkpoint.model_type!r}, expected {', '.join(_VIDEO_MODELS)} with `audio`; "
            "take such a base, or leave `audio` out",
            argument="base",
            value=start.given,
        )


def finetune_with_sound(
    run: TrainingRun, decoded: DecodedDataset, names: Sequence[str], fusion: Fusion, labels: dict[str, Any]
) -> TrainReport:
    """The rest of `jobs.train.finetune.finetune` for a classifier that hears.

    Args:
        run: the run, which has decoded the frames.
        decoded: the frames.
        names: the classes.
        fusion: how pictures and sound come together.
        labels: ``id2label`` and ``label2id``.
    """
    video = load_base(AutoModel, run.base, may_be_new=("pooler.", "layernorm."))
    shape = {name: value for name, value in video.config.to_dict().items() if name not in _NOT_OF_THE_SHAPE}
    size = run.base.preprocessing.input.geometry.size
    assert size is not None, "any other preprocessing was refused when it was read"
    config = SoundVideoConfig(
        video=shape,
        fusion=fusion,
        num_frames=run.base.preprocessing.input.num_frames,
        image_size=size[0],
        sound_seconds=run.options.window_s,
        num_attention_heads=gcd(SoundVideoConfig.num_attention_heads, video.config.hidden_size),  # 4 of all published widths
        **labels,
    )
    model = SoundVideoForVideoClassification(config)
    model.video.load_state_dict(video.state_dict())
    clips = [of_example for split in decoded.cached.values() for of_example in split]
    silent, unclear = cache_sound(
        clips,
        num_samples=config.num_samples,
        window_s=run.options.window_s,
        max_clips=run.options.max_clips,
        cpus=run.options.cpus,
    )
    said_of_silence(silent, unclear, len(clips), run.say)
    run.extra["silent_examples"] = len(silent) + len(unclear)
    objective = ClassificationWithSound(ClassificationWithSoundModule(model, run.base.preprocessing), tuple(names))
    return run.train(objective, decoded, make_dataset=partial(ClipsWithSound, num_samples=config.num_samples))
