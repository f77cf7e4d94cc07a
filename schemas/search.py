"""The questions that a library can be asked, and their answers."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal, get_args

from schemas.errors import UsageError, check_utf8
from schemas.models import Label

By = Literal["moment", "clip", "video"]

Channel = Literal["pictures", "speech", "text"]
"""What a question can be looked for in: what can be seen, what is said, and what can be read on the screen."""

WHY: Mapping[Channel, str] = {"pictures": "looks like it", "speech": "says", "text": "shows"}
"""What people are told of an answer's reason, by channel; before the words, if there are any."""

FoundBy = Literal["words", "meaning"]
"""How what is said or can be read was found: it has the question's words, or says the same in others."""

DEFAULT_WITHIN_S = 30.0

RECALLS = (0.95, 0.99, 1.0)
"""The shares of the ten best clips that a search of a large library can be asked to find; 1 is exact."""

MOST = 2**31 - 1
"""The largest number of answers that can be asked for: more than any library has clips."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SearchOptions:
    """A question. An answer has to meet all of ``texts`` and ``like`` together.

    Attributes:
        texts: descriptions of what to look for.
        like: examples of it: FILE, FILE@START-END in seconds, IMAGE, or CLIP_ID.
        without: descriptions of what answers must not resemble.
        then_text: a description of what follows in the same video.
        within_s: the maximum gap in seconds between the end of the first and the start of the second; None is 30.
        where: an SQL condition that every clip of an answer has to meet; see `index.sql.filters`.
        by: the kind of answer: a moment of any length, one clip, or a whole video.
        k: the number of answers; fewer where there are fewer.
        rerank: how many of the best clips by dot product are put in order by the embedder's rerank score; 0 keeps the dot
            product's order.
        recall: of a library too large to be scanned as a whole, the share of the ten best clips that are to be found, on
            average; 1 is exact, and slower.
        show_all: answer also where nothing stands out.
        across_cuts: let moments run across cuts, in a library that knows shots.
        channels: what to look in; none is all that the library has.
        then_channels: what to look for ``then_text`` in; likewise.
        distinct: of answers that show the same footage, give the best alone.
    """

    texts: tuple[str, ...] = ()
    like: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    then_text: str | None = None
    within_s: float | None = None
    where: str | None = None
    by: By = "moment"
    k: int = 10
    rerank: int = 100
    recall: float = 0.95
    show_all: bool = False
    across_cuts: bool = False
    channels: tuple[Channel, ...] = ()
    then_channels: tuple[Channel, ...] = ()
    distinct: bool = False

    def __post_init__(self) -> None:
        """Refuse a question that cannot be answered."""
        self._check_words()
        if self.by not in get_args(By):
            raise UsageError(f"got {self.by!r}, expected {', '.join(get_args(By))}", argument="by")
        for argument, value, minimum in (("k", self.k, 1), ("rerank", self.rerank, 0)):
            if value < minimum:
                raise UsageError(f"got {value}, expected {minimum} or more", argument=argument)
            if value > MOST:
                raise UsageError(f"got {value}, expected at most {MOST}", argument=argument)
        self._check_channels()
        if self.recall not in RECALLS:
            raise UsageError(f"got {self.recall!r}, expected {', '.join(map(str, RECALLS))}", argument="recall")
        if self.within_s is None:
            return
        if self.then_text is None:
            raise UsageError(
                f"got {self.within_s:g} s without `then_text`; say what is to follow with `then_text`",
                argument="within_s",
            )
        if not (self.within_s > 0 and math.isfinite(self.within_s)):
            raise UsageError(f"got {self.within_s:g} s, expected more than 0 s", argument="within_s")

    def _check_channels(self) -> None:
        for argument in ("channels", "then_channels"):
            if unknown := [channel for channel in getattr(self, argument) if channel not in get_args(Channel)]:
                raise UsageError(f"got {unknown[0]!r}, expected {', '.join(get_args(Channel))}", argument=argument)
        if self.channels and "pictures" not in self.channels and self.like:
            raise UsageError(
                "got no pictures, where an example (`like`) can be looked for; add pictures", argument="channels"
            )
        if self.then_channels and self.then_text is None:
            raise UsageError("got channels without `then_text`; say what is to follow", argument="then_channels")

    def _check_words(self) -> None:
        given = {
            "texts": self.texts,
            "without": self.without,
            "then_text": () if self.then_text is None else (self.then_text,),
            "where": () if self.where is None else (self.where,),
            "like": self.like,
        }
        for argument, words in given.items():
            check_words(argument, words, _ADVICE[argument])
        if not self.texts and not self.like:
            raise UsageError(f"got none; {_ADVICE['texts']}, or show it with `like`", argument="texts")

    @property
    def gap_s(self) -> float:
        """``within_s``, or its default, in seconds."""
        return DEFAULT_WITHIN_S if self.within_s is None else self.within_s


def check_words(argument: str, words: Iterable[str], advice: str) -> None:
    """Refuse texts that are blank, or that no encoding can hold.

    Args:
        argument: the argument that they were given as, for errors.
        words: the texts.
        advice: what to give instead.

    Raises:
        UsageError: one of them is blank, or was not UTF-8.
    """
    for word in words:
        if argument != "like":  # names of files may be any bytes
            check_utf8(argument, word)
        if not word.strip():
            raise UsageError(f"got nothing but blanks; {advice}", argument=argument)


_ADVICE = {
    "texts": "say what to look for, such as 'people baking a cake'",
    "without": "say what not to find, such as 'a kitchen'",
    "then_text": "say what follows, such as 'somebody eats the cake'",
    "where": "give a condition, such as: duration_s > 60",
    "like": "give FILE, FILE@START-END, IMAGE or CLIP_ID",
}


@dataclass(frozen=True, slots=True)
class Part:
    """One of the two parts of an answer to a question with ``then_text``.

    Attributes:
        clip_id: the clip that shows it best.
        score: as in `Moment`, of this part alone and on its own text's scale.
        start_s: where it begins, in seconds of the video.
        end_s: where it ends.
    """

    clip_id: int
    score: float
    start_s: float
    end_s: float


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a moment is an answer.

    Attributes:
        channel: in which channel it was found.
        text: what is said or can be read; None for pictures.
        start_s: where that begins, in seconds of the video.
        end_s: where it ends.
        found_by: how it was found, by one way or by both; none for pictures.
    """

    channel: Channel
    text: str | None
    start_s: float
    end_s: float
    found_by: tuple[FoundBy, ...] = ()

    @property
    def why(self) -> str:
        """The reason in a few words: ``says``, ``shows``, ``looks like it``; ``says in other words``."""
        return f"{WHY[self.channel]} in other words" if self.found_by == ("meaning",) else WHY[self.channel]


