"""A search's answer as text for people and as JSON for programs."""

from __future__ import annotations

from collections.abc import Sequence
from textwrap import shorten

from schemas.search import Answer, By, Moment
from schemas.text import clock, columns_text, short_path

NOTHING = "nothing here looks like that"

_MAX_LABELS = 3
_MAX_TEXT = 60


def answer_text(answer: Answer, by: By, *, is_sequence: bool = False) -> str:
    """An answer as a table, or a sentence that says why it is empty.

    Args:
        answer: to a question.
        by: what the question asks for: a row per moment, clip or video.
        is_sequence: whether the question asks for what is followed by something.
    """
    if not answer.moments:
        return _nothing(answer, is_sequence=is_sequence)
    text = moments_table(answer.moments, with_moments=by == "video")
    return text if answer.stands_out else f"{NOTHING}; the best there is:\n{text}"


def moments_table(moments: Sequence[Moment], *, with_moments: bool = False) -> str:
    """Moments as a table with a row each; ``with_moments`` has a column of `Moment.moments`."""
    names, rows = ["rank", "score", "confidence", "time", "labels", "windows", "path"], []
    for moment in moments:
        rows.append(
            [
                str(moment.rank),
                f"{moment.score:.3f}",
                f"{moment.confidence:.2f}",
                _times(moment),
                _labels(moment),
                str(moment.windows),
                short_path(moment.path),
            ]
        )
    if any(moment.reasons for moment in moments):
        names.insert(-1, "why")
        for row, moment in zip(rows, moments, strict=True):
            row.insert(-1, why(moment))
    if with_moments:
        names.insert(-1, "moments")
        for row, moment in zip(rows, moments, strict=True):
            row.insert(-1, str(moment.moments))
    return columns_text(names, rows)


def _nothing(answer: Answer, *, is_sequence: bool) -> str:
    """Why an answer has no moments."""
    if not answer.clips:
        return "the library holds no clips"
    if not answer.passed:
        return f"no clip meets --where, of {answer.clips}"
    if answer.confidence:
        return f"{NOTHING} (the best has a confidence of {answer.confidence:.2f}; --all shows it)"
    if is_sequence:
        return "nothing is followed by that in time; a longer --within may help"
    return f"{NOTHING}, says it or shows it"


def why(moment: Moment) -> str:
    """``says "the budget is gone", looks like it``: why a moment is an answer."""
    return ", ".join(
        reason.why + (f' "{shorten(reason.text, _MAX_TEXT, placeholder="…")}"' if reason.text is not None else "")
        for reason in moment.reasons
    )


def _times(moment: Moment) -> str:
    """``0:04-0:08``; for a search with ``--then`` both events: ``0:04-0:08, 0:12-0:16``."""
    return ", ".join(f"{clock(part.start_s)}-{clock(part.end_s)}" for part in moment.parts or (moment,))


def _labels(moment: Moment) -> str:
    """``jumping (0.75), waving (0.12)``, the best first."""
    texts = [f"{label.label} ({label.score:.2f})" for label in moment.labels[:_MAX_LABELS]]
    more = len(moment.labels) - _MAX_LABELS
    return ", ".join(texts) + (f" and {more} more" if more > 0 else "")
