"""Measure a trained model by the papers' protocols.

PyTorch is imported where it computes, since the processes that decode import this module as well.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections import Counter, deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass, field
from functools import partial
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from jobs.learn import metrics
from jobs.learn.clips import decode_spans
from jobs.learn.dataset import read_dataset
from pipeline.models import EMBEDDERS, load_classifier
from pipeline.models.checkpoint import POCKET, check_classifier, check_embedder, find_checkpoint
from pipeline.models.preprocessing import Preprocessing, read_preprocessing
from schemas.datasets import SPLITS, Dataset, Example, Split
from schemas.errors import JobError, ModelError, UsageError, VideoError
from schemas.models import Checkpoint, Geometry, ModelInput
from schemas.options import Precision
from schemas.records import Span

if TYPE_CHECKING:
    import torch

Frames = NDArray[np.uint8]
Kind = Literal["classifier", "embedder"]

_TIMES = 5  # clips of an example in several views, each in three crops: VideoMAE's 5 x 3 (Tong et al., 2022)
_TEXTS = 256  # texts compared with a batch of clips at once
_NAMED = 20  # labels that a message names


@dataclass(frozen=True, slots=True, kw_only=True)
class EvaluateOptions:
    """How a model is measured.

    Attributes:
        split: what is measured; None takes test where the data has one, else val, else all.
        views: ``single`` shows a classifier the middle of an example, ``multi`` 5 clips of it in 3 crops each.
        captions: captions that an embedder is to find the clips of, in each draw.
        draws: how often they are drawn.
        seed: of the splits, the draws and the shuffling.
        window_s: seconds of a clip.
        batch_size: clips per forward pass.
        shuffle: show the frames of each clip in a random order, to see how much of a result hangs on their order.
        pairs: two labels, or two values of a kind of fact, with a comma between: how often they are told from each other.
        precision: what the model computes in.
    """

    split: Split | Literal["all"] | None = None
    views: Literal["single", "multi"] = "single"
    captions: int = 200
    draws: int = 3
    seed: int = 0
    window_s: float = 4.0
    batch_size: int = 32
    shuffle: bool = False
    pairs: tuple[str, ...] = ()
    precision: Precision = "fp32"

    def __post_init__(self) -> None:
        """Refuse what nothing could be measured with."""
        for option, value, least, most in (
            ("--captions", self.captions, 2, 100_000),
            ("--draws", self.draws, 1, 1000),
            ("--seed", self.seed, 0, 2**31 - 1),
            ("--window", self.window_s, 0.1, 3600.0),
            ("--batch-size", self.batch_size, 1, 65_536),
        ):
            if not least <= value <= most:
                raise UsageError(f"{option}: got {value:g}, allowed is {least:g} to {most:g}")


@dataclass(frozen=True, slots=True)
class Measuring:
    """A moment of a measurement."""

    done: int
    total: int
    elapsed_s: float

    def __str__(self) -> str:
        return f"measured {self.done} of {self.total} examples, {self.elapsed_s:.0f} s so far"


def evaluate_model(
    model: str,
    data: str | Path,
    *,
    kind: Kind | None = None,
    options: EvaluateOptions | None = None,
    say: Callable[[str], None] = lambda sentence: None,
    on_progress: Callable[[Measuring], None] = lambda progress: None,
) -> metrics.ClassifierResults | metrics.EmbedderResults:
    """Measure a classifier on labels, or an embedder on captions.

    Args:
        model: hub id, folder, or ``pocket``.
        data: as for `jobs.learn.dataset.read_dataset`; with the seed of a training it splits as it did there.
        kind: what the model is; None is what its configuration says, and a classifier for ``pocket``.
        options: how to measure.
        say: told sentences worth reading at once.
        on_progress: told how far it is.

    Raises:
        UsageError: the data or an option cannot be used with this model.
        ModelError: the model cannot be used.
        JobError: nothing of the data can be decoded.
    """
    options = options or EvaluateOptions()
    checkpoint = find_checkpoint(model, "MODEL" if model != POCKET else f"--{kind or 'classifier'}")
    kind = kind or ("embedder" if checkpoint.model_type in EMBEDDERS else "classifier")
    if kind == "embedder" and options.views == "multi":
        raise UsageError("--views multi: got an embedder, allowed are classifiers; leave it out")
    (check_embedder if kind == "embedder" else check_classifier)(checkpoint)
    dataset = read_dataset(data, seed=options.seed, want="captions" if kind == "embedder" else "labels")
    measure = _embedder if kind == "embedder" else _classifier
    return measure(checkpoint, dataset, options, say, on_progress)


def choose_split(dataset: Dataset, split: str | None) -> tuple[dict[str, Any], tuple[Example, ...]]:
    """What is measured: source, split and why, as `metrics.Measured` has them; and the examples.

    Raises:
        UsageError: the split that was asked for is empty.
    """
    counts = {name: len(dataset.of(name)) for name in SPLITS}
    chosen = split or next((name for name in ("test", "val") if counts[name]), "all")
    examples = tuple(example for example in dataset.examples if chosen in (example.split, "all"))
    if not examples:
        have = ", ".join([*(f"{name} ({count})" for name, count in counts.items() if count), "all"])
        raise UsageError(f"--split {split}: {dataset.source} has no example in it, allowed is {have}; take another")
    reason = {
        "test": "the test split",
        "val": "the val split, since there is no test split",
        "all": "all of it, since there is neither a test nor a val split",
    }[chosen] if split is None else f"as --split {split} says"  # fmt: skip
    return {"source": dataset.source, "split": chosen, "why": f"{reason}; splits {dataset.how_split}"}, examples


def middle_span(start_s: float, end_s: float, window_s: float) -> list[Span]:
    """The ``window_s`` seconds in the middle, or all where there are no more: of [0, 10) and 4 s, [3, 7)."""
    spare_s = max(0.0, end_s - start_s - window_s)
    return [Span(start_s + spare_s / 2, end_s - spare_s / 2)]


def spread_spans(start_s: float, end_s: float, window_s: float) -> list[Span]:
    """Five windows evenly spread from the beginning to the end; a single one where all five would be the same.

    Of [0, 10) and 4 s: [0, 4), [1.5, 5.5), [3, 7), [4.5, 8.5), [6, 10).
    """
    spare_s = end_s - start_s - window_s
    if spare_s <= 0:
        return [Span(start_s, end_s)]
    starts = [start_s + spare_s * number / (_TIMES - 1) for number in range(_TIMES)]
    return [Span(begin_s, begin_s + window_s) for begin_s in starts]


def uncropped(geometry: Geometry) -> tuple[Geometry, tuple[int, int]]:
    """The same pictures before they are cut, at least as large as the cut; and the cut's (height, width)."""
    resize, crop = geometry.resize, geometry.crop
    if isinstance(resize, tuple):
        crop = crop or resize
        return Geometry((max(resize[0], crop[0]), max(resize[1], crop[1])), None, geometry.interpolation), crop
    assert crop is not None  # the preprocessing was refused otherwise
    return Geometry(max(resize or 0, *crop), None, geometry.interpolation), crop


