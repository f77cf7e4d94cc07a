"""The demo: renders films, ingests them with the pocket models, asks questions, and compares the answers with the truth."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from demo.render import render_all
from demo.truth import write_captions, write_truth
from demo.world import Film, Scene, plan
from index.search.searcher import search
from index.snapshot.snapshot import Snapshot
from index.sql.formats import table_text
from index.storage.paths import Library
from jobs.count_progress import CountProgress
from jobs.evaluate.moment_metrics import temporal_iou
from jobs.images import film_strip, save_png
from jobs.ingest.ingest import ingest
from jobs.ingest.progress import Progress
from jobs.ingest.report import ingest_text
from pipeline.frames import decode_seen, probe_file
from schemas.errors import UsageError
from schemas.models import Geometry, ModelInput
from schemas.options import IngestOptions
from schemas.records import Span
from schemas.search import Moment, SearchOptions

# An action of the world takes 2.0 to 2.8 s. Of clips as long as that, three begin in each action.
WINDOW_S, STRIDE_S = 2.4, 0.8

_HITS_PER_QUERY = 3
_STRIP_FRAMES = 6

_AT = {
    "kitchen": "in the kitchen",
    "beach": "at the beach",
    "forest": "in the forest",
    "street": "on the street",
    "gym": "in the gym",
}

SQL = (
    "select label, count(*) as clips, count(distinct video_id) as videos, round(avg(score), 2) as mean_score "
    "from labels where rank = 1 and score > 0.5 group by label order by clips desc, label"
)


@dataclass(frozen=True, slots=True)
class Question:
    """A text query, and the facts that make an answer right.

    Attributes:
        why: what the query is an example of.
        text: the query.
        facts: the facts that the scene must have.
    """

    why: str
    text: str
    facts: dict[str, str]


@dataclass(frozen=True, slots=True)
class Answer:
    """A search result, and what its film shows at that time.

    Attributes:
        hit: the moment that was found.
        scene: the scene that it overlaps most; None where the figure rests.
        iou: intersection over union of the two, in time.
        right: whether the scene has the question's facts.
    """

    hit: Moment
    scene: Scene | None
    iou: float
    right: bool


def run_demo(
    folder: Path,
    *,
    count: int = 48,
    films: int = 8,
    seed: int = 7,
    say: Callable[[str], None] = print,
    on_progress: Callable[[Progress | CountProgress], None] | None = None,
) -> Path:
    """Run the demo in a new folder, from films to answers.

    Args:
        folder: gets videos/, library/ and moments.png.
        count: short films of one action.
        films: long films of several.
        seed: of the films.
        say: called with each line to print.
        on_progress: called with how far the ingest is.

    Returns:
        The film strip of the best moments.

    Raises:
        UsageError: the folder is not empty, or there would be too few films to ask about.
    """
    if films < 1 or count < 0:
        raise UsageError(f"--count {count} --films {films}: expected --count 0 or more and --films 1 or more")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UsageError(f"OUT {str(folder)!r}: is not empty, and nothing is overwritten; give another folder")
    videos, library = folder / "videos", folder / "library"
    planned = plan(count, seed, films)
    videos.mkdir(parents=True)
    for _ in render_all(planned, videos):
        pass
    write_truth(planned, videos)
    write_captions(planned, videos)
    say(f"rendered {len(planned)} films of {sum(film.duration_s for film in planned):.0f} s in all: {videos}")
    report = ingest(
        [videos],
        library,
        classifier="pocket",
        embedder="pocket",
        window_s=WINDOW_S,
        stride_s=STRIDE_S,
        options=IngestOptions(batch_size=32),
        on_progress=on_progress,
    )
    say(ingest_text(report))
    strips = [row for question in questions(planned) for row in _ask(question, planned, videos, library, say)]
    _ask_sql(library, say)
    return _draw(strips, folder / "moments.png", say)


def questions(films: Sequence[Film]) -> list[Question]:
    """Three queries that these films can answer: a moment of a long film, a motion, and a colour in a place."""
    scene = next(film for film in films if not film.is_clip).scenes[1]
    moment = f"someone in a {scene.shirt} shirt {scene.action}"
    looks = Counter((film.scenes[0].shirt, film.scenes[0].background) for film in films if film.is_clip)
    shirt, background = looks.most_common(1)[0][0] if looks else (scene.shirt, scene.background)
    return [
        Question("a moment inside a long film", moment, {"action": scene.action, "shirt": scene.shirt}),
        Question("what only motion tells", "someone walking to the left", {"action": "walking to the left"}),
        Question(
            "colour and place",
            f"a person wearing {shirt} {_AT[background]}",
            {"shirt": shirt, "background": background},
        ),
    ]


def judge(hits: Iterable[Moment], films: Sequence[Film], videos: Path, facts: dict[str, str]) -> list[Answer]:
    """Compare moments that were found with what their films show.

    Args:
        hits: the moments.
        films: all films.
        videos: the folder that they are in.
        facts: what makes an answer right.
    """
    by_path = {str((videos / film.path).resolve()): film for film in films}
    answers = []
    for hit in hits:
        span = Span(hit.start_s, hit.end_s)
        scene, best = None, 0.0
        for candidate in by_path[hit.path].scenes:
            iou = temporal_iou(span, Span(candidate.start_s, candidate.end_s))
            if iou > best:
                scene, best = candidate, iou
        right = scene is not None and facts.items() <= scene.facts.items()
        answers.append(Answer(hit, scene, best, right))
    return answers


def _ask(
    question: Question, films: Sequence[Film], videos: Path, library: Path, say: Callable[[str], None]
) -> list[tuple[str, Answer]]:
    """Ask, print the answers, and return the best one with the text for its film strip."""
    say(f'\n{question.why}: vidsift search "{question.text}"')
    options = SearchOptions(texts=(question.text,), k=_HITS_PER_QUERY, show_all=True)
    answers = judge(search(library, options).moments, films, videos, question.facts)
    for answer in answers:
        hit, scene = answer.hit, answer.scene
        truth = f"{scene.action}, {scene.shirt} shirt, {scene.background}" if scene else "nobody does anything"
        path = Path(hit.path).relative_to(videos.resolve())
        say(
            f"  {hit.rank}  {hit.score:.3f}  {hit.start_s:5.1f}-{hit.end_s:.1f} s  {path}"
            f"\n     {'right' if answer.right else 'wrong'}: the film shows {truth}"
            + (f" at {scene.start_s:.1f}-{scene.end_s:.1f} s" if scene else "")
        )
    return [
        (f"{question.text}  ({answer.hit.score:.2f}, {'right' if answer.right else 'wrong'})", answer)
        for answer in answers[:1]
    ]


def _ask_sql(library: Path, say: Callable[[str], None]) -> None:
    """Print how often each label was given."""
    say(f'\nlabels: vidsift sql "{SQL}"')
    say(table_text(Snapshot(Library(library)).catalog.sql(SQL)))


def _draw(strips: Sequence[tuple[str, Answer]], path: Path, say: Callable[[str], None]) -> Path:
    """Draw the best moments as a film strip."""
    rows = []
    for text, answer in strips:
        meta = probe_file(answer.hit.path)
        whole = ModelInput(_STRIP_FRAMES, Geometry(resize=None, crop=None))
        seen = decode_seen(answer.hit.path, meta, [Span(answer.hit.start_s, answer.hit.end_s)], whole)
        rows.append((text, list(seen.frames[0])))
    save_png(film_strip(rows), path)
    say(f"\nthe best moments as a film strip: {path}")
    return path
