"""Who may ask: checks of Host, Origin and the token before anything else, and the headers that keep a page to itself."""

from __future__ import annotations

import hmac
import ipaddress
import socket
from collections.abc import Iterable
from http import HTTPStatus
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import cookie_parser
from starlette.responses import RedirectResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from server.problems import Problem, problem_response

_DEFAULT_PORT = 80  # which browsers leave out of Host

_POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' blob:; media-src 'self' blob:; "
    "connect-src 'self'; form-action 'self'; base-uri 'none'; frame-ancestors 'none'"
)

# On every answer.
_HEADERS = {
    "content-security-policy": _POLICY,
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-resource-policy": "same-origin",
    "cross-origin-opener-policy": "same-origin",
}

_SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})


class Access:
    """An ASGI application around another, which lets through who may ask.

    - Host has to be an address, localhost or a name of this machine: a name that an attacker points at this machine (DNS
      rebinding) is refused with 421.
    - What another site's page makes a browser ask is refused with 403, but for following a link to a page.
    - With a token, a call has to bring it: as ``Authorization: Bearer``, as a cookie, or once as ``?token=`` in the address
      of a page, which sets the cookie. Else 401.
    """

    def __init__(self, app: ASGIApp, *, host: str, token: str | None, names: Iterable[str] = ()) -> None:
        """Wrap ``app``.

        Args:
            app: what answers.
            host: the address or name that the server listens on.
            token: the secret; None asks for none.
            names: other names under which the server may be asked.
        """
        self._app, self._token = app, token
        self._names = {host.lower(), "localhost", socket.gethostname().lower(), *(name.lower() for name in names)}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
            return
        if scope["type"] != "http":  # there are no WebSockets here
            return
        headers = Headers(scope=scope)

        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                answer = MutableHeaders(scope=message)
                for name, value in _HEADERS.items():
                    answer.setdefault(name, value)
            await send(message)

        try:
            self._check(scope, headers)
        except Problem as problem:
            await problem_response(problem)(scope, receive, send_with_headers)
            return
        if self._token is not None and scope["method"] == "GET" and "token" in dict(_query(scope)):
            await self._remember(scope)(scope, receive, send_with_headers)
            return
        await self._app(scope, receive, send_with_headers)

    def _check(self, scope: Scope, headers: Headers) -> None:
        host = headers.get("host", "")
        if not self._is_own(host):
            raise Problem(
                HTTPStatus.MISDIRECTED_REQUEST,
                f"got the host {host!r}, expected this machine's address or name; open it by its address, or start "
                "vidsift serve with --name for another name",
            )
        origin = headers.get("origin")
        if origin is not None and _host_of(origin) != host.lower():
            raise Problem(HTTPStatus.FORBIDDEN, f"got a call from a page of {origin}, expected one of this server")
        from_elsewhere = headers.get("sec-fetch-site") in ("cross-site", "same-site")
        if from_elsewhere and not (headers.get("sec-fetch-mode") == "navigate" and scope["method"] in _SAFE_METHODS):
            raise Problem(HTTPStatus.FORBIDDEN, "got a call from another site's page, expected one of this server")
        if self._token is not None and scope["path"] != "/healthz" and not self._has_token(scope, headers):
            raise Problem(
                HTTPStatus.UNAUTHORIZED,
                "got no valid token; open the address that vidsift serve printed, or send Authorization: Bearer TOKEN",
                {"www-authenticate": "Bearer"},
            )

    def _is_own(self, host: str) -> bool:
        try:
            name = urlsplit(f"//{host}").hostname or ""
        except ValueError:
            return False
        if name in self._names:
            return True
        try:
            ipaddress.ip_address(name)
        except ValueError:
            return False
        return True

    def _has_token(self, scope: Scope, headers: Headers) -> bool:
        assert self._token is not None
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = [
            bearer if scheme.lower() == "bearer" else "",
            cookie_parser(headers.get("cookie", "")).get(cookie_name(headers.get("host", "")), ""),
            dict(_query(scope)).get("token", ""),
        ]
        # All are compared, so that the time tells nothing.
        return any([hmac.compare_digest(one.encode(), self._token.encode()) for one in given])

    def _remember(self, scope: Scope) -> RedirectResponse:
        """Keep the token as a cookie, and go to the same address without it."""
        rest = [(key, value) for key, value in _query(scope) if key != "token"]
        response = RedirectResponse(
            "/" + scope["path"].lstrip("/") + (f"?{urlencode(rest)}" if rest else ""), HTTPStatus.SEE_OTHER
        )
        assert self._token is not None
        response.set_cookie(
            cookie_name(Headers(scope=scope).get("host", "")), self._token, httponly=True, samesite="strict", path="/"
        )
        return response


def _host_of(origin: str) -> str | None:
    """The host and port of an origin, in lower case; None for what is no address."""
    try:
        return urlsplit(origin).netloc.lower()
    except ValueError:
        return None


def _query(scope: Scope) -> list[tuple[str, str]]:
    """The parameters of the address, in order."""
    return parse_qsl(scope["query_string"].decode("latin-1"))


def cookie_name(host: str) -> str:
    """The cookie that keeps the token of the server that a browser asks as ``host``.

    A browser sends a host's cookies to all of its ports: with the port in the name, several servers do not take them for
    their own. The port is the one that the browser knows, which may lead to another one here.
    """
    try:
        port = urlsplit(f"//{host}").port
    except ValueError:
        port = None
    return f"vidsift-token-{port or _DEFAULT_PORT}"


def shown_hosts(host: str) -> list[str]:
    """The hosts that an address may name for a server which listens on ``host``, the nearest first.

    For all addresses of this machine, those are its own one and the one that other machines reach, or else its name.
    """
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return [host]
    if not address.is_unspecified:
        return [f"[{host}]" if address.version == 6 else host]
    return ["127.0.0.1" if address.version == 4 else "[::1]", _outgoing_address() or socket.gethostname()]


def _outgoing_address() -> str | None:
    """The address by which this machine reaches others; None without a network."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as asking:
        try:
            asking.connect(("192.0.2.1", 9))  # an address for examples; connecting sends nothing
            found = str(asking.getsockname()[0])
        except OSError:
            return None
    return None if is_loopback(found) else found


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches what listens on ``host``."""
    if host.lower() == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
