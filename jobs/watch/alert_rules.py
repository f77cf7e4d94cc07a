"""Alerts: saved searches of what is new, and who is told. They are written in a TOML file.

[[alert]]
name = "someone falls"
text = "a person falls down"
above = 0.6
url = "https://example.org/hook"
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args
from urllib.parse import urlsplit

from schemas.errors import UsageError

Kind = Literal["label", "tag", "text"]

_KINDS = get_args(Kind)
_KEYS = {"name", "above", "url", "command", *_KINDS}


@dataclass(frozen=True, slots=True)
class AlertRule:
    """A saved search, and who is told what it finds.

    Attributes:
        name: what it is called; what it has told is known by this name.
        kind: what it looks for: one of the classifier's labels, one of the library's tags, or a text.
        wanted: the label, the tag or the text.
        above: the least score, in [0, 1]: a label's or a tag's probability, or a text's confidence.
        url: where each message is posted to; None where a command is run.
        command: program and arguments that are run for each message; empty where there is a URL.
    """

    name: str
    kind: Kind
    wanted: str
    above: float
    url: str | None = None
    command: tuple[str, ...] = ()

    @property
    def receiver(self) -> str:
        """Who is told, for people: of a URL only the host, since the rest may be a secret."""
        return f"the host {urlsplit(self.url).hostname}" if self.url is not None else f"the command {self.command[0]!r}"


def read_rules(path: Path) -> list[AlertRule]:
    """The alerts of a file.

    Raises:
        UsageError: it cannot be read, or something in it is not valid.
    """
    if path.exists() and not path.is_file():  # which might never end
        raise UsageError("is no file; give a TOML file", argument="notify", value=path)
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as exc:
        raise UsageError(f"cannot be read: {exc.strerror}; give a TOML file", argument="notify", value=path) from exc
    except ValueError as exc:  # TOMLDecodeError and UnicodeDecodeError
        raise UsageError(f"is no TOML in UTF-8: {exc}", argument="notify", value=path) from exc
    tables = content.get("alert")
    if content.keys() != {"alert"} or not isinstance(tables, list) or not all(isinstance(of, dict) for of in tables):
        raise UsageError("expected tables [[alert]] and nothing else", argument="notify", value=path)
    rules = []
    for number, table in enumerate(tables, 1):
        try:
            rules.append(_rule(table))
        except ValueError as exc:
            raise UsageError(f"alert {number}: {exc}", argument="notify", value=path) from exc
    names = [rule.name for rule in rules]
    if twice := [name for name in names if names.count(name) > 1]:
        raise UsageError(f"two alerts are called {twice[0]!r}; give each its own name", argument="notify", value=path)
    return rules


def _rule(table: Mapping[str, Any]) -> AlertRule:
    """One table as a rule.

    Raises:
        ValueError: something in it is not valid.
    """
    if unknown := table.keys() - _KEYS:
        raise ValueError(f"got {min(unknown)!r}, expected {', '.join(sorted(_KEYS))}")
    kinds = [kind for kind in _KINDS if kind in table]
    if len(kinds) != 1:
        raise ValueError(f"got {' and '.join(kinds) or 'none'} of {', '.join(_KINDS)}, expected one")
    for key in ("name", kinds[0]):
        if not isinstance(table.get(key), str) or not table[key].strip():
            raise ValueError(f"{key}: got {table.get(key)!r}, expected a text")
    above = table.get("above")
    if isinstance(above, bool) or not isinstance(above, int | float) or not 0 <= above <= 1:
        raise ValueError(f"above: got {above!r}, expected a number from 0 to 1")
    if ("url" in table) == ("command" in table):
        raise ValueError("expected a url or a command, and not both")
    url, command = table.get("url"), table.get("command", ())
    if url is not None and not _is_web_address(url):
        raise ValueError("url: expected an address that begins with http:// or https://")
    is_command = isinstance(command, list) and command and all(isinstance(word, str) for word in command) and command[0]
    if url is None and not is_command:
        raise ValueError(
            f"command: got {command!r}, expected a program and its arguments, such as ['notify-send', 'vidsift']"
        )
    return AlertRule(table["name"].strip(), kinds[0], table[kinds[0]].strip(), float(above), url, tuple(command))


def _is_web_address(url: object) -> bool:
    try:
        parts = urlsplit(url) if isinstance(url, str) else None
        return parts is not None and parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:  # half an IPv6 address
        return False
