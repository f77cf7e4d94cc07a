"""HTTP whose connections end where a request's headers do not arrive in time: uvicorn waits for them without an end."""

from __future__ import annotations

import asyncio

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol


class HeaderTimeoutProtocol(H11Protocol):
    """HTTP/1.1 as uvicorn speaks it, for `uvicorn.Config.http`. Headers that come byte by byte do not hold a connection.

    Attributes:
        headers_timeout_s: seconds from a connection's beginning, or from a further request's first byte, to the end of the
            request's headers. Bodies have a limit of their own (`server.body_limit`).
    """

    headers_timeout_s = 20.0
    _ending: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """Begin to wait for the first request."""
        super().connection_made(transport)
        self._wait()

    def data_received(self, data: bytes) -> None:
        """Stop to wait when the headers are there; begin when those of a further request are not."""
        super().data_received(data)
        if self.conn.their_state is not h11.IDLE:
            self._stop()
        elif self._ending is None:
            self._wait()

    def connection_lost(self, exc: Exception | None) -> None:
        """Stop to wait."""
        self._stop()
        super().connection_lost(exc)

    def _wait(self) -> None:
        self._ending = self.loop.call_later(self.headers_timeout_s, self.transport.close)

    def _stop(self) -> None:
        if self._ending is not None:
            self._ending.cancel()
            self._ending = None
