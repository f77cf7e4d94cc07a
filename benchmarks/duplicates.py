"""How much altered footage is found, how much of what is found is right, and how long it takes.

    python -m benchmarks.duplicates --films 6

Films of the demo's world, a copy of each for each kind of change, as many other films of the same world, three black films
and three with colour bars, indexed by the pocket models.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

from benchmarks.duplicate_films import KINDS, Copy, Piece, make_films
from index.search.duplicates import find_candidates
from index.snapshot.snapshot import Snapshot
from index.storage.paths import Library
from jobs.duplicates.duplicates import find_duplicates
from jobs.duplicates.report import DuplicateReport
from jobs.ingest.ingest import ingest
from schemas.duplicates import SharedSpan

# How far a second may be from where it is in the film.
_WITHIN_S = 0.5
_LEAST_S = 2.0

Pieces = Mapping[str, Sequence[Piece]]


def main() -> None:
    """Print the tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--films", type=int, default=6, help="films that are copied; as many are not")
    parser.add_argument("--seed", type=int, default=7)
    options = parser.parse_args()
    with TemporaryDirectory() as scratch:
        folder, library = Path(scratch) / "videos", Path(scratch) / "library"
        folder.mkdir()
        originals, copies, others = make_films(folder, options.films, options.seed)
        ingest([folder], library, classifier="pocket", embedder="pocket")
        snapshot = Snapshot(Library(library))
        began = time.process_time()
        candidates, timeline = find_candidates(snapshot.clips())
        took_s = time.process_time() - began
        snapshot.catalog.close()
        began = time.process_time()
        report = find_duplicates(library)
        print(f"{len(report.videos)} videos, {len(timeline)} clips: {len(candidates)} candidates in {took_s:.1f} CPU s")
        print(f"{report.candidates} compared in {time.process_time() - began:.0f} CPU s, {report.wall_seconds:.0f} s")
    whole = {str(path): (Piece(path, 0.0, 1e9, 0.0),) for path in (*originals, *others)}
    _print_found(report, copies, whole | {str(copy.path): copy.pieces for copy in copies})


def _print_found(report: DuplicateReport, copies: Sequence[Copy], pieces: Pieces) -> None:
    counts: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0.0, 0.0])
    found = {
        frozenset((report.videos[one.video_id].path, report.videos[one.other_video_id].path)): one
        for one in report.duplicates
    }
    for copy in copies:
        piece, original = copy.pieces[0], str(copy.pieces[0].film)
        one, count = found.get(frozenset((str(copy.path), original))), counts[copy.kind]
        count[0] += 1
        count[2] += piece.end_s - piece.start_s
        if one is not None:
            flipped = report.videos[one.video_id].path == original
            spans = [_swapped(shared) if flipped else shared for shared in one.shared]
            right_s = sum(right for right, _ in (_right(span, str(copy.path), original, pieces) for span in spans))
            count[1] += right_s > 0
            count[3] += right_s
    print(f"\n{'kind of change':22} films  found  of the seconds")
    for kind in KINDS:
        films, right, seconds, of_them = counts[kind]
        print(f"{kind:22} {films:5.0f}  {right:5.0f}  {min(of_them / seconds, 1):.1%}")
    right_s = all_s = 0.0
    wrong = []
    for one in report.duplicates:
        paths = report.videos[one.video_id].path, report.videos[one.other_video_id].path
        of_pair = [_right(shared, *paths, pieces) for shared in one.shared]
        right_s, all_s = right_s + sum(right for right, _ in of_pair), all_s + sum(length for _, length in of_pair)
        if not any(right > 0 for right, _ in of_pair):
            wrong.append(f"{Path(paths[0]).name} and {Path(paths[1]).name}")
    print(f"\npairs found: {len(found)}, of them right: {len(found) - len(wrong)}; {right_s / all_s:.1%} of their seconds")
    expected = set(_true_pairs(pieces))
    print(f"pairs that share {_LEAST_S:g} s: {len(expected)}, of them found: {len(expected & set(found))}")
    for text in wrong:
        print(f"  wrong: {text}")


def _true_pairs(pieces: Pieces) -> Iterator[frozenset[str]]:
    """The pairs of videos that share some seconds of a film."""
    paths = sorted(pieces)
    for number, path in enumerate(paths):
        for other in paths[:number]:
            shared_s = 0.0
            for one in pieces[path]:
                for two in (two for two in pieces[other] if two.film == one.film):
                    start_s = max(one.film_s, two.film_s)
                    end_s = min(of.film_s + of.speed * (of.end_s - of.start_s) for of in (one, two))
                    shared_s = max(shared_s, end_s - start_s)
            if shared_s >= _LEAST_S:
                yield frozenset((path, other))


def _right(shared: SharedSpan, path: str, other: str, pieces: Pieces) -> tuple[float, float]:
    """The seconds of a span that are where they should be, and all of them."""
    start_s, end_s = shared.span
    count = max(1, round((end_s - start_s) * 10))
    right = 0
    for number in range(count):
        time_s = start_s + (number + 0.5) * (end_s - start_s) / count
        other_s = shared.other.start_s + shared.speed * (time_s - start_s)
        here, there = list(_in_films(time_s, pieces[path])), list(_in_films(other_s, pieces[other]))
        right += any(one[0] == two[0] and abs(one[1] - two[1]) <= _WITHIN_S for one in here for two in there)
    return right / count * (end_s - start_s), end_s - start_s


def _in_films(time_s: float, pieces: Sequence[Piece]) -> Iterator[tuple[Path, float]]:
    """Where a second of a video is in films; near a joint in either."""
    for piece in pieces:
        if piece.start_s - _WITHIN_S <= time_s <= piece.end_s + _WITHIN_S:
            yield piece.film, piece.film_s + piece.speed * (time_s - piece.start_s)


def _swapped(shared: SharedSpan) -> SharedSpan:
    return shared._replace(span=shared.other, other=shared.span, speed=1 / shared.speed)


if __name__ == "__main__":
    main()
