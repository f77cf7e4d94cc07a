"""Metrics for Prometheus, over HTTP."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from prometheus_client import CollectorRegistry, start_http_server

from schemas.errors import UsageError


@contextmanager
def metrics_server(registry: CollectorRegistry, host: str, port: int) -> Iterator[str]:
    """Answer with a registry's metrics while the block runs; gives the address, such as ``http://127.0.0.1:9100/metrics``.

    Args:
        registry: what holds the metrics.
        host: address or name to listen on.
        port: to listen on; 0 takes any free one.

    Raises:
        UsageError: nobody can listen there, as where the port is taken.
    """
    try:
        server, thread = start_http_server(port, host, registry)
    except (OSError, ValueError) as exc:  # ValueError of a name that no host can have
        reason = getattr(exc, "strerror", None) or exc
        raise UsageError(
            f"{host}:{port} cannot be listened at ({reason}); give another port, or 0 for any free one, and an address of "
            "this machine (`metrics_host`)",
            argument="metrics_port",
        ) from exc
    shown = f"[{host}]" if ":" in host else host
    try:
        yield f"http://{shown}:{server.server_port}/metrics"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