def three_crops(frames: Frames, crop: tuple[int, int]) -> list[Frames]:
    """Both ends and the middle along the longer edge, the middle along the other; one where they would be the same.

    Args:
        frames: uint8 [num_frames, height, width, 3].
        crop: (height, width).
    """
    spare = [frames.shape[1] - crop[0], frames.shape[2] - crop[1]]
    longer = int(frames.shape[2] >= frames.shape[1])
    pieces = []
    for offset in sorted({0, spare[longer] // 2, spare[longer]}):
        top, left = (offset, spare[1] // 2) if longer == 0 else (spare[0] // 2, offset)
        pieces.append(frames[:, top : top + crop[0], left : left + crop[1]])
    return pieces


@dataclass(slots=True)
class _Source:
    """Examples as pixels: decoded ahead in other processes, a few at a time."""

    examples: Sequence[Example]
    preprocessing: Preprocessing
    options: EvaluateOptions
    say: Callable[[str], None]
    on_progress: Callable[[Measuring], None]
    left_out: list[tuple[str, str]] = field(default_factory=list)
    damaged: list[tuple[str, str]] = field(default_factory=list)

    def batches(self, device: torch.device, dtype: torch.dtype) -> Iterator[tuple[list[int], torch.Tensor]]:
        """Numbers of examples, one for each view, and the views' pixels.

        Raises:
            JobError: not one example can be decoded.
        """
        from pipeline.models.pixels import make_pixels

        views, began = self._views(), time.monotonic()
        while batch := list(islice(views, self.options.batch_size)):
            numbers = [number for number, _ in batch]
            yield numbers, make_pixels(np.stack([view for _, view in batch]), self.preprocessing, device, dtype)
            self.on_progress(Measuring(numbers[-1] + 1, len(self.examples), time.monotonic() - began))
        if len(self.left_out) == len(self.examples):
            raise JobError(f"not one of {len(self.examples)} examples can be decoded; {': '.join(self.left_out[0])}")

    def _views(self) -> Iterator[tuple[int, Frames]]:
        wanted, crop, spans = self.preprocessing.input, None, middle_span
        if self.options.views == "multi":
            geometry, crop = uncropped(wanted.geometry)
            wanted, spans = ModelInput(wanted.num_frames, geometry), spread_spans
        cut = partial(spans, window_s=self.options.window_s)
        for number, (example, (clips, problem)) in enumerate(_decoded(self.examples, cut, wanted)):
            if problem:
                (self.left_out if clips is None else self.damaged).append((example.path, problem))
                self.say(f"{'left out' if clips is None else 'damaged'}: {example.path}: {problem}")
            chance = np.random.default_rng((self.options.seed, number))
            for clip in () if clips is None else clips:
                shown = clip[chance.permutation(len(clip))] if self.options.shuffle else clip
                yield from ((number, view) for view in (three_crops(shown, crop) if crop else [shown]))


_Outcome = tuple[Frames | None, str | None]


def _decoded(
    examples: Sequence[Example], cut: Callable[[float, float], list[Span]], wanted: ModelInput
) -> Iterator[tuple[Example, _Outcome]]:
    """Clips of each example and what is wrong with it, in order. A decoder that dies costs that one example alone."""
    cpus, context = len(os.sched_getaffinity(0)), multiprocessing.get_context("forkserver")
    pool = ProcessPoolExecutor(cpus, mp_context=context)
    waiting: deque[tuple[Example, Future[_Outcome]]] = deque()

    def next_one() -> tuple[Example, _Outcome]:
        example, future = waiting.popleft()
        try:
            return example, future.result()
        except BrokenProcessPool:  # through this example, or through another that was decoded at the same time
            with ProcessPoolExecutor(1, mp_context=context) as alone:
                try:
                    return example, alone.submit(_decode, example, cut, wanted).result()
                except BrokenProcessPool:
                    return example, (None, "crashed the decoder")

    try:
        for example in examples:
            try:
                waiting.append((example, pool.submit(_decode, example, cut, wanted)))
            except BrokenProcessPool:
                pool = ProcessPoolExecutor(cpus, mp_context=context)
                waiting.append((example, pool.submit(_decode, example, cut, wanted)))
            if len(waiting) > 2 * cpus:
                yield next_one()
        while waiting:
            yield next_one()
    finally:
        pool.shutdown(cancel_futures=True)


def _decode(example: Example, cut: Callable[[float, float], list[Span]], wanted: ModelInput) -> _Outcome:
    try:
        return decode_spans(example, cut, wanted)
    except (VideoError, OSError) as exc:
        return None, exc.reason if isinstance(exc, VideoError) else str(exc.strerror or exc)


def _classifier(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: EvaluateOptions,
    say: Callable[[str], None],
    on_progress: Callable[[Measuring], None],
) -> metrics.ClassifierResults:
    from transformers import AutoConfig

    about, examples = choose_split(dataset, options.split)
    classifier = load_classifier(checkpoint, options.precision)
    names = AutoConfig.from_pretrained(checkpoint.folder, local_files_only=True).id2label.values()
    labels = tuple(sorted(set(names)))
    place = {label: number for number, label in enumerate(labels)}
    known, unknown = _known(examples, labels, dataset.source)
    pairs = [_pair(given, [labels], "the model's labels")[1:] for given in options.pairs]
    say(f"{len(known)} examples: {about['why']}")
    source = _Source(known, classifier.preprocessing, options, say, on_progress)
    sums, views = np.zeros((len(known), len(labels))), np.zeros((len(known), 1))
    for numbers, pixels in source.batches(classifier.device, classifier.dtype):
        for number, answer in zip(numbers, classifier.classify(pixels, len(names)), strict=True):
            views[number] += 1
            for label, probability in answer:
                sums[number, place[label]] += probability
    seen = views[:, 0] > 0
    scores = sums[seen] / views[seen]
    targets = np.array([place[str(example.label)] for example in known])[seen]
    matrix = metrics.confusion_matrix(targets, scores.argmax(axis=1), len(labels))
    met = np.flatnonzero(matrix.sum(axis=0) + matrix.sum(axis=1)).tolist()
    return metrics.ClassifierResults(
        **about,
        model=checkpoint.stamp,
        clips=len(targets),
        shuffled=options.shuffle,
        left_out=tuple(source.left_out),
        damaged=tuple(source.damaged),
        views=options.views,
        top1=metrics.top_k_accuracy(scores, targets, 1),
        top5=metrics.top_k_accuracy(scores, targets, 5),
        mean_class=metrics.mean_class_accuracy(matrix),
        classes=tuple(metrics.class_row(labels, row, matrix[row]) for row in met if matrix[row].any()),
        pairs=tuple(
            metrics.PairRow(
                *pair,
                clips=int(np.isin(targets, [place[label] for label in pair]).sum()),
                right=metrics.pair_accuracy(scores, targets, *(place[label] for label in pair)),
            )
            for pair in pairs
        ),
        labels=tuple(labels[number] for number in met),
        matrix=tuple(map(tuple, matrix[np.ix_(met, met)].tolist())),
        unknown=unknown,
    )


def _known(examples: Sequence[Example], labels: Sequence[str], source: str) -> tuple[list[Example], dict[str, int]]:
    """Examples whose label the model knows, and how many there are of each other label."""
    known = [example for example in examples if example.label in labels]
    unknown = Counter(str(example.label) for example in examples if example.label not in labels)
    if not known:
        raise UsageError(
            f"DATA {source}: got the labels {_listed(sorted(unknown))}, of which the model knows none, allowed are "
            f"{_listed(labels)}; give the data these names, or measure a model that was taught the data's"
        )
    return known, dict(sorted(unknown.items()))


def _listed(names: Sequence[str]) -> str:
    more = len(names) - _NAMED
    return ", ".join(map(repr, names[:_NAMED])) + (f" and {more} more" if more > 0 else "")


def _pair(given: str, groups: Sequence[Sequence[str]], what: str) -> tuple[int, str, str]:
    """Which group, and two names of it, out of ``A,B``; names may hold commas themselves."""
    parts = given.split(",")
    for cut in range(1, len(parts)):
        one, other = ",".join(parts[:cut]).strip(), ",".join(parts[cut:]).strip()
        for number, names in enumerate(groups):
            if one != other and one in names and other in names:
                return number, one, other
    names = [name for group in groups for name in group]
    raise UsageError(
        f"--pair: got {given!r}, allowed are two of {what} with a comma between ({_listed(names) or 'there are none'}); "
        "take two of them, or leave it out"
    )


def _embedder(
    checkpoint: Checkpoint,
    dataset: Dataset,
    options: EvaluateOptions,
    say: Callable[[str], None],
    on_progress: Callable[[Measuring], None],
) -> metrics.EmbedderResults:
    about, examples = choose_split(dataset, options.split)
    stated = {kind: values for kind, values in metrics.fact_prompts(dataset.examples).items() if len(values) > 1}
    prompts = {kind: {value: texts for value, texts in values.items() if texts} for kind, values in stated.items()}
    prompts = {kind: values for kind, values in prompts.items() if len(values) > 1}
    groups = [list(values) for values in prompts.values()]
    pairs = [_pair(given, groups, "the values of one kind of fact") for given in options.pairs]
    draws = [
        metrics.draw_captions(examples, options.captions, np.random.default_rng((options.seed, draw)))
        for draw in range(options.draws)
    ]
    if min(map(len, draws)) < 2:
        raise UsageError(
            f"DATA {dataset.source}: no two examples of split {about['split']} have captions that fit one of them alone; "
            "give more examples, or another --split"
        )
    if not prompts:  # nothing is asked about examples that were not drawn
        numbers = sorted({number for draw in draws for number, _ in draw})
        examples = tuple(examples[number] for number in numbers)
        draws = [[(numbers.index(number), caption) for number, caption in draw] for draw in draws]
    say(f"{len(examples)} examples: {about['why']}")
    model = XClipScorer(checkpoint, options.precision)
    source = _Source(examples, model.preprocessing, options, say, on_progress)
    texts = [text for values in prompts.values() for of_value in values.values() for text in of_value]
    seen, tables, asked = _score(model, source, draws, texts)
    least = min(len(table[0]) for table in tables)
    return metrics.EmbedderResults(
        **about,
        model=checkpoint.stamp,
        clips=int(seen.sum()),
        shuffled=options.shuffle,
        left_out=tuple(source.left_out),
        damaged=tuple(source.damaged),
        captions=least,
        wanted=options.captions,
        draws=options.draws,
        retrieval=tuple(
            _retrieval(name, [table[score, :least, :least] for table in tables]) for score, name in enumerate(_SCORES)
        ),
        **_zero_shot(prompts, pairs, [frozenset(examples[number].facts) for number in np.flatnonzero(seen)], asked[:, seen]),
        unspoken=tuple(
            f"{kind}={value}" for kind, values in stated.items() for value in values if value not in prompts.get(kind, {})
        ),
    )


_SCORES = ("exact", "plain")


def _score(
    model: XClipScorer, source: _Source, draws: Sequence[Sequence[tuple[int, str]]], texts: Sequence[str]
) -> tuple[NDArray[np.bool_], list[NDArray[np.float32]], NDArray[np.float32]]:
    """Compare each clip with what it is asked about, batch by batch.

    Returns:
        Which examples were seen; for each draw float32 [2, texts, clips] of those seen, exact scores and plain ones, text i
        being clip i's own; and float32 [2, examples, texts].
    """
    places = [{number: place for place, (number, _) in enumerate(draw)} for draw in draws]
    tables = [np.full((2, len(draw), len(draw)), np.nan, np.float32) for draw in draws]
    read = [model.texts([caption for _, caption in draw]) for draw in draws]
    seen = np.zeros(len(source.examples), bool)
    asked = np.full((2, len(source.examples), len(texts)), np.nan, np.float32)
    prompts = model.texts(texts) if texts else None
    for numbers, pixels in source.batches(model.device, model.dtype):
        clips = model.clips(pixels)
        seen[numbers] = True
        if prompts is not None:
            asked[:, numbers] = model.compare(clips, prompts)
        for place, table, captions in zip(places, tables, read, strict=True):
            ours = [row for row, number in enumerate(numbers) if number in place]
            if ours:
                scores = model.compare((clips[0][ours], clips[1][ours]), captions)
                table[:, :, [place[numbers[row]] for row in ours]] = scores.transpose(0, 2, 1)
    kept = [[place for place, (number, _) in enumerate(draw) if seen[number]] for draw in draws]
    return seen, [table[:, of_draw][:, :, of_draw] for table, of_draw in zip(tables, kept, strict=True)], asked


def _retrieval(name: str, tables: Sequence[NDArray[np.float32]]) -> metrics.Retrieval:
    one, five, ten = (float(np.mean([metrics.recall_at(table, k) for table in tables])) for k in (1, 5, 10))
    return metrics.Retrieval(name, one, five, ten, float(np.mean([metrics.median_rank(table) for table in tables])))


def _zero_shot(
    prompts: dict[str, dict[str, tuple[str, ...]]],
    pairs: Sequence[tuple[int, str, str]],
    facts: Sequence[frozenset[str]],
    asked: NDArray[np.float32],
) -> dict[str, Any]:
    """Each clip's facts named by the captions that speak of one alone: ``kinds`` and ``pairs`` of `EmbedderResults`.

    A value's score is the mean of its captions' scores; ``asked`` [2, clips, texts] has them in the order of ``prompts``.
    """
    kinds, rows, begin = [], [], 0
    for number, (kind, of_kind) in enumerate(prompts.items()):
        values, means = list(of_kind), []
        for texts in of_kind.values():
            means.append(asked[:, :, begin : begin + len(texts)].mean(axis=2))
            begin += len(texts)
        scores = np.stack(means, axis=2)
        true = np.array([[f"{kind}={value}" in of_clip for value in values] for of_clip in facts]).reshape(-1, len(values))
        ours = np.flatnonzero(true.any(axis=1))
        if len(ours):
            right = [float(true[ours, of_score[ours].argmax(axis=1)].mean()) for of_score in scores]
            kinds.append(metrics.KindRow(kind, len(values), len(ours), *right))
        for group, *pair in pairs:
            if group == number:
                one, other = map(values.index, pair)
                single = np.flatnonzero(true[:, one] != true[:, other])
                targets = np.where(true[single, one], one, other)
                told = [metrics.pair_accuracy(of_score[single], targets, one, other) for of_score in scores]
                rows.append(metrics.PairRow(pair[0], pair[1], len(single), *told))
    return {"kinds": tuple(kinds), "pairs": tuple(rows)}


class XClipScorer:
    """An X-CLIP that compares clips with texts by its own score, and by the dot product of separate embeddings.

    Attributes:
        preprocessing: how its pixels are made.
        device: where it computes.
        dtype: the arithmetic it computes in.
    """

    def __init__(self, checkpoint: Checkpoint, precision: Precision = "fp32") -> None:
        """Load the checkpoint.

        Raises:
            ModelError: its files do not fit together.
        """
        from transformers import AutoTokenizer, XCLIPModel

        from jobs.learn.align import Tokenize
        from pipeline.models.loading import first_line, load_pretrained

        self.preprocessing: Preprocessing = read_preprocessing(checkpoint, "--embedder")
        self._model, self.device, self.dtype = load_pretrained(XCLIPModel, checkpoint, precision, "--embedder")
        try:
            tokenizer = AutoTokenizer.from_pretrained(checkpoint.folder, local_files_only=True, trust_remote_code=False)
        except Exception as exc:
            raise ModelError(
                f"MODEL {checkpoint.name}: its tokenizer cannot be read ({first_line(exc)}); the folder needs tokenizer.json"
            ) from exc
        self._tokenize = Tokenize(tokenizer, int(self._model.config.text_config.max_position_embeddings))

    def texts(self, texts: Sequence[str]) -> torch.Tensor:
        """[texts, dim], not normalised."""
        import torch

        parts = []
        for start in range(0, len(texts), _TEXTS):
            tokens = {name: ids.to(self.device) for name, ids in self._tokenize(texts[start : start + _TEXTS]).items()}
            with torch.inference_mode():
                parts.append(self._model.get_text_features(**tokens).pooler_output)
        return torch.cat(parts)

    def clips(self, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Embeddings [clips, dim], not normalised, and what texts are conditioned on, [clips, patches, dim]."""
        import torch

        with torch.inference_mode():
            return _clip_features(self._model, pixels)

    def compare(self, clips: tuple[torch.Tensor, torch.Tensor], texts: torch.Tensor) -> NDArray[np.float32]:
        """float32 [2, clips, texts]: exact scores, and plain ones: cosines of separate embeddings, scaled alike."""
        import torch
        from torch.nn.functional import normalize

        with torch.inference_mode():
            exact = _conditioned(self._model, *clips, texts)
            plain = self._model.logit_scale.exp() * normalize(clips[0], dim=-1) @ normalize(texts, dim=-1).T
            both: NDArray[np.float32] = torch.stack([exact.float(), plain.float()]).cpu().numpy()
        return both


def exact_scores(
    model: Any, pixels: torch.Tensor, input_ids: torch.Tensor, attention_mask: torch.Tensor | None = None
) -> torch.Tensor:
    """`XCLIPModel.forward`'s ``logits_per_video``, for more texts than fit beside a batch of clips in memory.

    Each text is conditioned on each clip (Ni et al., 2022, "Expanding Language-Image Pretrained Models for General Video
    Recognition"), 256 texts at a time.

    Args:
        model: an `XCLIPModel` in evaluation mode.
        pixels: [clips, num_frames, 3, height, width].
        input_ids: int64 [texts, tokens].
        attention_mask: the same shape; None reads all tokens.

    Returns:
        [clips, texts].
    """
    import torch

    with torch.inference_mode():
        texts = model.get_text_features(input_ids, attention_mask).pooler_output
        return _conditioned(model, *_clip_features(model, pixels), texts)


def _clip_features(model: Any, pixels: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    clips, frames = pixels.shape[:2]
    seen = model.vision_model(pixel_values=pixels.flatten(0, 1))
    embedding = model.mit(model.visual_projection(seen[1]).view(clips, frames, -1))[1]
    patches = model.prompts_visual_layernorm(seen[0][:, 1:]) @ model.prompts_visual_projection
    return embedding, patches.unflatten(0, (clips, frames)).mean(dim=1)


def _conditioned(model: Any, clips: torch.Tensor, patches: torch.Tensor, texts: torch.Tensor) -> torch.Tensor:
    import torch
    from torch.nn.functional import normalize

    parts = []
    for start in range(0, len(texts), _TEXTS):
        adapted = texts[start : start + _TEXTS].expand(len(clips), -1, -1)
        adapted = adapted + model.prompts_generator(adapted, patches)
        scaled = model.logit_scale.exp() * normalize(adapted, dim=-1)
        parts.append(torch.einsum("bd,bkd->bk", normalize(clips, dim=-1), scaled))
    return torch.cat(parts, dim=1)
