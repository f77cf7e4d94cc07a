"""vidsift's commands: parse, one library call, print. Nothing heavy is imported before a command needs it."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

import click

from commands.flags import flag_text
from commands.progress_line import Command, NumberRange, ProgressLine, complain, echo
from commands.train import COMMANDS
from jobs.child_processes import keep_to_what_is_installed
from schemas.errors import UsageError, VidsiftError
from schemas.options import DEFAULT_CLASSIFIER, DEFAULT_EMBEDDER, MAX_FRAMES, MAX_PIXELS, IngestOptions
from schemas.search import MOST
from schemas.text import json_text, printable, shortened

_LIBRARY = click.option(
    "--library", "folder", type=click.Path(path_type=Path), required=True, metavar="DIR", help="The library's folder."
)


@contextmanager
def _printable_usage() -> Iterator[None]:
    """Lets click's own errors name what they were given without what a terminal would obey in it."""
    try:
        yield
    except click.ClickException as exc:
        object.__setattr__(exc, "message", shortened(printable(exc.message)))  # which click itself only ever reads
        raise


def _is_of_system(argument: str) -> bool:
    """Whether a system can hand over ``argument``: any bytes can be had, as Python spells them."""
    try:
        os.fsencode(argument)
    except UnicodeEncodeError:
        return False
    return True


class _Commands(click.Group):
    """Prints vidsift's own errors as one line, with their exit codes."""

    command_class = Command

    def make_context(
        self, info_name: str | None, args: list[str], parent: click.Context | None = None, **extra: Any
    ) -> click.Context:
        """Refuses what no system hands over as an argument, but Python code may."""
        with _printable_usage():
            for before, argument in pairwise(["", *args]):
                if "\0" in argument or not _is_of_system(argument):
                    name = next(
                        (one for one in (argument, before) if one.lstrip("-") not in (one, "")), "an argument"
                    ).partition("=")[0]
                    raise click.UsageError(
                        f"{name}: got {argument!r}, expected any text without NUL characters and half surrogate pairs"
                    )
            return super().make_context(info_name, args, parent, **extra)

    def invoke(self, context: click.Context) -> Any:
        try:
            with _printable_usage():
                return super().invoke(context)
        except VidsiftError as exc:
            message, code = flag_text(exc), exc.exit_code
        except KeyboardInterrupt:
            message, code = "interrupted", 130
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # the reader has seen enough
            message, code = "", 0
        except OSError as exc:  # what no step expected: a disk that fills up under standard output, a folder locked midway
            message, code = f"{exc.strerror or exc}{f': {exc.filename!r}' if exc.filename else ''}", 1
        if message:
            complain(message)
        gc.collect()  # or DuckDB complains of objects that the error's frames hold in a circle
        context.exit(code)


@click.group(cls=_Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="vidsift")
def main() -> None:
    """Index folders of video once, then find where things happen.

    \b
    vidsift ingest ~/Videos --library ~/videos.vidsift
    vidsift search "people baking a cake" --library ~/videos.vidsift
    vidsift sql "select label, count(*) from labels where rank = 1 group by 1" --library ~/videos.vidsift
    """


