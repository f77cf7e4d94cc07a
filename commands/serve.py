"""The command that shows libraries in a browser: ``serve``."""

from __future__ import annotations

import secrets
from pathlib import Path

import click

from commands.common import Command, echo, embedder_option, libraries_option, note
from schemas.errors import UsageError


@click.command(cls=Command)
@libraries_option
@click.option("--host", default="127.0.0.1", show_default=True, help="Address to listen on.")
@click.option("--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="Port; 0 takes any free one.")
@click.option("--name", "names", multiple=True, metavar="NAME", help="Host name to accept too; may be repeated.")
@click.option(
    "--token",
    metavar="TEXT",
    help="Secret that callers must send. [default: none on this machine alone, else a new one, which is printed]",
)
@click.option("--read-only", is_flag=True, help="Let nobody keep tags.")
@click.option("--open", "opens", is_flag=True, help="Open the page in a browser.")
@click.option(
    "--cache",
    "cache_folder",
    type=click.Path(path_type=Path, file_okay=False),
    metavar="DIR",
    help="Folder for pictures and moments. [default: ~/.cache/vidsift/pictures]",
)
@click.option(
    "--cache-mb",
    type=click.IntRange(16, 1 << 30),
    default=2048,
    show_default=True,
    help="Limit of that folder, in megabytes.",
)
@embedder_option
def serve(
    folders: tuple[Path, ...],
    host: str,
    port: int,
    names: tuple[str, ...],
    token: str | None,
    read_only: bool,
    opens: bool,
    cache_folder: Path | None,
    cache_mb: int,
    embedder: str | None,
) -> None:
    """Show libraries in a browser: search, play moments, SQL.

    It listens on this machine alone. With another --host, callers need the token, which the printed addresses hold.

    \b
    vidsift serve --library ~/videos.vidsift --open
    vidsift serve --library ~/videos.vidsift --library ~/talks.vidsift --port 9000
    vidsift serve --library ~/videos.vidsift --host 0.0.0.0
    """
    from server.access import is_loopback, shown_hosts
    from server.app import Settings, make_app
    from server.libraries import ServedLibraries
    from server.run import listen, run

    if token is not None and len(token) < 16:
        raise UsageError(f"got {len(token)} characters, expected 16 or more; leave it out for a new one", argument="token")
    if token is None and not is_loopback(host):
        token = secrets.token_urlsafe(24)
    libraries = ServedLibraries(folders, embedder=embedder, say=note)
    settings = Settings(
        host=host,
        names=names,
        token=token,
        may_write=not read_only,
        cache_folder=cache_folder or Path.home() / ".cache" / "vidsift" / "pictures",
        cache_mb=cache_mb,
    )
    listening = listen(host, port)
    rest = f":{listening.getsockname()[1]}/" + (f"?token={token}" if token else "")
    addresses = [f"http://{shown}{rest}" for shown in shown_hosts(host)]
    echo("\n".join(addresses))
    run(make_app(libraries, settings, note), listening, addresses[0] if opens else None)
