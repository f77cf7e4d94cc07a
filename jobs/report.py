"""Results as text for people."""

from __future__ import annotations

import csv
import io
import math
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq

from jobs.progress import clock
from jobs.terminal import json_text, lines_text, printable
from schemas.errors import UsageError
from schemas.records import path_text

if TYPE_CHECKING:
    from jobs.bill import Bill
    from jobs.ingest import IngestReport
    from jobs.learn.session import TrainReport
    from jobs.status import LibraryStatus
    from jobs.tag import TagReport
    from jobs.teach import TeachReport
    from jobs.upkeep import Entry

_MOST_FAILURES = 20
_MOST_ENDINGS = 8
_MOST_TRACKS = 20
_WIDEST_COLUMN = 80
_ROWS_AT_A_TIME = 10_000


def ingest_text(report: IngestReport) -> str:
    """The closing lines of an ingest."""
    parts = [f"{getattr(report, name)} {name}" for name in ("indexed", "partial", "failed", "unchanged", "moved", "removed")]
    lines = [f"{report.found} videos found: {', '.join(parts)}"]
    if report.passed_over:
        lines.append(_passed_over_line(report.passed_over))
    lines += [f"left out: {path_text(folder)} ({what})" for folder, what in report.left_out.items()]
    if report.clips:
        speed = report.video_seconds / report.wall_seconds
        lines.append(
            f"{report.clips} clips from {clock(report.video_seconds)} of video in {clock(report.wall_seconds)} "
            f"({speed:.1f} s of video per second)"
        )
    if report.bill and report.clips:
        lines += _bill_lines(report.bill)
    if report.several_tracks:
        have = "has" if report.several_tracks == 1 else "have"
        lines.append(
            f"{report.several_tracks} of them {have} several video tracks, of which one was taken: "
            "vidsift status says which, --track N takes another"
        )
    lines += [f"  {row.status}: {path_text(row.video.file.path)}: {row.error}" for row in report.failures[:_MOST_FAILURES]]
    if len(report.failures) > _MOST_FAILURES:
        lines.append(f"  and {len(report.failures) - _MOST_FAILURES} more: vidsift status lists them all")
    return lines_text(lines)


def _passed_over_line(endings: dict[str, int]) -> str:
    """How many files were passed over, the commonest endings first."""
    total = sum(endings.values())
    told = [f"{count} {ending or 'without an ending'}" for ending, count in list(endings.items())[:_MOST_ENDINGS]]
    if len(endings) > _MOST_ENDINGS:
        told.append(f"{total - sum(list(endings.values())[:_MOST_ENDINGS])} of {len(endings) - _MOST_ENDINGS} other endings")
    return f"{total} file{'s' * (total != 1)} passed over: {', '.join(told)}"


def _bill_lines(bill: Bill) -> list[str]:
    """What a run cost, stage by stage."""
    rows = [
        (
            one.stage,
            f"{one.seconds:.1f}",
            f"{one.share:.0%}",
            f"{one.per_s:.1f} {one.unit}/s" if one.unit else "",
            f"{one.waiting_s:.1f}",
        )
        for one in bill.stages
    ]
    idle = "" if bill.idle_share is None else f", cores idle for {bill.idle_share:.0%} of it"
    return [
        *column_lines(("stage", "seconds", "of CPU", "throughput", "waiting s"), rows),
        str(bill.shape),
        f"decoding began after {bill.first_frame_s:.1f} s, {bill.hours_per_hour:.1f} h of video per hour{idle}",
        f"bound by {bill.bound_by}: {bill.advice}",
    ]


def status_text(status: LibraryStatus) -> str:
    """What a library holds, in lines."""
    lines = [
        f"library     {status.folder} (snapshot {status.snapshot}, {status.published_at})",
        f"videos      {sum(status.videos.values())}: " + ", ".join(f"{n} {name}" for name, n in status.videos.items()),
        f"video time  {status.hours:.2f} h in {status.clips} clips of {status.window_s:g} s every {status.stride_s:g} s",
        f"classifier  {status.classifier}",
        f"embedder    {status.embedder}",
    ]
    if status.tags:
        told = (f"{t.tag} ({t.likely} clip{'s' * (t.likely != 1)}{'' if t.prompt else ', taught'})" for t in status.tags)
        lines.append(f"tags        {len(status.tags)}: {', '.join(told)}")
    lines += [f"  track {one.track} of {one.tracks}: {one.path}" for one in status.several_tracks[:_MOST_TRACKS]]
    if len(status.several_tracks) > _MOST_TRACKS:
        lines.append(f"  and {len(status.several_tracks) - _MOST_TRACKS} more with several video tracks")
    lines += [f"  {f.status} ({f.error_stage}): {f.path}: {f.error}" for f in status.failures]
    return lines_text(lines)