@dataclass(frozen=True, slots=True)
class Moment:
    """One answer: an interval of a video, [start_s, end_s) in seconds.

    With ``by="clip"`` it is one clip. With ``by="video"`` it is the best moment of its video.

    Attributes:
        rank: 1 is the best.
        score: the best clip's. For one text, the cosine of the text's and the clip's embeddings, in [-1, 1]; for a clip that
            was reranked, the rerank score as a cosine. For several texts, see `index.search.combine`; for an answer of
            several channels, `index.search.channels`.
        clip_id: the best clip.
        label: the classifier's best label for the best clip; None for a clip without labels.
        label_score: that label's probability.
        confidence: in [0, 1], how far this stands out from the rest of the library; see `index.search.confidence`.
        best_start_s: where the best clip begins.
        best_end_s: where it ends.
        windows: the number of clips that the moment is made of.
        labels: the best labels of those clips, each once with its highest probability, best first.
        moments: with ``by="video"``, how many moments of the video answer as well as its best one; else 1.
        parts: with ``then_text``, the two parts that follow each other; else none.
        track: which of its video's video tracks was indexed, from 1; None for a video with one.
        reasons: why it is an answer, where more than pictures was searched; else none.
    """

    rank: int
    score: float
    path: str
    video_id: str
    clip_id: int
    start_s: float
    end_s: float
    label: str | None
    label_score: float | None
    confidence: float
    best_start_s: float
    best_end_s: float
    windows: int
    labels: tuple[Label, ...] = ()
    moments: int = 1
    parts: tuple[Part, ...] = ()
    track: int | None = None
    reasons: tuple[Reason, ...] = ()


@dataclass(frozen=True, slots=True)
class Answer:
    """The answer to a question.

    Attributes:
        moments: best first; empty where nothing stands out, unless ``show_all``.
        clips: number of clips in the library.
        passed: number of clips that meet ``where``; all of them without one.
        confidence: the best moment's; 0 where there is none.
        stands_out: whether the best moment's confidence reaches `index.search.confidence.MIN_CONFIDENCE`.
    """

    moments: tuple[Moment, ...]
    clips: int
    passed: int
    confidence: float
    stands_out: bool


def moment_json(moment: Moment) -> dict[str, Any]:
    """A moment as a JSON object: the attributes of `schemas.search.Moment`, in their order."""
    return {
        **asdict(moment),
        "labels": [label._asdict() for label in moment.labels],
        "parts": [asdict(part) for part in moment.parts],
        "reasons": [asdict(reason) for reason in moment.reasons],
    }