@main.command()
@click.argument("sources", metavar="SOURCE...", nargs=-1, required=True, type=click.Path(path_type=str))
@_LIBRARY
@click.option("--classifier", metavar="MODEL", help=f"Hub id or folder. [default: the library's, or {DEFAULT_CLASSIFIER}]")
@click.option("--embedder", metavar="MODEL", help=f"Hub id or folder. [default: the library's, or {DEFAULT_EMBEDDER}]")
@click.option("--window", "window_s", type=float, metavar="S", help="Seconds of a clip. [default: the library's, or 4]")
@click.option("--stride", "stride_s", type=float, metavar="S", help="Seconds between clips' starts. [default: the window]")
@click.option(
    "--features", metavar="KIND", help="What X-CLIP's own score needs: int8, fp16, none. [default: the library's, or int8]"
)
@click.option("--decoder", default="pyav", show_default=True, help="pyav, decord, torchcodec or nvdec (a GPU's own).")
@click.option(
    "--engine",
    default="torch",
    show_default=True,
    help="torch, or openvino where it is installed: faster on CPUs without AMX.",
)
@click.option("--precision", default="auto", show_default=True, help="auto, fp32 or bf16.")
@click.option("--top-labels", type=int, default=5, show_default=True, help="Action labels kept per clip.")
@click.option("--batch-size", type=int, help="Clips per forward pass. [default: by the machine and the models]")
@click.option("--decoders", type=int, help="Decode tasks at a time. [default: one per CPU, less one per GPU]")
@click.option("--threads", type=int, help="Threads of each process with the models, on CPUs. [default: by the machine]")
@click.option("--scaling", default="fast", show_default=True, help="fast, or exact as the models' published processors.")
@click.option("--video-timeout", type=float, default=600.0, show_default=True, help="Seconds to read any minute of a video.")
@click.option("--max-pixels", type=int, default=MAX_PIXELS, show_default=True, help="Pixels of a frame.")
@click.option("--max-memory", type=int, default=4096, show_default=True, help="Megabytes to read a video in.")
@click.option("--max-frames", type=int, default=MAX_FRAMES, show_default=True, help="Frames of a video.")
@click.option("--address", metavar="HOST:PORT", help="A Ray cluster to join. [default: Ray within this process]")
@click.option("--cpus", type=int, help="CPUs for the Ray within this process. [default: all]")
@click.option("--track", type=int, metavar="N", help="Video track to take of files that have so many. [default: players']")
@click.option("--include", multiple=True, metavar="GLOB", help="Only files whose name, path below SOURCE or folder matches.")
@click.option("--exclude", multiple=True, metavar="GLOB", help="And none where it matches this.")
@click.option("--keep-missing", is_flag=True, help="Keep videos whose files are gone.")
@click.option("--allow-empty", is_flag=True, help="Let a source that holds no video any more empty its part of the library.")
@click.option("--retry-failed", is_flag=True, help="Read again what could not be indexed before, or not whole.")
@click.option("--rehash", is_flag=True, help="Look for content that changed under the same size and time: reads every file.")
@click.option("--trace", metavar="FILE", type=click.Path(path_type=Path), help="Write what each process did, for Perfetto.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object at the end.")
def ingest(sources: tuple[str, ...], folder: Path, as_json: bool, **given: Any) -> None:
    """Bring a library up to date with folders and files of video.

    A GLOB is held against the name and the path below SOURCE of each file, and of each folder that it lies in; * stands for
    slashes too, and upper and lower case are one. Both options may be repeated. What a library holds already stays in it.

    \b
    vidsift ingest ~/Videos /mnt/camera --library ~/videos.vidsift
    vidsift ingest ~/Videos --library ~/videos.vidsift --classifier ./my-videomae --window 2
    vidsift ingest ~/Videos --library ~/videos.vidsift --include '*.mov' --include 'holidays/*' --exclude proxies
    """
    from jobs.ingest.ingest import ingest as run
    from jobs.ingest.report import Interrupted

    options = IngestOptions(
        decoder=given["decoder"],
        precision=given["precision"],
        engine=given["engine"],
        batch_size=given["batch_size"],
        top_labels=given["top_labels"],
        video_timeout_s=given["video_timeout"],
        max_pixels=given["max_pixels"],
        max_memory_mb=given["max_memory"],
        max_frames=given["max_frames"],
        address=given["address"],
        num_cpus=given["cpus"],
        num_decoders=given["decoders"],
        num_threads=given["threads"],
        scaling=given["scaling"],
        track=given["track"],
    )
    line, code = ProgressLine(), 0
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # what stops a service stops it as cleanly as Ctrl-C
    try:
        report = run(
            sources,
            folder,
            classifier=given["classifier"],
            embedder=given["embedder"],
            window_s=given["window_s"],
            stride_s=given["stride_s"],
            features=given["features"],
            options=options,
            keep_missing=given["keep_missing"],
            allow_empty=given["allow_empty"],
            retry_failed=given["retry_failed"],
            rehash=given["rehash"],
            include=given["include"],
            exclude=given["exclude"],
            on_progress=line.show,
            trace=given["trace"],
        )
    except Interrupted as exc:
        report, code = exc.report, 130
    finally:
        line.end()
    from jobs.ingest.report import ingest_text

    echo(json_text(report.as_json()) if as_json else ingest_text(report))
    if code:
        complain("interrupted; what was finished is kept, run the same command again to go on")
        sys.stdout.flush()
        os._exit(code)  # an interpreter that was stopped while Ray's threads start can crash on its way out


