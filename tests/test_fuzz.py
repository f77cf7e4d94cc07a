"""Whatever is typed behind any option or in any argument's place: an answer, or a message that names it; no traceback."""

from __future__ import annotations

import gc
import itertools
import os
import resource
import shutil
import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click
import pytest
import torch
from click.testing import CliRunner, Result

from cli import main
from index.storage.config import LibraryConfig
from pipeline.models.base import Embedder
from pipeline.models.registry import load_embedder
from schemas.errors import JobError
from schemas.models import Checkpoint

pytestmark = pytest.mark.slow

# What an option is given where a number, a text, or a file is wanted; each list is tried wherever it could be meant.
NUMBERS = (
    "", "0", "-0.0", "1", "1.5", "-1", "nan", "inf", "-inf", "1e400", "1e-320", "2147483648", "99999999999999999999",
    "9" * 5000, "0x10", "٣", "½", "two",
)  # fmt: skip
TEXTS = (
    "", " \t", "--", "a\0b", "caf\udce9", "\ud800", "\x1b[31m\r\n😀\u202e", "x" * 100_000, "*?[!a]{}%s'\";--",
    "-9223372036854775809", "99999999999999999999", "a@9999999999999999999999-nan",
)  # fmt: skip
# Placeholders in angle brackets are files that the fixture makes.
FILES = (
    "<missing>", "<folder>", "<empty folder>", "<empty file>", "<text file>", "<binary file>", "<closed folder>",
    "<link to itself>", "<pipe>", "<socket>", "/dev/null", "/dev/zero", "/dev/full", "/proc/self/mem", "/proc/self",
    ".", "..", "~", "<text file>/below", "<missing>/below", "<video>", "<video>@1-0", "<picture>", "<library>",
    "n" * 300, "n/" * 3000, "<folder>/[a-b]*?%20ü.csv",
)  # fmt: skip

# A call of each command that works but for what is then put into it, or that a stand-in ends before it costs anything.
CALLS: dict[str, list[str]] = {
    "ingest": ["<videos>", "--library", "<library>"],
    "watch": ["<videos>", "--library", "<library>"],
    "annotate": ["subtitles", "--library", "<library>"],
    "search": ["a dog", "--library", "<library>"],
    "highlights": ["--where", "true", "--library", "<library>"],
    "duplicates": ["--library", "<library>"],
    "serve": ["--library", "<library>", "--port", "0", "--cache", "<missing>"],
    "mcp": ["--library", "<library>"],
    "sql": ["select 1 as one", "--library", "<library>"],
    "schema": [],
    "tag": ["a dog", "--library", "<library>"],
    "untag": ["falling down", "--library", "<library>"],
    "teach": ["waving", "--examples", "<examples>", "--library", "<library>"],
    "status": ["--library", "<library>"],
    "convert": ["<weights>", "--family", "r3d_18", "--output", "<missing>"],
    "models": ["--kind", "embedder"],
    "export-model": ["<classifier>", "--output", "<missing>"],
    "history": ["--library", "<library>"],
    "rollback": ["1", "--library", "<library>"],
    "relocate": ["/", "<missing>", "--library", "<library>"],
    "compact": ["--library", "<library>"],
    "verify": ["--library", "<library>"],
    "evaluate": ["<truth>", "--library", "<library>"],
    "export": ["<hits>", "--to", "<missing>"],
    "demo": ["<missing>"],
    "finetune": ["<classes>", "--base", "pocket", "--output", "<missing>"],
    "pretrain": ["<classes>", "--base", "pocket", "--output", "<missing>"],
    "align": ["<captions>", "--base", "pocket", "--output", "<missing>"],
    "dataset": ["<classes>"],
    "preview": ["<video>", "--gif", "<missing>.gif", "--model", "pocket"],
    "evaluate-model": ["<classifier>", "<classes>"],
}  # fmt: skip
# Of files that are read or written from end to end, where a pipe makes sense; nobody is at the other end of this one.
_MAY_WAIT = ("examples", "truth", "captions", "hits", "output", "trace", "source", "data")
_IS_WALKED = ("sources", "source", "data")  # through all that is below
_IS_WRITTEN = ("output", "out", "trace", "sheet", "folder", "cache")  # which root might do to a device, too
_NUMBERS = itertools.count()
# What a call needs besides where the option's value makes something new.
_NEW = {(name, "--library"): ("--classifier", "pocket", "--embedder", "pocket") for name in ("ingest", "watch")}
STOOD_IN = "a stand-in has ended it"
_MEANS_FILES = ("classifier", "embedder", "base", "model", "like", "hits")
_MAX_S = 20.0
_MAX_BYTES = 8 << 30


class TookTooLong(BaseException):
    """A call hangs."""


