"""The commands that measure: ``evaluate`` a library, ``evaluate-model`` a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from commands.common import Command, command_line, echo, embedder_option, json_option, library_option, note, rerank_option
from commands.progress_line import ProgressLine
from jobs.evaluate.benchmarks.results import TASKS
from schemas.errors import UsageError
from schemas.text import json_text

_output_option = click.option(
    "--output",
    type=click.Path(path_type=Path),
    metavar="DIR",
    help="Write the results, and tables and predictions where there are any, to this new or empty folder.",
)


def _views(text: str) -> str | int:
    if text not in ("single", "multi") and not text.isdecimal():
        raise click.BadParameter(f"{text!r} is not single, multi or a number.")
    return int(text) if text.isdecimal() else text


@click.command(cls=Command)
@click.argument("truth", metavar="[TRUTH.csv]", type=click.Path(path_type=Path), required=False)
@library_option
@click.option(
    "--benchmark", type=click.Choice(list(TASKS)), help="Measure on this published benchmark instead of TRUTH.csv."
)
@click.option(
    "--annotations", type=click.Path(path_type=Path), metavar="FILE", help="The benchmark's annotation file, as published."
)
@click.option("--videos", metavar="DIR", help="Folder of the benchmark's videos that was ingested.")
@click.option(
    "--split",
    metavar="S",
    help="Split of the benchmark: one that FILE names, or a text file of video names. [default: test, or all of FILE]",
)
@rerank_option
@embedder_option
@_output_option
@json_option("Print one JSON object.")
def evaluate(
    truth: Path | None,
    folder: Path,
    benchmark: str | None,
    rerank: int,
    embedder: str | None,
    output: Path | None,
    as_json: bool,
    **of_benchmark: Any,
) -> None:
    """Measure a library against labelled moments.

    Measures the labels, text search, the bounds of moments, the index, and how long a query takes.

    TRUTH.csv has the columns path (absolute, or relative to the file's folder), start_s, end_s, and action, caption or both.

    With --benchmark, it measures on a published benchmark, by its annotation file and its metrics. For qvhighlights and tvr,
    --output gets the predictions as well, as their own scripts read them.

    \b
    vidsift evaluate truth.csv --library ~/videos.vidsift
    vidsift evaluate truth.csv --library ~/videos.vidsift --output ./measured
    vidsift evaluate --benchmark qvhighlights --annotations highlight_val_release.jsonl --videos ~/qv \\
      --library ~/qv.vidsift --output ./measured
    """
    from jobs.output_folder import check_folder

    _check_use(truth, benchmark, of_benchmark)
    if output is not None:
        check_folder(output)
    how = {"rerank": rerank, "embedder": embedder}
    if truth is not None:
        _on_truth(truth, folder, output, as_json, how)
    else:
        _on_benchmark(benchmark, folder, output, as_json, how | of_benchmark)


def _check_use(truth: Path | None, benchmark: str | None, of_benchmark: dict[str, Any]) -> None:
    """Refuse what does not go together: TRUTH.csv and the options of benchmarks.

    Raises:
        UsageError: the message says which.
    """
    if truth is None and benchmark is None:
        raise UsageError("got neither TRUTH.csv nor --benchmark, expected one of them")
    if truth is not None and benchmark is not None:
        raise UsageError("got both TRUTH.csv and --benchmark, expected one of them", argument="benchmark")
    for name, value in of_benchmark.items():
        if benchmark is None and value is not None:
            raise UsageError("got it without --benchmark; add `benchmark`, or leave it out", argument=name)
        if benchmark is not None and value is None and name != "split":
            raise UsageError(f"got none with --benchmark {benchmark}, expected one", argument=name)


def _on_truth(truth: Path, folder: Path, output: Path | None, as_json: bool, how: dict[str, Any]) -> None:
    from jobs.evaluate.library import evaluate as run
    from jobs.evaluate.library_report import evaluation_json, evaluation_text, write_evaluation

    with ProgressLine(print_note=note) as line:
        evaluation = run(truth, folder, say=line.say, on_progress=line.show, **how)
    if output is not None:
        write_evaluation(evaluation, output, command_line())
    echo(json_text(evaluation_json(evaluation)) if as_json else evaluation_text(evaluation))


def _on_benchmark(benchmark: Any, folder: Path, output: Path | None, as_json: bool, how: dict[str, Any]) -> None:
    from jobs.evaluate.benchmarks.report import benchmark_json, benchmark_text, write_benchmark
    from jobs.evaluate.benchmarks.run import evaluate_benchmark

    with ProgressLine(print_note=note) as line:
        evaluation, predictions = evaluate_benchmark(benchmark, folder=folder, say=line.say, on_progress=line.show, **how)
    if output is not None:
        write_benchmark(evaluation, predictions, output, command_line())
    echo(json_text(benchmark_json(evaluation)) if as_json else benchmark_text(evaluation))


@click.command(cls=Command)
@click.argument("model")
@click.argument("data", type=click.Path(path_type=Path))
@click.option(
    "--kind", type=click.Choice(["classifier", "embedder"]), help="Kind of MODEL. [default: as its config.json says]"
)
@click.option(
    "--split",
    type=click.Choice(["test", "val", "train", "all"]),
    help="Split of DATA to measure on. [default: test, or val, or all]",
)
@click.option(
    "--views",
    callback=lambda _context, _option, value: _views(value),
    default="single",
    show_default=True,
    metavar="single|multi|K",
    help="What a classifier is shown of an example; single: the middle clip, multi: 5 clips x 3 crops, K: K parts of the "
    "middle clip, as ingest --views K.",
)
@click.option(
    "--pair",
    "pairs",
    multiple=True,
    metavar="A,B",
    help="Report how often two labels, or two values of a fact, are told apart; may be repeated.",
)
@click.option(
    "--captions", default=200, show_default=True, help="Number of captions per draw that an embedder finds the clips of."
)
@click.option("--draws", default=3, show_default=True, help="Number of draws of captions.")
@click.option("--shuffle", is_flag=True, help="Shuffle the frames of each clip, as a control.")
@click.option("--window", "window_s", default=4.0, show_default=True, help="Length of a clip in seconds.")
@click.option(
    "--frames", type=int, metavar="N", help="Show a VideoMAE or a TimeSformer N frames of a clip. [default: its own number]"
)
@click.option("--seed", default=0, show_default=True, help="Seed for splits, draws and shuffling.")
@click.option("--batch-size", default=32, show_default=True, help="Clips per forward pass.")
@click.option(
    "--precision",
    type=click.Choice(["auto", "fp32", "bf16"]),
    default="fp32",
    show_default=True,
    help="Run the model in fp32 or bf16; auto picks by device.",
)
@_output_option
@json_option("Print one JSON object.")
def evaluate_model(
    model: str, data: Path, kind: Any, pairs: tuple[str, ...], output: Path | None, as_json: bool, **given: Any
) -> None:
    """Measure a model on labelled or captioned videos.

    A classifier is measured on the labels of DATA, an embedder on its captions. DATA is read as in a training. If it has no
    splits of its own, the seed of that training gives the same splits.

    \b
    vidsift evaluate-model ./my-videomae ~/UCF101 --views multi --output ./measured
    vidsift evaluate-model ./my-videomae moments.csv --pair "sitting down,standing up" --shuffle
    vidsift evaluate-model ./my-xclip captions.csv --captions 1000 --draws 1
    """
    from jobs.evaluate.model import evaluate_model as run
    from jobs.evaluate.model_inputs import EvaluateOptions
    from jobs.evaluate.model_report import results_json, results_text, write_results
    from jobs.output_folder import check_folder

    options = EvaluateOptions(pairs=pairs, **given)
    if output is not None:
        check_folder(output)
    with ProgressLine() as line:
        results = run(model, data, kind=kind, options=options, say=line.say, on_progress=line.show)
    if output is not None:
        write_results(results, output, command_line())
    echo(json_text(results_json(results)) if as_json else results_text(results))
