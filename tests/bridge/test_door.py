"""Who may come in: Host, Origin, site, proxy, and who a visitor is then (issue, webhooks 5)."""

from __future__ import annotations

from typing import Any, Final

import pytest
from starlette.requests import Request

from sidecar.addresses import AddressError
from sidecar.bridge import Bridge
from sidecar.bridge.options import BridgeOptions
from sidecar.bridge.visitors import Visitor, visitor_of
from tests.bridge.harness import Reply, ask, bridge_on, parts_of
from tests.bridge.peer import peer_of
from tests.server.harness import Sidecar

NAMED: Final = BridgeOptions(allowed_hosts=frozenset({"bot.example.com", "only.example.com:8443"}))
PROXIED: Final = BridgeOptions(
    is_exposed=True,
    is_behind_proxy=True,
    allowed_hosts=frozenset({"bot.example.com"}),
    trusted_hosts=frozenset({"127.0.0.1", "10.0.0.0/24"}),
)


class Seeing:
    """An application that keeps who came."""

    def __init__(self) -> None:
        """Nobody has come."""
        self.visitors: list[Visitor] = []

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        """Answer one request."""
        await receive()
        self.visitors.append(visitor_of(Request(scope)))
        headers = [(b"content-length", b"0"), (b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b""})


def verdict(reply: Reply) -> tuple[int, str]:
    """Return status and reason, empty where it passed."""
    return reply.status, reply.json()["reason"] if reply.status != 200 else ""


PASSED: Final = (200, "")
MISDIRECTED: Final = (421, "HOST_NOT_ALLOWED")
HOSTS: Final = {
    "localhost": PASSED,
    "LocalHost:8080": PASSED,
    "127.0.0.1": PASSED,
    "127.8.9.10:1": PASSED,
    "[::1]": PASSED,
    "[::1]:8080": PASSED,
    "[0:0:0:0:0:0:0:1]": PASSED,
    "bot.example.com": PASSED,
    "BOT.example.com:9": PASSED,
    "only.example.com:8443": PASSED,
    "only.example.com": MISDIRECTED,
    "only.example.com:8444": MISDIRECTED,
    "evil.example.com": MISDIRECTED,
    "bot.example.com.": MISDIRECTED,
    "bot.example.com.evil.com": MISDIRECTED,
    "localhost.evil.com": MISDIRECTED,
    "localhost.": MISDIRECTED,
    "127.0.0.1.nip.io": MISDIRECTED,
    "127.1": MISDIRECTED,
    "2130706433": MISDIRECTED,
    "0x7f000001": MISDIRECTED,
    "0.0.0.0": MISDIRECTED,  # noqa: S104 - a name that is asked for
    "[::]": MISDIRECTED,
    "[::ffff:127.0.0.1]": MISDIRECTED,
    "::1": MISDIRECTED,
    "10.0.0.1": MISDIRECTED,
    "localhost:": MISDIRECTED,
    "localhost:http": MISDIRECTED,
    "localhost:8080:8080": MISDIRECTED,
    "evil@localhost": MISDIRECTED,
    "localhost, evil": MISDIRECTED,
    "localhost/evil": MISDIRECTED,
    "*": MISDIRECTED,
}


@pytest.mark.parametrize("host", HOSTS)
async def test_host_names_this_machine_or_what_was_allowed(sidecar: Sidecar, host: str) -> None:
    """Any other name is 421: a page whose name was pointed at us (DNS rebinding) hears nothing."""
    async with bridge_on(sidecar, options=NAMED) as bridge:
        reply = await ask(bridge, "GET", "/healthz", headers={"Host": host})
        assert verdict(reply) == HOSTS[host]


