"""The command line: a table of commands, each imported when it is called."""

from __future__ import annotations

import atexit
import io
import os
import sys

import click

from commands.group import CommandGroup, LazyCommands
from pipeline.child_processes import keep_to_what_is_installed

# By group and name: where a command is, and its line in ``vidsift --help``, the first sentence of its own help.
COMMANDS = {
    "Index": {
        "ingest": ("commands.ingest:ingest", "Index videos, or bring a library up to date."),
        "watch": ("commands.watch:watch", "Index videos as they arrive."),
        "annotate": ("commands.annotate:annotate", "Find shots, speech and text in a library's videos."),
        "demo": ("commands.demo:demo", "Render films, index them, and check the answers."),
    },
    "Ask": {
        "search": ("commands.search:search", "Find moments by text, by example, or by both."),
        "highlights": ("commands.highlights:highlights", "Find moments that stand out of their own video."),
        "serve": ("commands.serve:serve", "Show libraries in a browser: search, play moments, SQL."),
        "mcp": ("commands.mcp:mcp", "Let assistants search libraries, over MCP."),
        "sql": ("commands.sql:sql", "Query videos, clips, labels and tags with SQL."),
        "schema": ("commands.sql:schema", "List the SQL tables and what their columns mean."),
        "export": ("commands.export:export", "Cut found moments into files, or list them as chapters."),
    },
    "Label": {
        "tag": ("commands.tags:tag", "Score every clip for a tag described in words."),
        "teach": ("commands.tags:teach", "Score every clip for a tag taught by examples."),
        "untag": ("commands.tags:untag", "Remove tags from a library."),
    },
    "Evaluate": {
        "evaluate": ("commands.evaluate:evaluate", "Measure a library against labelled moments."),
        "evaluate-model": ("commands.evaluate:evaluate_model", "Measure a model on labelled or captioned videos."),
    },
    "Learn": {
        "dataset": ("commands.data:dataset", "Summarise training data and list damaged videos."),
        "preview": ("commands.data:preview", "Draw the frames of a clip as a model is shown them."),
        "finetune": ("commands.train:finetune", "Train a video classifier on your own classes."),
        "pretrain": ("commands.train:pretrain", "Train a VideoMAE, or an encoder of frames, without labels."),
        "align": ("commands.train:align", "Train an embedder on captioned moments."),
        "convert": ("commands.convert:convert", "Make a published .pth file a model that vidsift loads."),
        "export-model": ("commands.export_model:export_model", "Write a model as an ONNX file, checked against PyTorch."),
        "models": ("commands.models:models", "List published models: what each is for and reaches."),
    },
    "Look after": {
        "status": ("commands.library:status", "Show what a library holds, its models, and what failed."),
        "history": ("commands.library:history", "List a library's snapshots and what each changed."),
        "rollback": ("commands.library:rollback", "Return a library to snapshot N."),
        "relocate": ("commands.library:relocate", "Tell a library that its videos lie elsewhere now."),
        "compact": ("commands.library:compact", "Merge small files and delete unused ones."),
        "duplicates": ("commands.duplicates:duplicates", "Find the same footage in several videos."),
        "verify": ("commands.library:verify", "Check that a library is complete and consistent."),
    },
}


@click.group(
    cls=CommandGroup,
    commands=LazyCommands(COMMANDS),
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(package_name="vidsift")
def main() -> None:
    """Index folders of video once, then find where things happen.

    \b
    vidsift ingest ~/Videos --library ~/videos.vidsift
    vidsift search "people baking a cake" --library ~/videos.vidsift
    vidsift sql "select path, duration_s from videos" --library ~/videos.vidsift
    """


def run() -> None:
    """Run `main` as a process of its own, and end it without unloading modules.

    Unloading takes 0.8 s, and a thread of Arrow or of Ray that still holds an object of Python aborts the process in it.
    """
    keep_to_what_is_installed()
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):  # a terminal of another encoding than UTF-8 gets what it can show
            stream.reconfigure(errors="backslashreplace")
    try:
        main()
    except SystemExit as exc:
        if not isinstance(exc.code, int):
            raise
        atexit._run_exitfuncs()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(exc.code)


if __name__ == "__main__":
    run()
