from __future__ import annotations

import ast
import pickle
import re
from pathlib import Path

import pytest
from click.testing import CliRunner

from cli import main
from commands.flags import flag_of, flag_text
from schemas.errors import LibraryError, ModelError, QueryError, UsageError


@pytest.mark.parametrize(
    ("command", "argument", "flag"),
    [
        ("ingest", "window_s", "--window"),
        ("ingest", "max_memory_mb", "--max-memory"),
        ("ingest", "video_timeout_s", "--video-timeout"),
        ("ingest", "num_cpus", "--cpus"),
        ("ingest", "batch_size", "--batch-size"),
        ("ingest", "sources", "SOURCE"),
        ("ingest", "library", "--library"),
        ("search", "then_text", "--then"),
        ("search", "without", "--not"),
        ("search", "k", "-k"),
        ("search", "texts", "TEXT"),
        ("sql", "texts", "--search"),
        ("sql", "form", "--format"),
        ("export", "folder", "--to"),
        ("export", "hits", "HITS"),
        ("compact", "folder", "--library"),
        ("rollback", "number", "N"),
        ("tag", "names", "NAME"),
        ("teach", "name", "NAME"),
        ("preview", "output", "--gif"),
        ("preview", "path", "FILE"),
        ("preview", "model", "--model"),
        ("evaluate-model", "model", "MODEL"),
        ("evaluate-model", "pairs", "--pair"),
        ("align", "data", "DATA"),
        ("finetune", "data", "DATA"),
        ("finetune", "window_s", "--window"),
        ("finetune", "augmentation.window", "--random-window"),
        ("evaluate-model", "embedder", "--embedder"),  # which it does not have
        ("ingest", "NAME", "NAME"),
        ("ingest", "--output", "--output"),
    ],
)
def test_an_argument_has_one_flag_in_a_command(command: str, argument: str, flag: str) -> None:
    assert flag_of(argument, main.commands[command]) == flag


def test_an_error_names_arguments_in_python_and_options_on_the_command_line() -> None:
    command = main.commands["search"]
    error = UsageError("got 9 s without `then_text`; give a longer `window_s`", argument="within_s")
    assert str(error) == "within_s: got 9 s without `then_text`; give a longer `window_s`"
    assert flag_text(error, command) == "--within: got 9 s without --then; give a longer --window"
    assert flag_text(UsageError("got '`window_s`', expected fast", argument="by")) == "--by: got '`window_s`', expected fast"


def test_an_error_about_a_file_or_a_model_names_it_unchanged() -> None:
    error = ModelError("no config.json; say where it is (`embedder`)", argument="embedder", value="`k`/m")
    assert str(error) == "embedder `k`/m: no config.json; say where it is (`embedder`)"
    assert flag_text(error, main.commands["search"]) == "--embedder `k`/m: no config.json; say where it is (--embedder)"


def test_an_error_of_the_library_names_its_option_on_the_command_line_alone() -> None:
    error = LibraryError("'/x' is damaged: `window_s` is 2 here")
    assert str(error) == "'/x' is damaged: `window_s` is 2 here"
    assert flag_text(error, main.commands["status"]) == "--library: '/x' is damaged: --window is 2 here"


@pytest.mark.parametrize("error", [UsageError, QueryError, LibraryError, ModelError])
def test_a_message_that_names_its_option_itself_stays_as_it_is(error: type[UsageError]) -> None:
    message = "--output: `x` is not empty"
    assert flag_text(error(message), main.commands["search"]) == message


@pytest.mark.parametrize(
    "error",
    [
        UsageError("got 0", argument="k"),
        UsageError("got 0"),
        QueryError("no table"),
        LibraryError("no library"),
        ModelError("no config.json", argument="base", value="m"),
    ],
)
def test_errors_travel_between_processes(error: UsageError) -> None:
    again = pickle.loads(pickle.dumps(error))
    assert (type(again), str(again), again.message, again.argument, again.value) == (
        type(error), str(error), error.message, error.argument, error.value
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
        (["ingest", ".", "--decoder", "vlc"], "vidsift: --decoder: got 'vlc', expected pyav, decord, torchcodec, nvdec\n"),
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
        (["tag", "cake", "--prompt", "x"], "vidsift: --prompt: got 'x', expected a text on one line with {} where the"),
        (["tag", " "], "vidsift: NAME: got '', expected a text on one line; say what to look for, such as 'falling down'\n"),
        (["evaluate", "t.csv", "--rerank", "-1"], "vidsift: --rerank: got -1, expected 0 or more\n"),
    ],
)
def test_the_command_speaks_of_options(tmp_path: Path, arguments: list[str], printed: str) -> None:
    done = CliRunner().invoke(main, [*arguments, "--library", str(tmp_path / "library")])
    assert (done.exit_code, done.stderr[: len(printed)]) == (2, printed)