STRANGE: Final = (403, "ORIGIN_REFUSED")
CROSS: Final = (403, "CROSS_SITE_REFUSED")
ORIGINS: Final = [
    ("GET", "localhost:8080", {"Origin": "http://localhost:8080"}, PASSED),
    ("GET", "localhost", {"Origin": "http://localhost"}, PASSED),
    ("GET", "localhost", {"Origin": "http://localhost:80"}, PASSED),
    ("GET", "localhost:80", {"Origin": "http://LOCALHOST"}, PASSED),
    ("GET", "[::1]:8080", {"Origin": "http://[::1]:8080"}, PASSED),
    ("GET", "localhost:8080", {"Origin": "http://localhost:8081"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "http://localhost"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "https://localhost:8080"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "http://127.0.0.1:8080"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "http://evil.com"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "http://localhost:8080.evil.com"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "http://localhost:8080@evil.com"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "http://localhost:8080/"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "null"}, STRANGE),
    ("GET", "localhost:8080", {"Origin": ""}, STRANGE),
    ("GET", "localhost:8080", {"Origin": "file://"}, STRANGE),
    ("GET", "localhost:8080", {"Sec-Fetch-Site": "cross-site"}, PASSED),
    ("POST", "localhost:8080", {"Sec-Fetch-Site": "same-origin"}, PASSED),
    ("POST", "localhost:8080", {"Sec-Fetch-Site": "none"}, PASSED),
    ("POST", "localhost:8080", {"Sec-Fetch-Site": "cross-site"}, CROSS),
    ("POST", "localhost:8080", {"Sec-Fetch-Site": "same-site"}, CROSS),
    ("DELETE", "localhost:8080", {"Sec-Fetch-Site": "cross-site"}, CROSS),
    ("POST", "localhost:8080", {"Origin": "http://evil.com"}, STRANGE),
    ("OPTIONS", "localhost:8080", {"Origin": "http://localhost:8080"}, (405, "METHOD_NOT_ALLOWED")),
    ("TRACE", "localhost:8080", {}, (405, "METHOD_NOT_ALLOWED")),
]


@pytest.mark.parametrize(("method", "host", "headers", "expected"), ORIGINS)
async def test_a_request_of_a_page_comes_from_this_very_place(
    sidecar: Sidecar,
    method: str,
    host: str,
    headers: dict[str, str],
    expected: tuple[int, str],
) -> None:
    """Scheme, host and port of an Origin are this one's; another site's page sends no change."""
    app = Seeing()
    async with bridge_on(sidecar, app=app) as bridge:
        reply = await ask(bridge, method, "/x", headers={"Host": host} | headers)
        assert verdict(reply) == expected
        assert b"access-control" not in reply.head.lower()
        assert len(app.visitors) == (1 if expected == PASSED else 0)


async def test_a_visitor_of_this_machine_is_local(sidecar: Sidecar) -> None:
    """Where nothing is exposed, a peer on loopback without a proxy's header is local."""
    app = Seeing()
    async with bridge_on(sidecar, app=app) as bridge:
        await ask(bridge, "GET", "/x")
        (visitor,) = app.visitors
        assert (visitor.is_local, visitor.role, visitor.scheme) == (True, None, "http")
        assert visitor.peer.startswith("http:127.0.0.1:")


@pytest.mark.parametrize(
    "name",
    [
        *("Forwarded", "X-Forwarded-For", "X-Forwarded-Host", "X-Forwarded-Proto", "x-forwarded-x"),
        *("Via", "X-Real-IP", "X-Client-IP", "CF-Connecting-IP", "True-Client-IP"),
    ],
)
async def test_who_comes_through_a_proxy_nobody_declared_is_a_stranger(
    sidecar: Sidecar, name: str
) -> None:
    """A forwarding header is never believed, and costs the sender the place on this machine."""
    app = Seeing()
    async with bridge_on(sidecar, app=app) as bridge:
        await ask(bridge, "GET", "/x", headers={name: "127.0.0.1"})
        (visitor,) = app.visitors
        assert not visitor.is_local
        assert visitor.peer.startswith("http:127.0.0.1:")


async def test_an_exposed_bridge_has_no_local_visitor(sidecar: Sidecar) -> None:
    """Where anybody may come, this machine is nobody special."""
    app = Seeing()
    async with bridge_on(sidecar, app=app, options=BridgeOptions(is_exposed=True)) as bridge:
        await ask(bridge, "GET", "/x")
        assert not app.visitors[0].is_local