@contextmanager
def ended_after(seconds: float) -> Iterator[None]:
    """Raises `TookTooLong` where what is in it does not end."""

    def end(*_: object) -> None:
        raise TookTooLong

    before = signal.signal(signal.SIGUSR1, end)
    timer = threading.Timer(seconds, signal.pthread_kill, (threading.main_thread().ident, signal.SIGUSR1))
    timer.start()
    try:
        yield
    finally:
        timer.cancel()
        signal.signal(signal.SIGUSR1, before)


@pytest.fixture
def files(
    whole_library: Path, tmp_path: Path, classifier_checkpoint: Checkpoint, monkeypatch: pytest.MonkeyPatch
) -> dict[str, str]:
    """The placeholders, each with its path; made anew for each command."""
    from PIL import Image

    for name in ("folder", "empty folder", "closed folder", "classes/made-up action 00", "classes/made-up action 01"):
        (tmp_path / name).mkdir(parents=True)
    videos = whole_library.parent / "videos"
    video = videos / "a.mp4"
    contents: dict[str, str | bytes] = {
        "empty file": b"",
        "text file": "one,two\n1,2\n",
        "binary file": bytes(range(256)) * 64,
        "examples": f"path,start_s,end_s,tag\n{video},0,2,waving\n{video},4,6,waving\n",
        "truth": f"path,start_s,end_s,caption\n{video},0,4,a dog\n",
        "captions": f"path,caption\n{video},a dog\n",
        "hits": f'{{"path": "{video}", "start_s": 0, "end_s": 2}}\n',
        "folder/note.txt": "",
    }
    for name, content in contents.items():
        (tmp_path / name).write_bytes(content.encode() if isinstance(content, str) else content)
    for name in ("classes/made-up action 00/1.mp4", "classes/made-up action 01/1.mp4"):
        shutil.copy(video, tmp_path / name)
    shutil.copy(video, tmp_path / "video.mp4")
    (tmp_path / "link to itself").symlink_to(tmp_path / "link to itself")
    os.mkfifo(tmp_path / "pipe")
    Image.new("RGB", (8, 8)).save(tmp_path / "picture.png")
    shutil.copytree(whole_library, tmp_path / "library")
    import socket

    with socket.socket(socket.AF_UNIX) as listening:
        monkeypatch.chdir(tmp_path)
        listening.bind("socket")
    torch.save({"weight": torch.ones(1)}, tmp_path / "weights")
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))  # for what takes a ~ for it
    (tmp_path / "closed folder").chmod(0)
    names = {
        "picture": str(tmp_path / "picture.png"),
        "video": str(tmp_path / "video.mp4"),
        "videos": str(videos),
        "classifier": classifier_checkpoint.folder,
    }
    listed = ("missing", "folder", "empty folder", "empty file", "text file", "binary file", "closed folder",
              "link to itself", "pipe", "socket", "library", "examples", "truth", "captions", "hits", "classes",
              "weights")  # fmt: skip
    return {name: str(tmp_path / name) for name in listed} | names


@pytest.fixture(scope="module")
def model(embedder_checkpoint: Checkpoint) -> Iterator[Embedder]:
    """The library's embedder; and what is in memory by now is no garbage, which every error of a command looks for."""
    made = load_embedder(embedder_checkpoint, "fp32")
    torch.set_num_threads(1)
    gc.collect()
    gc.freeze()
    yield made
    gc.unfreeze()


@pytest.fixture(autouse=True)
def little_memory(model: Embedder) -> Iterator[None]:
    """What is read without end meets an end."""
    before = resource.getrlimit(resource.RLIMIT_AS)
    in_use = int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    resource.setrlimit(resource.RLIMIT_AS, (in_use + _MAX_BYTES, before[1]))
    yield
    resource.setrlimit(resource.RLIMIT_AS, before)


@pytest.fixture(autouse=True)
def stand_ins(monkeypatch: pytest.MonkeyPatch, model: Embedder) -> None:
    """Nothing that takes long is begun: no Ray, no training, no demo; a model is loaded once."""
    from index.search import searcher, text_encoder
    from jobs.tag import tag
    from jobs.train import run

    def ended(*_: object, **__: object) -> None:
        raise JobError(STOOD_IN)

    monkeypatch.setattr("jobs.ingest.ray_startup.RaySession.begin", ended)
    monkeypatch.setattr("jobs.annotate.annotate.on_ray", ended)
    monkeypatch.setattr("jobs.watch.arrivals.FolderArrivals.wait", ended)

    def find(identity: LibraryConfig, given: str | None = None) -> Embedder:
        return really_find(identity, given) if given is not None else model

    really_find = text_encoder.find_embedder
    monkeypatch.setattr(searcher, "find_embedder", find)
    monkeypatch.setattr(tag, "load_embedder", lambda *_: model)
    monkeypatch.setattr(run, "cache_clips", ended)
    monkeypatch.setattr("demo.tour.plan", ended)
    monkeypatch.setattr("server.run.run", ended)
    monkeypatch.setattr("server.assistants.run_assistants_server", ended)
    monkeypatch.setattr("jobs.convert.convert._of_family", ended)
    monkeypatch.setattr("jobs.evaluate.library.Searcher", ended)
    monkeypatch.setattr("jobs.evaluate.model.load_classifier", ended)


