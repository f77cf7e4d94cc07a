"""The commands that query tables: ``sql`` and ``schema``."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import click

from commands.common import Command, NumberRange, echo, embedder_option, json_option, library_option, note
from schemas.errors import UsageError
from schemas.search import MOST
from schemas.text import json_text


@click.command(cls=Command)
@click.argument("query", required=False)
@library_option
@click.option(
    "--search",
    "texts",
    multiple=True,
    metavar="TEXT",
    help="Search for TEXT first; QUERY sees the clips found as the table hits; may be repeated.",
)
@click.option(
    "--search-k", type=click.IntRange(1, MOST), default=1000, show_default=True, help="Maximum number of clips in hits."
)
@click.option(
    "--search-not", "without", multiple=True, metavar="TEXT", help="Text that hits must not match; may be repeated."
)
@click.option(
    "--search-rerank",
    type=click.IntRange(0, MOST),
    default=100,
    show_default=True,
    help="Rerank this many of the best hits; 0 turns reranking off.",
)
@embedder_option
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "csv", "json", "parquet"]),
    default="table",
    show_default=True,
    help="Format of the result.",
)
@click.option(
    "--output", type=click.Path(path_type=Path, dir_okay=False), help="Write the result to this file. [default: print it]"
)
@click.option(
    "--timeout",
    "timeout_s",
    type=NumberRange(min=0.001),
    default=300.0,
    show_default=True,
    help="Stop the query after this many seconds.",
)
@click.option(
    "--memory",
    "memory_mb",
    type=click.IntRange(16, 1 << 30),
    default=4096,
    show_default=True,
    help="Stop the query if it needs more memory, in megabytes.",
)
def sql(
    query: str | None,
    folder: Path,
    texts: tuple[str, ...],
    without: tuple[str, ...],
    embedder: str | None,
    form: str,
    output: Path | None,
    timeout_s: float,
    memory_mb: int,
    **given: Any,
) -> None:
    """Query videos, clips, labels and tags with SQL.

    The SQL is DuckDB's, and it can only read. Without QUERY, statements are read from standard input; at a terminal, a
    prompt asks for them, with history and completion.

    \b
    vidsift sql "select label, count(*) from labels where rank = 1 group by 1" --library ~/videos.vidsift
    vidsift sql "select path, error from videos where status = 'failed'" --library ~/videos.vidsift --format csv
    vidsift sql "from clips" --library ~/videos.vidsift --format parquet --output clips.parquet
    vidsift sql --search "people baking a cake" "select path, start_s, h.score, l.label from hits h
      join labels l using (clip_id, path, start_s) where l.rank = 1" --library ~/videos.vidsift
    vidsift sql --library ~/videos.vidsift < report.sql
    """
    from commands.sql_shell import Prompt, read_line, statements_of
    from index.search.hits import hits_options, open_catalog
    from index.sql.formats import write_table

    interactive = query is None and sys.stdin.isatty()
    if interactive and output is not None:
        raise UsageError("--output: got no QUERY whose result to write; give one, or redirect the statements in")
    statements = [] if interactive else [query] if query is not None else statements_of(sys.stdin.buffer.read())
    if len(statements) > 1 and (output is not None or form == "parquet"):
        option = "--output" if output is not None else "--format parquet"
        raise UsageError(f"{option}: got {len(statements)} statements, expected one, since a file holds one result")
    search = hits_options(texts, without, k=given["search_k"], rerank=given["search_rerank"]) if texts else None
    if search is None and without:
        raise UsageError("--search-not: got no --search that it narrows; add --search TEXT")
    catalog = open_catalog(folder, search, embedder=embedder, memory_mb=memory_mb, say=note)
    if interactive:
        Prompt(
            catalog,
            with_hits=search is not None,
            timeout_s=timeout_s,
            ask=read_line,
            show=lambda table: write_table(table, form, None),
            say=echo,
        ).run()
    for number, statement in enumerate(statements, start=1):
        name = "QUERY" if len(statements) == 1 else f"statement {number}"
        write_table(catalog.sql(statement, timeout_s=timeout_s, argument=name), form, output)


@click.command(cls=Command)
@click.option(
    "--library",
    "folder",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Show the number of rows in this library's tables too.",
)
@json_option("Print one JSON object per table.")
def schema(folder: Path | None, as_json: bool) -> None:
    """List the SQL tables and what their columns mean.

    \b
    vidsift schema
    vidsift schema --library ~/videos.vidsift --json
    """
    from commands.schema_output import row_counts, schema_json, schema_text

    counts = row_counts(folder) if folder is not None else None
    if not as_json:
        echo(schema_text(counts=counts))
        return
    for table in schema_json(counts):
        echo(json_text(table))
