from __future__ import annotations

import pickle
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from commands.flags import flag_of, flag_text
from schemas.errors import LibraryError, QueryError, UsageError


@pytest.mark.parametrize(
    ("argument", "flag"),
    [
        ("window_s", "--window"),
        ("max_memory_mb", "--max-memory"),
        ("video_timeout_s", "--video-timeout"),
        ("num_cpus", "--cpus"),
        ("batch_size", "--batch-size"),
        ("then_text", "--then"),
        ("without", "--not"),
        ("sources", "SOURCE"),
        ("k", "-k"),
        ("NAME", "NAME"),
        ("--output", "--output"),
    ],
)
def test_an_argument_has_one_flag(argument: str, flag: str) -> None:
    assert flag_of(argument) == flag


def test_an_error_names_arguments_in_python_and_options_on_the_command_line() -> None:
    error = UsageError("got 9 s without `then_text`; give a longer `window_s`", argument="within_s")
    assert str(error) == "within_s: got 9 s without `then_text`; give a longer `window_s`"
    assert flag_text(error) == "--within: got 9 s without --then; give a longer --window"
    assert flag_text(UsageError("got '`window_s`', expected fast", argument="by")) == "--by: got '`window_s`', expected fast"
    assert flag_text(UsageError("--output: `x` is not empty")) == "--output: `x` is not empty"
    assert flag_text(LibraryError("`window_s`")) == "`window_s`"


@pytest.mark.parametrize("error", [UsageError("got 0", argument="k"), UsageError("got 0"), QueryError("no table")])
def test_usage_errors_travel_between_processes(error: UsageError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.message, again.argument) == (
        type(error), str(error), error.message, error.argument
    )  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "printed"),
    [
        (["ingest", ".", "--window", "0"], "vidsift: --window: got 0 s, expected 0.1 to 3600 s\n"),
        (
            ["ingest", ".", "--window", "2", "--stride", "3"],
            "vidsift: --stride: got 3 s, expected 0.1 s to the window (2 s): a longer stride would leave seconds that no "
            "clip shows; give a shorter --stride or a longer --window\n",
        ),
        (["ingest", ".", "--max-memory", "1"], "vidsift: --max-memory: got 1, expected 64 or more\n"),
        (["ingest", ".", "--include", ""], "vidsift: --include: got '', expected a name or a path below a source, "),
        (
            ["search", "cake", "--within", "3"],
            "vidsift: --within: got 3 s without --then; say what is to follow with --then\n",
        ),
        (["search", "cake", "-k", "0"], "vidsift: -k: got 0, expected 1 or more\n"),
        (["search", "cake", "--not", " "], "vidsift: --not: got nothing but blanks; say what not to find, such as"),
        (
            ["search"],
            "vidsift: TEXT: got none; say what to look for, such as 'people baking a cake', or show it with --like\n",
        ),
    ],
)
def test_the_command_speaks_of_options(tmp_path: Path, arguments: list[str], printed: str) -> None:
    done = CliRunner().invoke(main, [*arguments, "--library", str(tmp_path / "library")])
    assert (done.exit_code, done.stderr[: len(printed)]) == (2, printed)