def tags_text(found: Sequence[TagReport]) -> str:
    """What tags find, one a line."""
    rows = [
        (
            one.tag,
            f"{one.likely} of {one.clips}",
            f"{one.best_score:.3f}",
            f"{clock(one.start_s)}-{clock(one.end_s)}",
            short_path(one.path),
        )
        for one in found
    ]
    return columns_text(("tag", "likely clips", "best", "time", "path"), rows)


def teach_text(report: TeachReport) -> str:
    """What tags were taught with, how well they were learnt, and what they find."""
    names = ("tag", "moments", "clips", "others", "presumed", "accuracy")
    rows = [(one.tag, *(str(getattr(one, name)) for name in names[1:-1]), f"{one.accuracy:.3f}") for one in report.taught]
    lines = [
        *column_lines(names, rows),
        f"accuracy: cross-validated in {report.folds} parts, whole moments apart; 0.5 is chance",
    ]
    if report.top_accuracy is not None:
        lines.append(f"the best of the {len(rows)} tags is right for {report.top_accuracy:.1%} of the marked clips")
    return "\n".join([lines_text(lines), "", tags_text([one.found for one in report.taught])])


def history_text(entries: Sequence[Entry]) -> str:
    """The history, a snapshot a line, the latest first."""
    rows = [
        (
            f"{entry.number}{' *' if entry.current else ''}",
            entry.info.published_at,
            str(entry.info.rows.get("videos", "")),
            str(entry.info.rows.get("clips", "")),
            ", ".join(f"{count} {name.replace('_', ' ')}" for name, count in entry.info.changes.items()),
        )
        for entry in entries
    ]
    return columns_text(("snapshot", "published", "videos", "clips", "what changed"), rows)


def write_table(table: pa.Table, form: str, output: Path | None) -> None:
    """Print a query's result, or write it to a file.

    Args:
        table: the result; columns of the same name get a number behind it.
        form: ``table``, ``csv``, ``json`` (an object per line) or ``parquet``. CSV has its texts as they are, but for what
            a terminal would obey where it goes to one.
        output: the file; None prints.

    Raises:
        UsageError: Parquet would go to a terminal, or has no place for a column's type, or the file cannot be written.
    """
    on_terminal = output is None and sys.stdout.isatty()
    if form == "parquet" and on_terminal:
        raise UsageError("--format parquet: got a terminal, allowed is a file; add --output FILE or redirect the output")
    table = table.rename_columns(_unique(table.column_names))
    parts = _csv(table, spell=printable) if form == "csv" and on_terminal else _FORMATS[form](table)
    if output is None:
        for part in parts:
            sys.stdout.buffer.write(part)
        sys.stdout.buffer.flush()
        return
    try:
        with output.open("wb") as stream:
            stream.writelines(parts)
    except OSError as exc:
        raise UsageError(f"--output: {str(output)!r} cannot be written: {exc.strerror}") from exc


def table_text(table: pa.Table) -> str:
    """A query's result as lines for people."""
    return b"".join(_table(table)).decode().rstrip("\n")


def _unique(names: Sequence[str]) -> list[str]:
    """a, a, b becomes a, a_1, b."""
    unique: list[str] = []
    for name in names:
        number = sum(1 for other in unique if other == name or other.rpartition("_")[0] == name)
        unique.append(f"{name}_{number}" if name in unique else name)
    return unique


def _values(column: pa.ChunkedArray) -> list[object]:
    """A column as Python values; as text where Python has no such value, like dates after the year 9999."""
    if pa.types.is_interval(column.type):
        return [None if value is None else _interval(value) for value in column.to_pylist()]
    try:
        values: list[object] = column.to_pylist()
    except (OverflowError, ValueError):
        values = column.cast(pa.string()).to_pylist()
    return values


def _interval(value: tuple[int, int, int]) -> str:
    months, days, nanoseconds = value
    return f"{months} months {days} days {nanoseconds / 1e9:g} s"


def _parts(table: pa.Table) -> Iterator[list[tuple[object, ...]]]:
    """Rows as Python values, which take many times the memory that Arrow's do: some at a time."""
    for start in range(0, table.num_rows, _ROWS_AT_A_TIME):
        yield list(zip(*map(_values, table.slice(start, _ROWS_AT_A_TIME).columns), strict=True))


