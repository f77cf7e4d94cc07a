"""Results as text for people."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from jobs.progress import clock
from schemas.errors import UsageError
from schemas.records import Hit, path_text

if TYPE_CHECKING:
    from jobs.ingest import IngestReport
    from jobs.status import LibraryStatus

_MOST_FAILURES = 20
_WIDEST_COLUMN = 80


def ingest_text(report: IngestReport) -> str:
    """The closing lines of an ingest."""
    parts = [f"{getattr(report, name)} {name}" for name in ("indexed", "partial", "failed", "unchanged", "moved", "removed")]
    lines = [f"{report.found} videos found: {', '.join(parts)}"]
    if report.clips:
        speed = report.video_seconds / report.wall_seconds
        lines.append(
            f"{report.clips} clips from {clock(report.video_seconds)} of video in {clock(report.wall_seconds)} "
            f"({speed:.1f} s of video per second, bound by {report.bottleneck})"
        )
    lines += [f"  {row.status}: {path_text(row.video.file.path)}: {row.error}" for row in report.failures[:_MOST_FAILURES]]
    if len(report.failures) > _MOST_FAILURES:
        lines.append(f"  and {len(report.failures) - _MOST_FAILURES} more: vidsift status lists them all")
    return "\n".join(lines)


def hits_text(hits: Sequence[Hit]) -> str:
    """Hits, one a line."""
    if not hits:
        return "the library holds no clips"
    rows = [
        (
            str(hit.rank),
            f"{hit.score:.3f}",
            f"{clock(hit.start_s)}-{clock(hit.end_s)}",
            f"{hit.label} ({hit.label_score:.2f})" if hit.label is not None else "",
            _short(hit.path),
        )
        for hit in hits
    ]
    return _columns(("rank", "score", "time", "label", "path"), rows)


def status_text(status: LibraryStatus) -> str:
    """What a library holds, in lines."""
    lines = [
        f"library     {status.folder} (snapshot {status.snapshot}, {status.published_at})",
        f"videos      {sum(status.videos.values())}: " + ", ".join(f"{n} {name}" for name, n in status.videos.items()),
        f"video time  {status.hours:.2f} h in {status.clips} clips of {status.window_s:g} s every {status.stride_s:g} s",
        f"classifier  {status.classifier}",
        f"embedder    {status.embedder}",
    ]
    lines += [f"  {f.status} ({f.error_stage}): {f.path}: {f.error}" for f in status.failures]
    return "\n".join(lines)


def write_table(table: pa.Table, form: str, output: Path | None) -> None:
    """Print a query's result, or write it to a file.

    Args:
        table: the result.
        form: ``table``, ``csv``, ``json`` (an object per line) or ``parquet``.
        output: the file; None prints.

    Raises:
        UsageError: Parquet would go to a terminal, or the file cannot be written.
    """
    if form == "parquet" and output is None and sys.stdout.isatty():
        raise UsageError("--format parquet: got a terminal, allowed is a file; add --output FILE or redirect the output")
    try:
        data = _FORMATS[form](table)
        if output is not None:
            output.write_bytes(data)
        else:
            sys.stdout.buffer.write(data)
            sys.stdout.buffer.flush()
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
    except OSError as exc:
        raise UsageError(f"--output: {str(output)!r} cannot be written: {exc.strerror}") from exc


def _table(table: pa.Table) -> bytes:
    rows = [tuple(_cell(value) for value in row.values()) for row in table.to_pylist()]
    return f"{_columns(table.column_names, rows)}\n({table.num_rows} row{'s' * (table.num_rows != 1)})\n".encode()


def _csv(table: pa.Table) -> bytes:
    import csv
    import io

    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(table.column_names)
    writer.writerows(column for column in zip(*(column.to_pylist() for column in table.columns), strict=True))
    return text.getvalue().encode()


def _json(table: pa.Table) -> bytes:
    import json

    return "".join(f"{json.dumps(row, default=str, ensure_ascii=False)}\n" for row in table.to_pylist()).encode()


def _parquet(table: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    sink = pa.BufferOutputStream()
    pq.write_table(table, sink)
    return bytes(sink.getvalue())


_FORMATS = {"table": _table, "csv": _csv, "json": _json, "parquet": _parquet}


def _cell(value: object) -> str:
    if value is None:
        return ""
    text = f"{value:.6g}" if isinstance(value, float) else str(value).replace("\n", "\\n")
    return text if len(text) <= _WIDEST_COLUMN else text[: _WIDEST_COLUMN - 1] + "…"


def _columns(names: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    widths = [max(map(len, column)) for column in zip(names, *rows, strict=True)]
    lines = [names, ["-" * width for width in widths], *rows]
    return "\n".join("  ".join(f"{cell:<{w}}" for cell, w in zip(line, widths, strict=True)).rstrip() for line in lines)


def _short(path: str) -> str:
    """The path from here, where that is shorter."""
    try:
        relative = os.path.relpath(path)
    except ValueError:
        return path
    return min(path, relative, key=len)
