"""The help of the command line: all of `vidsift --help`, and what holds for every command's own."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from cli import COMMANDS, main

HELP = """\
Usage: vidsift [OPTIONS] COMMAND [ARGS]...

  Index folders of video once, then find where things happen.

  vidsift ingest ~/Videos --library ~/videos.vidsift
  vidsift search "people baking a cake" --library ~/videos.vidsift
  vidsift sql "select path, duration_s from videos" --library ~/videos.vidsift

Options:
  --version   Show the version and exit.
  -h, --help  Show this message and exit.

Index:
  ingest          Index videos, or bring a library up to date.
  watch           Index videos as they arrive.
  annotate        Find shots, speech and text in a library's videos.
  demo            Render films, index them, and check the answers.

Ask:
  search          Find moments by text, by example, or by both.
  highlights      Find moments that stand out of their own video.
  serve           Show libraries in a browser: search, play moments, SQL.
  mcp             Let assistants search libraries, over MCP.
  sql             Query videos, clips, labels and tags with SQL.
  schema          List the SQL tables and what their columns mean.
  export          Cut found moments into files, or list them as chapters.

Label:
  tag             Score every clip for a tag described in words.
  teach           Score every clip for a tag taught by examples.
  untag           Remove tags from a library.

Evaluate:
  evaluate        Measure a library against labelled moments.
  evaluate-model  Measure a model on labelled or captioned videos.

Learn:
  dataset         Summarise training data and list damaged videos.
  preview         Draw the frames of a clip as a model is shown them.
  finetune        Train a video classifier on your own classes.
  pretrain        Train a VideoMAE, or an encoder of frames, without labels.
  align           Train an embedder on captioned moments.
  convert         Make a published .pth file a model that vidsift loads.
  export-model    Write a model as an ONNX file, checked against PyTorch.
  models          List published models: what each is for and reaches.

Look after:
  status          Show what a library holds, its models, and what failed.
  history         List a library's snapshots and what each changed.
  rollback        Return a library to snapshot N.
  relocate        Tell a library that its videos lie elsewhere now.
  compact         Merge small files and delete unused ones.
  duplicates      Find the same footage in several videos.
  verify          Check that a library is complete and consistent.
"""

SHORT_HELPS = {name: short_help for group in COMMANDS.values() for name, (_, short_help) in group.items()}


def help_of(*arguments: str) -> str:
    done = CliRunner().invoke(main, [*arguments, "--help"], prog_name="vidsift", env={"COLUMNS": "80"})
    assert done.exit_code == 0
    return done.stdout


def test_the_help_lists_the_commands_in_groups() -> None:
    assert help_of() == HELP
    assert max(map(len, HELP.splitlines())) <= 80


@pytest.mark.parametrize("name", SHORT_HELPS)
def test_each_line_of_the_list_is_what_the_command_says(name: str) -> None:
    command = main.commands[name]
    assert command.name == name
    assert command.get_short_help_str(limit=60) == SHORT_HELPS[name]
    assert not SHORT_HELPS[name].endswith("..")
    assert f"\n  {SHORT_HELPS[name]}\n\n" in help_of(name)


@pytest.mark.parametrize("name", SHORT_HELPS)
def test_every_help_has_an_example(name: str) -> None:
    assert f"\n  vidsift {name}" in help_of(name)


@pytest.mark.parametrize("name", SHORT_HELPS)
def test_every_option_says_what_it_does(name: str) -> None:
    for param in main.commands[name].params:
        if isinstance(param, click.Option):
            assert param.help, param.opts
            sentence = param.help.partition(" [default: ")[0]
            assert sentence.endswith("."), sentence
            assert len(sentence.split()) >= 3, sentence
            assert sentence[0].isupper(), sentence


def test_a_command_that_does_not_exist_is_a_usage_error() -> None:
    done = CliRunner().invoke(main, ["frobnicate"])
    assert done.exit_code == 2
    assert "Error: No such command 'frobnicate'." in done.stderr
    assert "frobnicate" not in main.commands
    assert len(main.commands) == 31
