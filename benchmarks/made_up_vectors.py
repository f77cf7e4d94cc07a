"""Made-up embeddings that behave like those of real clips and texts, from a seed: what searches of any size are measured on.

Random directions would not do: nothing is near anything else then, and inverted lists and short codes look hopeless. What
embeddings of films have, and these have too, each with its share of the variance:

    a common direction   All clips lie in a cone: two clips of different films have a cosine of .55.
    a falling spectrum   The variance along the n-th principal direction falls as n to the power -.9. The directions are a
                         random rotation of the axes.
    topics               20,000, the n-th as frequent as n to the power -.7; a film takes up four, a quarter of it each.
    films                100 clips each, which lie together.
    shots                A cut before three clips in ten; the clips of a shot lie closer still.
    drift                Within a film, from one point to another along an arc.
    noise                Of each clip alone, with a spectrum that falls more slowly.

Two large coordinates of the common direction stand for the few that dominate CLIP's embeddings.

Texts lie off the clips' cloud: around a mean of their own, with half of what they vary in along directions in which clips
hardly vary. What they share with clips says the topic of one clip, part of its film and part of its shot. Their cosine with
a random clip is about .15, and with their best of a million about .3, as of a CLIP model.

A chunk of clips depends on the seed and on its number alone, so that a library can be made in parts and never held as a
whole. 100,000 clips of 512 dimensions take about two seconds on one core.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Vectors = NDArray[np.float32]

CHUNK = 100_000
"""Clips in a chunk."""

CLIPS_PER_FILM = 100

HELD_OUT = 1_000_000
"""Chunks from this number on are other films of the same world, for queries by clips that the library lacks."""

_TOPICS, _TOPICS_PER_FILM = 20_000, 4
_CUTS = 0.3
_COMMON = 0.74  # weight of the common direction; its square is the cosine of two clips that have nothing else in common
_TOPIC, _FILM, _SHOT, _DRIFT, _NOISE = 0.30, 0.30, 0.22, 0.10, 0.08  # shares of the variance around it


class _Latents(NamedTuple):
    """What the clips of a chunk show, before the rotation: topic and shot by clip, film by film."""

    topic: NDArray[np.int64]
    film: Vectors
    shot: NDArray[np.int64]
    shots: Vectors


class MadeUpVectors:
    """A world of clips and texts."""

    def __init__(self, dim: int = 512, seed: int = 0) -> None:
        """Draw the topics and the directions; a second for 512 dimensions."""
        self.dim, self.seed = dim, seed
        rng = np.random.default_rng(seed)
        self._rotation = np.linalg.qr(rng.standard_normal((dim, dim)))[0].astype(np.float32)
        self._sd, self._noise_sd = _spectrum(dim, 0.9), _spectrum(dim, 0.4)
        self._topics = rng.standard_normal((_TOPICS, dim), np.float32) * self._sd
        frequency = np.arange(1, _TOPICS + 1) ** -0.7
        self._topic_edges = np.cumsum(frequency / frequency.sum())
        common, text = rng.standard_normal((2, dim), np.float32)
        common[dim // 64] *= 12
        common[dim // 4] *= 18
        self._common = common / np.linalg.norm(common)
        text -= self._common * (text @ self._common)
        self._text_mean = text / np.linalg.norm(text)

    def clips(self, number: int) -> Vectors:
        """float32 [CHUNK, dim], unit length, films one after the other: chunk ``number``."""
        latents = self._latents(number)
        rng = np.random.default_rng((self.seed, number, 1))
        vectors = rng.standard_normal((CHUNK, self.dim), np.float32)
        vectors *= self._noise_sd * np.float32(_NOISE**0.5)
        vectors += self._topics[latents.topic] * np.float32(_TOPIC**0.5)
        vectors += latents.shots[latents.shot] * np.float32(_SHOT**0.5)
        angle = np.linspace(0, np.pi / 2, CLIPS_PER_FILM, dtype=np.float32)[:, None]
        for film, of_film in enumerate(vectors.reshape(-1, CLIPS_PER_FILM, self.dim)):
            begin, end = rng.standard_normal((2, self.dim), np.float32) * self._sd
            of_film += latents.film[film] * np.float32(_FILM**0.5)
            of_film += (np.cos(angle) * begin + np.sin(angle) * end) * np.float32(_DRIFT**0.5)
        vectors = vectors @ (self._rotation * np.float32((1 - _COMMON**2) ** 0.5))
        vectors += self._common * np.float32(_COMMON)
        return _unit(vectors)

    def library(self, clips: int) -> Iterator[Vectors]:
        """The first ``clips`` clips, a chunk at a time."""
        for number, begin in enumerate(range(0, clips, CHUNK)):
            yield self.clips(number)[: clips - begin]

    def held_out_clips(self, count: int) -> Vectors:
        """float32 [count, dim], clips of films that no library holds."""
        rng = np.random.default_rng((self.seed, 2))
        return self.clips(HELD_OUT)[rng.choice(CHUNK, count, replace=False)]

    def texts(self, count: int, chunks: int = 1, draw: int = 0) -> Vectors:
        """float32 [count, dim], texts on clips of the first ``chunks`` chunks; other ones for another ``draw``."""
        rng = np.random.default_rng((self.seed, draw, 3))
        targets = np.sort(rng.integers(0, chunks * CHUNK, count))
        meant = np.empty((count, self.dim), np.float32)
        for number in np.unique(targets // CHUNK):
            latents = self._latents(int(number))
            asked = targets // CHUNK == number
            clips = targets[asked] % CHUNK
            of_film, of_shot = rng.uniform(0.2, 0.8, (2, len(clips), 1)).astype(np.float32)
            meant[asked] = self._topics[latents.topic[clips]] * np.float32(0.9)
            meant[asked] += latents.film[clips // CLIPS_PER_FILM] * of_film
            meant[asked] += latents.shots[latents.shot[clips]] * of_shot
        words = rng.standard_normal((count, self.dim), np.float32) * np.sqrt(self._sd * self._noise_sd)
        aside = rng.standard_normal((count, self.dim), np.float32)
        aside[:, : self.dim // 2] *= 0.15  # along the directions that clips vary most in
        varying = _unit(_unit(meant) * 0.75 + _unit(words) * 0.66) * np.float32(0.36) + _unit(aside) * np.float32(0.45)
        texts = varying @ self._rotation + self._text_mean * np.float32(0.78) + self._common * np.float32(0.2)
        return _unit(texts)[rng.permutation(count)]

    def _latents(self, number: int) -> _Latents:
        """What the clips of chunk ``number`` show."""
        rng = np.random.default_rng((self.seed, number, 0))
        films = CHUNK // CLIPS_PER_FILM
        topic = np.searchsorted(self._topic_edges, rng.random(films * _TOPICS_PER_FILM)).clip(max=_TOPICS - 1)
        cut = rng.random(CHUNK) < _CUTS
        cut[::CLIPS_PER_FILM] = True
        shot = np.cumsum(cut) - 1
        return _Latents(
            np.repeat(topic, CLIPS_PER_FILM // _TOPICS_PER_FILM),
            rng.standard_normal((films, self.dim), np.float32) * self._sd,
            shot,
            rng.standard_normal((int(shot[-1]) + 1, self.dim), np.float32) * self._sd,
        )


def _spectrum(dim: int, power: float) -> Vectors:
    """float32 [dim], standard deviations whose squares fall by a power law and add up to 1."""
    variance = np.arange(1, dim + 1, dtype=np.float64) ** -power
    return np.asarray(np.sqrt(variance / variance.sum()), np.float32)


def _unit(vectors: Vectors) -> Vectors:
    """The vectors at length 1."""
    lengths: Vectors = np.linalg.norm(vectors, axis=1, keepdims=True)
    vectors /= lengths
    return vectors