@main.command()
@click.argument("texts", metavar="[TEXT]...", nargs=-1)
@_LIBRARY
@click.option("-k", default=10, show_default=True, help="How many answers.")
@click.option(
    "--by",
    type=click.Choice(["moment", "clip", "video"]),
    default="moment",
    show_default=True,
    help="What an answer is: neighbouring windows as one, each window, or each video.",
)
@click.option("--where", metavar="SQL", help="A condition over the columns of clips, videos, labels and tags.")
@click.option("--not", "without", multiple=True, metavar="TEXT", help="What answers must not resemble.")
@click.option("--then", "then_text", metavar="TEXT", help="What follows in the same video.")
@click.option("--within", "within_s", type=float, metavar="S", help="Seconds until it does at most. [default: 30]")
@click.option("--like", multiple=True, metavar="EXAMPLE", help="FILE, FILE@START-END, IMAGE or CLIP_ID.")
@click.option("--rerank", default=100, show_default=True, help="Best clips that the model's own score orders; 0: none.")
@click.option("--all", "show_all", is_flag=True, help="Print the best there is also where nothing stands out.")
@click.option("--embedder", metavar="MODEL", help="Where the library's embedder is now, if it has moved.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per answer.")
def search(folder: Path, embedder: str | None, as_json: bool, **given: Any) -> None:
    """Find the moments that TEXT describes best; several TEXTs are meant together.

    \b
    vidsift search "people baking a cake" --library ~/videos.vidsift
    vidsift search "a dog catches a ball" --library ~/videos.vidsift -k 3 --json
    vidsift search "a dog" "on the beach" --not "at night" --library ~/videos.vidsift --by video
    vidsift search "somebody serves" --then "people cheer" --within 10 --library ~/videos.vidsift
    vidsift search "baking" --where "label = 'baking cookies' and duration_s > 60" --library ~/videos.vidsift
    vidsift search --like holiday.mp4@12.5-16 --library ~/videos.vidsift
    """
    from schemas.search import SearchOptions

    options = SearchOptions(**given)
    from index.search.searcher import search as run

    answer = run(folder, options, embedder=embedder, say=complain)
    from commands.search_output import answer_text
    from schemas.search import moment_json

    if not as_json:
        echo(answer_text(answer, options.by))
        return
    for moment in answer.moments:
        echo(json_text(moment_json(moment)))


