"""Runs the server: a socket, and uvicorn on it until it is told to end."""

from __future__ import annotations

import asyncio
import errno
import socket
import webbrowser

import uvicorn
from starlette.types import ASGIApp

from schemas.errors import UsageError
from server.header_timeout import HeaderTimeoutProtocol

# Connections at a time, above which a call is answered with 503.
_MOST_CONNECTIONS = 512


def listen(host: str, port: int) -> socket.socket:
    """A socket that listens on an address; ``port`` 0 takes any that is free.

    Raises:
        UsageError: the address is not this machine's, or something else listens there.
    """
    try:
        found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0]
    except (OSError, UnicodeError) as exc:
        reason = getattr(exc, "strerror", None) or "no name of a host"
        raise UsageError(f"got {host!r}, expected an address of this machine ({reason})", argument="host") from exc
    listening = socket.socket(found[0], socket.SOCK_STREAM)
    try:
        listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listening.bind(found[4])
        listening.listen(128)
    except OSError as exc:
        listening.close()
        if exc.errno == errno.EADDRINUSE:
            raise UsageError(f"got {port}, and something else listens there; give another", argument="port") from exc
        raise UsageError(f"got {host!r} and port {port}: {exc.strerror}; give others", argument="host") from exc
    return listening


def run(app: ASGIApp, listening: socket.socket, open_address: str | None) -> None:
    """Serve until Ctrl-C or SIGTERM; with an address, open it in a browser first."""
    config = uvicorn.Config(
        app,
        log_level="warning",
        access_log=False,
        server_header=False,
        ws="none",
        http=HeaderTimeoutProtocol,
        limit_concurrency=_MOST_CONNECTIONS,
        timeout_keep_alive=15,
        timeout_graceful_shutdown=3,
    )
    server = uvicorn.Server(config)
    if open_address is not None:
        webbrowser.open(open_address)
    asyncio.run(server.serve(sockets=[listening]))