@pytest.mark.parametrize(
    ("headers", "peer"),
    [
        ({}, "http:127.0.0.1:"),
        ({"X-Forwarded-For": "203.0.113.5"}, "http:203.0.113.5 via 127.0.0.1:"),
        ({"X-Forwarded-For": "6.6.6.6, 203.0.113.5"}, "http:203.0.113.5 via 127.0.0.1:"),
        ({"X-Forwarded-For": "203.0.113.5, 10.0.0.7"}, "http:203.0.113.5 via 127.0.0.1:"),
        ({"X-Forwarded-For": "2001:db8::1"}, "http:2001:db8::1 via 127.0.0.1:"),
        ({"X-Forwarded-For": "10.0.0.7"}, "http:127.0.0.1:"),
        ({"X-Forwarded-For": "nonsense"}, "http:127.0.0.1:"),
        ({"X-Forwarded-For": "203.0.113.5, <script>"}, "http:127.0.0.1:"),
        ({"X-Forwarded-For": ""}, "http:127.0.0.1:"),
        ({"X-Forwarded-For": "fe80::1%<script>"}, "http:127.0.0.1:"),
        ({"X-Forwarded-For": "fe80::1%" + "x" * 9_000}, "http:127.0.0.1:"),
    ],
)
async def test_a_proxy_of_ours_says_whom_it_stands_for(
    sidecar: Sidecar, headers: dict[str, str], peer: str
) -> None:
    """The last address that is no proxy of ours is the visitor; what it says itself counts not."""
    app = Seeing()
    async with bridge_on(sidecar, app=app, options=PROXIED) as bridge:
        await ask(bridge, "GET", "/x", headers={"Host": "bot.example.com"} | headers)
        (visitor,) = app.visitors
        assert visitor.peer.startswith(peer)
        assert not visitor.is_local


@pytest.mark.parametrize(
    ("proto", "origin", "expected"),
    [
        (None, "https://bot.example.com", PASSED),
        ("https", "https://bot.example.com", PASSED),
        ("https", "http://bot.example.com", STRANGE),
        ("http", "http://bot.example.com", PASSED),
        ("http", "https://bot.example.com", STRANGE),
        ("http, http", "http://bot.example.com", PASSED),
        ("https, http", "http://bot.example.com", STRANGE),
        ("http\r\nX-Forwarded-Proto: https", "http://bot.example.com", STRANGE),
        ("http\r\nX-Forwarded-Proto: https", "https://bot.example.com", PASSED),
    ],
)
async def test_behind_a_proxy_the_scheme_is_the_visitors(
    sidecar: Sidecar, proto: str | None, origin: str, expected: tuple[int, str]
) -> None:
    """The proxies say which scheme the address bar shows; https unless all that speak say http.

    Two proxies may each add the header: a stop is not refused for that.
    """
    headers = {"Host": "bot.example.com", "Origin": origin}
    headers |= {} if proto is None else {"X-Forwarded-Proto": proto}
    async with bridge_on(sidecar, app=Seeing(), options=PROXIED) as bridge:
        assert verdict(await ask(bridge, "GET", "/x", headers=headers)) == expected


async def test_behind_a_proxy_nobody_else_connects(sidecar: Sidecar) -> None:
    """Who is no proxy of ours is told so before a byte is read, and closed."""
    options = BridgeOptions(
        is_exposed=True, is_behind_proxy=True, trusted_hosts=frozenset({"10.0.0.0/24"})
    )
    app = Seeing()
    async with bridge_on(sidecar, app=app, options=options) as bridge, peer_of(bridge) as peer:
        reply = await peer.reply()
        assert verdict(reply) == (403, "PROXY_ONLY")
        assert await peer.rest() == b""
        assert app.visitors == []


async def test_a_proxy_may_stand_beyond_loopback(sidecar: Sidecar) -> None:
    """With a named proxy plain HTTP is served on any address."""
    async with bridge_on(sidecar, address="0.0.0.0:0", options=PROXIED) as bridge:
        local = "127.0.0.1:" + bridge.address.rpartition(":")[2]
        bridge.address = local
        assert (await ask(bridge, "GET", "/healthz")).status == 200


async def test_a_proxy_must_be_named(sidecar: Sidecar) -> None:
    """--http-behind-proxy without trusted_hosts would believe everybody."""
    options = BridgeOptions(is_exposed=True, is_behind_proxy=True)
    with pytest.raises(AddressError, match="trusted_hosts"):
        Bridge(parts=parts_of(sidecar, options=options), address="127.0.0.1:0")