@main.command()
@click.argument("query", required=False)
@_LIBRARY
@click.option("--search", "texts", multiple=True, metavar="TEXT", help="Let QUERY see what this finds as the table hits.")
@click.option("--search-k", type=click.IntRange(1, MOST), default=1000, show_default=True, help="Clips in hits.")
@click.option("--search-not", "without", multiple=True, metavar="TEXT", help="What they must not resemble.")
@click.option(
    "--search-rerank",
    type=click.IntRange(0, MOST),
    default=100,
    show_default=True,
    help="Best clips that the model's own score orders; 0: none.",
)
@click.option("--embedder", metavar="MODEL", help="Where the library's embedder is now, if it has moved.")
@click.option("--format", "form", type=click.Choice(["table", "csv", "json", "parquet"]), default="table", show_default=True)
@click.option("--output", type=click.Path(path_type=Path, dir_okay=False), help="A file to write. [default: print]")
@click.option("--timeout", "timeout_s", type=NumberRange(min=0.001), default=300.0, show_default=True, help="Seconds.")
@click.option("--memory", "memory_mb", type=click.IntRange(16, 1 << 30), default=4096, show_default=True, help="Megabytes.")
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
    """Ask the tables videos, clips, labels and tags in SQL (DuckDB's), reading only.

    Without QUERY it asks for statements, with history and completion, or reads them from standard input.

    \b
    vidsift sql "select label, count(*) from labels where rank = 1 group by 1" --library ~/videos.vidsift
    vidsift sql "select path, error from videos where status = 'failed'" --library ~/videos.vidsift --format csv
    vidsift sql "from clips" --library ~/videos.vidsift --format parquet --output clips.parquet
    vidsift sql --search "people baking a cake" "select path, start_s, h.score, l.label from hits h
      join labels l using (clip_id, path, start_s) where l.rank = 1" --library ~/videos.vidsift
    vidsift sql --library ~/videos.vidsift < report.sql
    """
    from commands.sql_shell import Prompt, statements_of
    from index.search.hits import hits_options, open_catalog
    from index.sql.formats import write_table

    asks = query is None and sys.stdin.isatty()
    if asks and output is not None:
        raise UsageError("--output: got no QUERY whose result to write; give one, or redirect the statements in")
    statements = [] if asks else [query] if query is not None else statements_of(sys.stdin.buffer.read())
    if len(statements) > 1 and (output is not None or form == "parquet"):
        option = "--output" if output is not None else "--format parquet"
        raise UsageError(f"{option}: got {len(statements)} statements, expected one, since a file holds one result")
    search = hits_options(texts, without, k=given["search_k"], rerank=given["search_rerank"]) if texts else None
    if search is None and without:
        raise UsageError("--search-not: got no --search that it narrows; add --search TEXT")
    catalog = open_catalog(folder, search, embedder=embedder, memory_mb=memory_mb, say=complain)
    if asks:
        Prompt(
            catalog,
            with_hits=search is not None,
            timeout_s=timeout_s,
            ask=_ask,
            show=lambda table: write_table(table, form, None),
            say=echo,
        ).run()
    for number, statement in enumerate(statements, start=1):
        name = "QUERY" if len(statements) == 1 else f"statement {number}"
        write_table(catalog.sql(statement, timeout_s=timeout_s, argument=name), form, output)


def _ask(prompt: str) -> str:
    """A line from the terminal; the prompt never lands in a file that results are redirected to."""
    if sys.stdout.isatty():
        return input(prompt)
    click.echo(prompt, nl=False, err=True)
    return input()