def params_of(command: str) -> list[click.Parameter]:
    """All trainings share most of their options, and so do ingest and watch; these are looked at once."""
    params = main.commands[command].params
    shares = {"pretrain": "finetune", "align": "finetune", "watch": "ingest"}
    shared = {param.name for param in main.commands[shares[command]].params} if command in shares else set()
    return [param for param in params if param.name not in shared]


def values_of(param: click.Parameter) -> list[str]:
    if isinstance(param, click.Option) and param.is_flag:
        return []
    if isinstance(param.type, click.types.IntParamType | click.types.FloatParamType):
        return [*NUMBERS, "caf\udce9", "a\0b", "\x1b[31m"]
    if isinstance(param.type, click.Choice):
        return [*NUMBERS[:3], *TEXTS]
    if not isinstance(param.type, click.Path) and param.name not in _MEANS_FILES:
        return [*TEXTS]
    never = {"<pipe>"} if param.name in _MAY_WAIT else set()
    never |= {"/proc/self", "..", "."} if param.name in _IS_WALKED else set()
    never |= {"/dev/null", "/dev/zero", "/dev/full"} if param.name in _IS_WRITTEN and not os.getuid() else set()
    return [*TEXTS, *(file for file in FILES if file not in never)]


def called(command: str, param: click.Parameter, value: str) -> tuple[list[str], tuple[str, ...]]:
    """The arguments of a call with ``value`` there, and how a message may name its place."""
    arguments = list(CALLS[command])
    options = {option: at for at, option in enumerate(arguments) if option.startswith("-")}
    first = min(options.values(), default=len(arguments))
    if isinstance(param, click.Argument):
        given, rest = arguments[:first], arguments[first:]
        place = [one for one in main.commands[command].params if isinstance(one, click.Argument)].index(param)
        given[place : place + 1] = [value]
        return [command, *rest, "--", *given], (
            "an argument",
            str(param.metavar or param.name).strip(".[]").upper().split(".")[0],
        )
    for name in (*param.opts, *param.secondary_opts):
        if name in options:
            arguments[options[name] + 1] = value
            return [command, *arguments, *_NEW.get((command, name), ())], tuple(param.opts)
    return [command, *arguments, param.opts[-1], value], tuple(param.opts)


def run(arguments: list[str]) -> Result:
    with ended_after(_MAX_S):
        return CliRunner().invoke(main, arguments)


@pytest.mark.parametrize("command", list(main.commands))
def test_every_value_is_answered(command: str, files: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    if command in ("ingest", "annotate", "watch"):
        monkeypatch.setattr(
            "index.snapshot.publish._is_up_to_date", lambda *_: True
        )  # which costs more than all else that is done
    wrong: list[str] = []
    for param in params_of(command):
        for value in values_of(param):
            arguments, names = called(command, param, value)
            arguments = [_filled(argument, files) for argument in arguments]
            try:
                done = run(arguments)
            except TookTooLong:
                wrong.append(f"{names} {value[:60]!r}: does not end")
                continue
            told = breach(done, names)
            if told:
                wrong.append(f"{names} {value[:60]!r}: {told}")
    assert not wrong, "\n".join(wrong)


def breach(done: Result, names: tuple[str, ...]) -> str | None:
    error = done.exception
    if error is not None and not isinstance(error, SystemExit):
        return f"{type(error).__name__}: {str(error)[:300]}"
    if done.exit_code not in (0, 1, 2):
        return f"exit code {done.exit_code}"
    if "Traceback" in done.output:
        return "a traceback is printed"
    if (
        done.exit_code
        and done.stdout == ""
        and not any(name.casefold() in done.stderr.casefold() for name in (*names, STOOD_IN))
    ):
        return f"the message does not name it: {done.stderr[:200]!r} {done.stderr[-200:]!r}"
    if len(done.stderr) > 20_000 and done.exit_code:
        return f"a message of {len(done.stderr)} characters"
    return None


def _filled(argument: str, files: dict[str, str]) -> str:
    """With the paths of files in it; what is missing is missing each time."""
    for name, path in files.items():
        argument = argument.replace(f"<{name}>", f"{path}-{next(_NUMBERS)}" if name == "missing" else path)
    return argument