def _table(table: pa.Table) -> Iterator[bytes]:
    names = tuple(map(printable, table.column_names))
    widths = list(map(len, names))
    for rows in _parts(table):
        columns = zip(*(map(_cell, row) for row in rows), strict=True)
        widths = [max(width, *map(len, column)) for width, column in zip(widths, columns, strict=True)]
    yield f"{_line(names, widths)}\n{_line(['-' * width for width in widths], widths)}\n".encode()
    for rows in _parts(table):
        yield "".join(f"{_line(list(map(_cell, row)), widths)}\n" for row in rows).encode()
    yield f"({table.num_rows} row{'s' * (table.num_rows != 1)})\n".encode()


def _csv(table: pa.Table, spell: Callable[[str], str] = str) -> Iterator[bytes]:
    yield _csv_text([tuple(map(spell, table.column_names))])
    for rows in _parts(table):
        yield _csv_text([[value if value is None else spell(str(_plain(value))) for value in row] for row in rows])


def _csv_text(rows: Sequence[Sequence[str | None]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def _json(table: pa.Table) -> Iterator[bytes]:
    for rows in _parts(table):
        objects = (dict(zip(table.column_names, map(_jsonable, row), strict=True)) for row in rows)
        yield "".join(f"{json_text(found, ensure_ascii=False)}\n" for found in objects).encode()


def _parquet(table: pa.Table) -> list[bytes]:
    sink = pa.BufferOutputStream()
    try:
        pq.write_table(table, sink)
    except pa.ArrowNotImplementedError as exc:
        raise UsageError(f"--format parquet: {exc}; cast that column to varchar, or take another format") from exc
    return [sink.getvalue().to_pybytes()]


_FORMATS: dict[str, Callable[[pa.Table], Iterable[bytes]]] = {
    "table": _table,
    "csv": _csv,
    "json": _json,
    "parquet": _parquet,
}


def _plain(value: object) -> object:
    """Bytes as hexadecimal; everything else as it is."""
    return value.hex() if isinstance(value, bytes) else value


def _jsonable(value: object) -> object:
    """What JSON can hold: no number for infinity and the like, text for times and other types."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {str(key): _jsonable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_jsonable(item) for item in value]
    value = _plain(value)
    return value if value is None or isinstance(value, bool | int | str) else str(value)


def _cell(value: object) -> str:
    value = _plain(value)
    if value is None:
        return ""
    text = printable(f"{value:.6g}" if isinstance(value, float) else str(value))
    return text if len(text) <= _WIDEST_COLUMN else text[: _WIDEST_COLUMN - 1] + "…"


def columns_text(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Rows below their names, as wide as they need to be."""
    return "\n".join(column_lines(names, rows))


def column_lines(names: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The same as a list, each row a line whatever is in its cells."""
    cells = [[printable(cell) for cell in line] for line in (names, *rows)]
    widths = [max(map(len, column)) for column in zip(*cells, strict=True)]
    cells.insert(1, ["-" * width for width in widths])
    return [_line(line, widths) for line in cells]


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    return "  ".join(f"{cell:<{width}}" for cell, width in zip(cells, widths, strict=True)).rstrip()


def short_path(path: str) -> str:
    """The path from here, where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return path
    return min(path, relative, key=len)


def training_json(report: TrainReport) -> dict[str, Any]:
    """A training's outcome for programs."""
    return {
        "command": report.command,
        "output": str(report.output),
        "clips": dict(report.clips),
        "left_out": [{"path": one.path, "reason": one.reason} for one in report.left_out],
        "best": report.trained.best,
        "test": report.trained.test,
        "curve": list(report.trained.curve),
        "seconds": round(report.trained.seconds, 1),
    }


def training_text(report: TrainReport) -> str:
    """A training's outcome for people."""
    trained = report.trained
    lines = [f"{split:<6} {count:>7} clips" for split, count in report.clips.items()]
    for name, measures in (("validation", trained.best), ("test", trained.test)):
        if measures:
            told = ", ".join(f"{key.replace('_', ' ')} {value:.3f}" for key, value in measures.items() if key != "epoch")
            lines.append(f"{name}: {told}" + (f" (epoch {measures['epoch']:g}, the best)" if "epoch" in measures else ""))
    if report.left_out:
        lines.append(f"left out or damaged: {len(report.left_out)}, named above and in the model card's count")
    lines.append(f"{report.output}: trained in {trained.seconds / 60:.1f} minutes, {trained.dtype}")
    return lines_text(lines)