@main.command()
@click.option(
    "--library", "folder", type=click.Path(path_type=Path), metavar="DIR", help="Say how many rows it has of each."
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per table.")
def schema(folder: Path | None, as_json: bool) -> None:
    """Say what there is to ask for in SQL: the tables, their columns, and what these mean.

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


@main.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_LIBRARY
@click.option("--prompt", "prompts", metavar="TEXT", multiple=True, help="A text with {} for the name; may be repeated.")
@click.option("--embedder", metavar="MODEL", help="Where the library's embedder is now, if it has moved.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per tag.")
def tag(names: tuple[str, ...], folder: Path, prompts: tuple[str, ...], embedder: str | None, as_json: bool) -> None:
    """Score every clip for each NAME, for the SQL table tags; videos ingested later are scored too.

    A name is put into each prompt ("{}", "a video of {}", "a person {}" and "someone {}" unless you give others), and the
    mean of their vectors is compared with each clip's: c is the cosine. The score is 1 / (1 + exp(-2 ((c - m) / s - 2))),
    where m is the library's mean of c and s its standard deviation: 0.02 for an ordinary clip, 0.5 for one that stands out
    by two deviations, 0.88 by three. Tagging a name again replaces it, and measures m and s anew.

    \b
    vidsift tag "falling down" "shaking hands" --library ~/videos.vidsift
    vidsift tag cake --prompt "a video of a {}" --prompt "people eating {}" --library ~/videos.vidsift
    vidsift sql "select path, start_s, score from tags where tag = 'cake' and score > 0.5" --library ~/videos.vidsift
    """
    from dataclasses import asdict

    from jobs.tag.report import tags_text
    from jobs.tag.tag import tag as run

    found = run(folder, names, prompts=prompts, embedder=embedder, say=complain)
    echo("\n".join(json_text(asdict(one)) for one in found) if as_json else tags_text(found))


@main.command()
@click.argument("names", metavar="NAME...", nargs=-1, required=True)
@_LIBRARY
def untag(names: tuple[str, ...], folder: Path) -> None:
    """Take tags out of a library, whether they were given in words or taught.

    \b
    vidsift untag "falling down" --library ~/videos.vidsift
    """
    from jobs.tag.tag import untag as run

    run(folder, names)


@main.command()
@click.argument("name", metavar="[NAME]", required=False)
@click.option("--examples", type=click.Path(path_type=Path), required=True, metavar="FILE.csv", help="Marked moments.")
@_LIBRARY
@click.option(
    "--seed",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    help="Of the unmarked clips, and of how the check deals moments.",
)
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def teach(name: str | None, examples: Path, folder: Path, seed: int, as_json: bool) -> None:
    """Teach a library NAME, or every tag of FILE.csv, from a handful of moments; then score every clip for it.

    The file's columns are path, start_s, end_s and tag, with a line for each moment; two moments are enough, five are
    better. Moments of other tags, and unmarked clips of the library, show what NAME is not. The score in the SQL table tags
    is a probability, for a world in which NAME is as likely as not. No network is trained and no video is decoded.

    \b
    vidsift teach "my action" --examples examples.csv --library ~/videos.vidsift
    vidsift teach --examples examples.csv --library ~/videos.vidsift
    """
    from dataclasses import asdict

    from jobs.tag.report import teach_text
    from jobs.tag.teach import teach as run

    report = run(folder, examples, name, seed=seed)
    echo(json_text(asdict(report)) if as_json else teach_text(report))


@main.command()
@_LIBRARY
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def status(folder: Path, as_json: bool) -> None:
    """Say what a library holds, which models made it, and what could not be indexed.

    \b
    vidsift status --library ~/videos.vidsift
    """
    from dataclasses import asdict

    from index.status import library_status

    found = library_status(folder)
    if as_json:
        echo(json_text(asdict(found)))
        return
    from index.status import status_text

    echo(status_text(found))


@main.command()
@_LIBRARY
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object per snapshot.")
def history(folder: Path, as_json: bool) -> None:
    """List the snapshots that were published, and what each changed.

    \b
    vidsift history --library ~/videos.vidsift
    """
    from dataclasses import asdict

    from jobs.maintain.history import history as run
    from jobs.maintain.history import history_text

    entries = run(folder)
    if not as_json:
        echo(history_text(entries))
        return
    for entry in entries:
        echo(json_text({"snapshot": entry.number, "current": entry.current, **asdict(entry.info)}))


@main.command()
@click.argument("number", metavar="N", type=int)
@_LIBRARY
def rollback(number: int, folder: Path) -> None:
    """Bring a library back to what it was at snapshot N.

    \b
    vidsift rollback 3 --library ~/videos.vidsift
    """
    from jobs.maintain.history import rollback as run

    echo(f"back to snapshot {number}, published as snapshot {run(folder, number)}")


@main.command()
@_LIBRARY
def compact(folder: Path) -> None:
    """Merge a library's small files, and drop what nothing refers to any more.

    \b
    vidsift compact --library ~/videos.vidsift
    """
    from jobs.maintain.history import compact as run

    counts = run(folder)
    echo(f"{counts['files_before']} Parquet files before, {counts['files_after']} now")


@main.command()
@_LIBRARY
def verify(folder: Path) -> None:
    """Check that everything in a library agrees; exit code 1 where something does not.

    \b
    vidsift verify --library ~/videos.vidsift
    """
    from jobs.maintain.verify import verify as run

    checks = run(folder)
    for check in checks:
        echo(printable(f"{'ok' if check.breach is None else 'BREACH':<6}  {check}"))
    if any(check.breach is not None for check in checks):
        raise SystemExit(1)


@main.command()
@click.argument("truth", metavar="TRUTH.csv", type=click.Path(path_type=Path))
@_LIBRARY
@click.option("--rerank", default=100, show_default=True, help="Best clips that the model's own score orders; 0: none.")
@click.option("--embedder", metavar="MODEL", help="Where the library's embedder is now, if it has moved.")
@click.option("--output", type=click.Path(path_type=Path), metavar="DIR", help="Keep the results and the matrix here.")
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
def evaluate(truth: Path, folder: Path, rerank: int, embedder: str | None, output: Path | None, as_json: bool) -> None:
    """Hold a library against what you know of its videos: labels, retrieval, moments, the index, and what a query costs.

    TRUTH.csv has columns path (from its own folder, or absolute), start_s, end_s, and action or caption or both.

    \b
    vidsift evaluate truth.csv --library ~/videos.vidsift
    vidsift evaluate truth.csv --library ~/videos.vidsift --output ./measured
    """
    import shlex

    from jobs.evaluate.library import evaluate as run
    from jobs.evaluate.library_report import evaluation_json, evaluation_text, write_evaluation
    from jobs.output_folder import check_folder

    if output is not None:
        check_folder(output)
    line: Any = ProgressLine()

    def say(sentence: str) -> None:
        line.end()
        complain(sentence)

    try:
        found = run(truth, folder, rerank=rerank, embedder=embedder, say=say, on_progress=line.show)
    finally:
        line.end()
    if output is not None:
        write_evaluation(found, output, shlex.join(["vidsift", *sys.argv[1:]]))
    echo(json_text(evaluation_json(found)) if as_json else evaluation_text(found))


@main.command()
@click.argument("hits", metavar="HITS.jsonl")
@click.option(
    "--to",
    "folder",
    type=click.Path(path_type=Path),
    required=True,
    metavar="DIR",
    help="A new or empty folder, or an export to go on with.",
)
@click.option("--pad", "pad_s", type=float, default=1.0, show_default=True, help="Seconds to show before and after.")
@click.option(
    "--format",
    "forms",
    type=click.Choice(["files", "webvtt", "edl"]),
    multiple=True,
    default=["files"],
    show_default=True,
    help="What to write; may be given several times.",
)
def export(hits: str, folder: Path, pad_s: float, forms: tuple[Any, ...]) -> None:
    """Cut the moments that a search found as files, or list them as chapters or as an edit decision list.

    HITS.jsonl is what vidsift search --json prints; - reads standard input. Each file comes with a strip of thumbnails, and
    moments.csv says what each is of and how it was made: copied where it can begin at a keyframe, else encoded anew.
    Interrupted, the same command goes on: what is finished stays, and what failed is tried again.

    \b
    vidsift search "people baking a cake" --library ~/videos.vidsift --json > hits.jsonl
    vidsift export hits.jsonl --to ./moments
    vidsift export hits.jsonl --to ./lists --format webvtt --format edl --pad 0
    """
    from jobs.export.export import export as run

    def show(done: int, total: int) -> None:
        if sys.stderr.isatty():
            click.echo(f"\r{done}/{total} moments" + "\n" * (done == total), nl=False, err=True)

    report = run(hits, folder, pad_s=pad_s, forms=forms, on_moment=show)
    echo(str(report))
    if report.failed:
        raise SystemExit(1)


@main.command()
@click.argument("out", type=click.Path(path_type=Path), default=Path("demo-out"))
@click.option(
    "--count", type=click.IntRange(max=1_000_000), default=48, show_default=True, help="Short films of one action."
)
@click.option(
    "--films", type=click.IntRange(max=100_000), default=8, show_default=True, help="Long films of several actions."
)
@click.option("--seed", type=int, default=7, show_default=True, help="The same seed renders the same films.")
def demo(out: Path, count: int, films: int, seed: int) -> None:
    """Render films into OUT, ingest them with the pocket models, ask, and compare the answers with the truth.

    \b
    vidsift demo
    vidsift demo ./try --count 100 --seed 3
    """
    from demo.tour import run_demo

    line = ProgressLine()

    def say(text: str) -> None:
        line.end()
        echo(text)

    run_demo(out, count=count, films=films, seed=seed, say=say, on_progress=line.show)


for command in COMMANDS:
    main.add_command(command)


def run() -> None:
    """`main` as a process of its own; one that only asked ends without taking its modules apart, which would be 0.8 s."""
    keep_to_what_is_installed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding than UTF-8 gets what it can show
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except SystemExit as exc:
        if sys.argv[1:2] not in (["search"], ["sql"]) or not isinstance(exc.code, int):
            raise
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exc.code)


if __name__ == "__main__":
    run()