@pytest.mark.parametrize(
    ("arguments", "code", "printed"),
    [
        (
            ["status", "--library", "DIR"],
            1,
            "--library: 'DIR' is not a vidsift library (it holds no library.json); make one",
        ),
        (["teach", "--examples", "DIR/e.csv", "--library", "DIR"], 2, "--examples DIR/e.csv: line 2: the path is empty; "),
        (["evaluate", "DIR/e.csv", "--library", "DIR"], 1, "--library: "),
        (["finetune", "DIR/e.csv", "--base", "DIR", "--output", "DIR/o"], 2, "DATA DIR/e.csv: line 2: the path is empty; "),
        (["finetune", "DIR/no", "--base", "DIR", "--output", "DIR/o"], 2, "DATA: no such file or folder: 'DIR/no'; give a "),
        (["finetune", "DIR", "--base", "m", "--output", "o", "--crop", "2"], 2, "--crop: got 2, expected 0.05 to 1\n"),
        (
            ["finetune", "DIR", "--base", "m", "--output", "o", "--random-window", "2"],
            2,
            "--random-window: got 2, expected 0.2 to 1\n",
        ),
        (
            ["pretrain", "DIR", "--base", "m", "--output", "o", "--mask-ratio", "1"],
            2,
            "--mask-ratio: got 1, expected 0.1 to 0.99\n",
        ),
        (
            ["align", "DIR", "--base", "DIR", "--output", "o"],
            1,
            "--base DIR: the folder holds no config.json; give a folder",
        ),
        (
            ["evaluate-model", "DIR", "DIR"],
            1,
            "MODEL DIR: the folder holds no config.json; give a folder in the hub's layout",
        ),
        (["evaluate-model", "m", "DIR", "--draws", "0"], 2, "--draws: got 0, expected 1 to 1000\n"),
        (["export", "DIR/no", "--to", "DIR/o"], 2, "HITS: 'DIR/no' cannot be read: No such file or directory; make the"),
        (["export", "DIR/e.csv", "--to", "DIR/o"], 2, "HITS DIR/e.csv: line 1: not JSON in UTF-8 ("),
        (["export", "DIR/h", "--to", "DIR"], 2, "--to DIR: is not empty, and nothing is overwritten; give another folder\n"),
        (["export", "DIR/h", "--to", "DIR/o", "--pad", "-1"], 2, "--pad: got -1 s, expected 0 to 3600 s\n"),
        (["preview", "DIR/no", "--gif", "DIR/x.png"], 2, "--gif: got 'DIR/x.png', expected a name that ends in .gif; "),
        (["preview", "DIR/no", "--gif", "DIR/x.gif", "--model", "DIR"], 1, "--model DIR: the folder holds no config.json; "),
        (
            ["dataset", "DIR/e.csv", "--sheet", "DIR/x.gif"],
            2,
            "--sheet: got 'DIR/x.gif', expected a name that ends in .png; ",
        ),
    ],
)
def test_the_command_names_files_and_models_beside_options(
    tmp_path: Path, arguments: list[str], code: int, printed: str
) -> None:
    (tmp_path / "e.csv").write_text("path\n ,\n".replace(" ,", '""'))
    (tmp_path / "h").write_text('{"path": "a.mp4", "start_s": 0, "end_s": 1}\n')
    done = CliRunner().invoke(main, [argument.replace("DIR", str(tmp_path)) for argument in arguments])
    expected = f"vidsift: {printed}".replace("DIR", str(tmp_path))
    assert (done.exit_code, done.stderr[: len(expected)]) == (code, expected)


_ROOT = Path(__file__).parents[2]

# Sentences that are stored in tables or printed in reports, and modules whose errors still name options themselves.
_NAMING_OPTIONS = {
    "index/search/hits.py", "index/sql/catalog.py", "index/sql/filters.py",
    "jobs/evaluate/library_report.py", "jobs/evaluate/model_inputs.py", "jobs/ingest/profile.py", "jobs/ingest/report.py",
    "jobs/ingest/workers.py", "pipeline/decoders/decord.py", "pipeline/decoders/frame_index.py",
    "jobs/annotate/work.py", "pipeline/decoders/torchcodec.py", "pipeline/probe.py", "pipeline/process.py", "schemas/sql.py",
}  # fmt: skip


def _names_options(file: Path) -> bool:
    """Whether a text in the code names an option of vidsift, other than within a whole command."""
    tree = ast.parse(file.read_text())
    documented = (ast.Module, ast.ClassDef, ast.FunctionDef)
    docstrings = {ast.get_docstring(node, clean=False) for node in ast.walk(tree) if isinstance(node, documented)}
    texts = [node.value for node in ast.walk(tree) if isinstance(node, ast.Constant) and isinstance(node.value, str)]
    texts = [re.sub(r"(vidsift|ray) (?![a-z]+ says).*", "", text) for text in texts if text not in docstrings]
    return any(re.search(r"(?<![\w-])--[a-z]", text) for text in texts)


def test_the_library_speaks_of_arguments() -> None:
    files = [file for layer in ("schemas", "pipeline", "index", "jobs") for file in (_ROOT / layer).rglob("*.py")]
    naming = {file.relative_to(_ROOT).as_posix() for file in files if _names_options(file)}
    assert naming <= _NAMING_OPTIONS
