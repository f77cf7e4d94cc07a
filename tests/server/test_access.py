"""Who may ask the server, and how much."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from pathlib import Path

import pytest
from starlette.testclient import TestClient

from server.access import cookie_name, is_loopback, shown_hosts
from server.body_limit import BodyLimit
from tests.server.conftest import FilmLibrary, make_client

pytestmark = pytest.mark.slow

COOKIE = "vidsift-token-8765"
TOKEN = "a secret of more than sixteen characters"


@pytest.fixture(scope="module")
def guarded(film_library: FilmLibrary, tmp_path_factory: pytest.TempPathFactory) -> Iterator[TestClient]:
    with make_client(film_library.folder, tmp_path_factory.mktemp("cache"), token=TOKEN) as client:
        yield client


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("127.0.0.1:8765", 200),
        ("localhost:8765", 200),
        ("[::1]:8765", 200),
        ("192.168.1.7", 200),
        ("evil.example", 421),
        ("127.0.0.1.evil.example:8765", 421),
        ("[", 421),
        ("", 421),
    ],
)
def test_a_name_that_is_not_this_machines_is_refused(client: TestClient, host: str, status: int) -> None:
    assert client.get("/healthz", headers={"host": host}).status_code == status


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 200),
        ({"origin": "http://127.0.0.1:8765"}, 200),
        ({"origin": "https://evil.example"}, 403),
        ({"origin": "null"}, 403),
        ({"origin": "http://127.0.0.1:9999"}, 403),
        ({"sec-fetch-site": "same-origin"}, 200),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "no-cors"}, 403),
        ({"sec-fetch-site": "same-site", "sec-fetch-mode": "cors"}, 403),
        ({"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}, 200),
    ],
)
def test_other_sites_pages_cannot_ask(client: TestClient, headers: dict[str, str], status: int) -> None:
    assert client.get("/", headers=headers).status_code == status


def test_other_sites_pages_cannot_write_by_navigating(client: TestClient) -> None:
    headers = {"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}
    assert client.post("/api/tags", json={}, headers=headers).status_code == 403
    assert client.post("/api/tags", json={}, headers={"origin": "https://evil.example"}).status_code == 403


def test_pages_may_load_nothing_from_elsewhere(client: TestClient) -> None:
    for address in ("/", "/sql", "/library", "/api/status", "/static/script.js"):
        headers = client.get(address).headers
        assert headers["content-security-policy"].startswith("default-src 'none'; script-src 'self'; style-src 'self';")
        assert "access-control-allow-origin" not in headers
        assert (headers["x-content-type-options"], headers["referrer-policy"]) == ("nosniff", "no-referrer")


def test_without_the_token_nothing_is_answered(guarded: TestClient) -> None:
    for address in ("/", "/api/search?text=a", "/media/x", "/static/style.css", "/metrics", "/sql"):
        answer = guarded.get(address)
        assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer"), address
    assert guarded.get("/", headers={"authorization": f"Bearer {TOKEN[:-1]}"}).status_code == 401
    assert guarded.get("/", headers={b"authorization": b"Bearer \xe4", b"cookie": f"{COOKIE}=x".encode()}).status_code == 401
    assert guarded.get("/healthz").status_code == 200


def test_the_token_opens_and_does_not_stay_in_the_address(guarded: TestClient) -> None:
    assert guarded.get("/api/status", headers={"authorization": f"Bearer {TOKEN}"}).status_code == 200
    answer = guarded.get("/", params={"text": "juggling", "token": TOKEN}, follow_redirects=False)
    assert (answer.status_code, answer.headers["location"]) == (303, "/?text=juggling")
    cookie = answer.headers["set-cookie"]
    assert ("HttpOnly" in cookie, "samesite=strict" in cookie.lower()) == (True, True)
    guarded.cookies.clear()
    assert cookie.startswith(f"{COOKIE}=")
    assert guarded.get("/", headers={"cookie": cookie.split(";")[0]}).status_code == 200
    others = f"vidsift-token-8766=another; {cookie.split(';')[0]}; vidsift-token=old"
    assert guarded.get("/", headers={"cookie": others}).status_code == 200
    assert guarded.get("/", headers={"cookie": cookie.split(";")[0], "host": "127.0.0.1:8766"}).status_code == 401


@pytest.mark.parametrize(
    "address",
    [
        "/static/../app.py",
        "/static/%2e%2e/app.py",
        "/static/..%2f..%2fapp.py",
        "/media/..%2f..%2fetc%2fpasswd",
        "/media/%00",
    ],
)
def test_paths_lead_nowhere_else(client: TestClient, address: str) -> None:
    answer = client.get(address)
    assert (answer.status_code, "root:" in answer.text, "import" in answer.text) == (404, False, False)


def test_a_large_request_is_refused_before_it_is_read(client: TestClient) -> None:
    answer = client.post("/api/search", headers={"content-length": str(1 << 40)}, content=b"")
    assert (answer.status_code, answer.json()["detail"][:19]) == (413, "got more than 256 M")
    answer = client.post("/api/tags", content=b"[" * (5 << 20), headers={"content-type": "application/json"})
    assert answer.status_code == 413
    answer = client.post("/api/tags", content=b"[" * 100_000)
    assert (answer.status_code, answer.json()["detail"][:11]) == (400, "got no JSON")


@pytest.mark.anyio
async def test_a_slow_request_ends() -> None:
    """Its body comes byte by byte, and never ends."""
    import anyio

    from server.problems import Problem

    async def app(scope: object, receive: object, send: object) -> None:
        while True:
            await receive()  # type: ignore[operator]

    async def receive() -> dict[str, object]:
        await anyio.sleep(0.05)
        return {"type": "http.request", "body": b"x", "more_body": True}

    async def send(message: object) -> None:
        raise AssertionError(message)

    scope = {"type": "http", "headers": [], "method": "POST", "path": "/"}
    with pytest.raises(Problem) as refused:
        await BodyLimit(app, 1000, timeout_s=0.2)(scope, receive, send)
    assert refused.value.status == 408


@pytest.mark.parametrize(
    ("host", "is_one"),
    [("127.0.0.1", True), ("localhost", True), ("::1", True), ("127.8.8.8", True), ("0.0.0.0", False), ("nas", False)],
)
def test_loopback(host: str, is_one: bool) -> None:
    assert is_loopback(host) is is_one


@pytest.mark.parametrize(
    ("host", "name"),
    [("a:8765", "8765"), ("[::1]:9", "9"), ("a", "80"), ("a:x", "80"), ("a:99999", "80"), ("[", "80")],
)
def test_a_cookie_is_of_one_port(host: str, name: str) -> None:
    assert cookie_name(host) == f"vidsift-token-{name}"


def test_printed_addresses_can_be_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    assert [shown_hosts(host) for host in ("127.0.0.1", "::1", "nas", "192.168.1.7")] == [
        ["127.0.0.1"], ["[::1]"], ["nas"], ["192.168.1.7"],
    ]  # fmt: skip
    local, other = shown_hosts("0.0.0.0")
    assert (local, is_loopback(other), other.startswith("0.")) == ("127.0.0.1", False, False)
    monkeypatch.setattr("server.access._outgoing_address", lambda: None)
    assert shown_hosts("::") == ["[::1]", socket.gethostname()]


def test_the_folder_of_pictures_is_private(film_library: FilmLibrary, tmp_path: Path) -> None:
    with make_client(film_library.folder, tmp_path / "new" / "cache"):
        assert oct((tmp_path / "new" / "cache").stat().st_mode & 0o777) == "0o700"
