"""The command that offers libraries to assistants: ``mcp``."""

from __future__ import annotations

from pathlib import Path

import click

from commands.common import Command, embedder_option, libraries_option, note
from schemas.errors import UsageError


@click.command(cls=Command)
@libraries_option
@embedder_option
def mcp(folders: tuple[Path, ...], embedder: str | None) -> None:
    """Let assistants search libraries, over MCP.

    It speaks the Model Context Protocol on standard input and output, for the program that an assistant runs in. Nothing can
    be changed through it. It needs vidsift[mcp].

    \b
    vidsift mcp --library ~/videos.vidsift
    """
    try:
        from server.assistants import run_assistants_server
    except ModuleNotFoundError as exc:
        if exc.name not in ("mcp", "mcp_types"):
            raise
        raise UsageError("the package mcp is not installed; install it with: pip install 'vidsift[mcp]'") from exc
    from server.libraries import ServedLibraries

    run_assistants_server(ServedLibraries(folders, embedder=embedder, say=note))
