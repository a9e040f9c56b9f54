"""Every route by every way in over HTTP, with no, a wrong and a right signature (S1.1, S11)."""

from __future__ import annotations

import ssl
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.routing import Route

from sidecar.auth import Secrets
from sidecar.bridge import Bridge
from sidecar.bridge.app import build_app
from sidecar.bridge.options import BridgeOptions
from sidecar.tls import TlsKeeper
from sidecar.webhook_secrets import WebhookSecrets
from tests.access.authority import ROLE, Site
from tests.access.http_table import ROUTES, Who
from tests.bridge.harness import Reply, bridge_on, parts_of
from tests.bridge.hs1_signing import hs1
from tests.bridge.peer import peer_of
from tests.bridge.test_https import client_context
from tests.server.harness import SECRET, Sidecar

WEBHOOKS: Final = WebhookSecrets(Secrets([SECRET]), Secrets([SECRET]))
EXPOSED: Final = BridgeOptions(is_exposed=True)
NOTHING: Final[Mapping[str, str]] = {}


class Exposed:
    """What /metrics shows in this test."""

    async def text(self, _accept: str) -> tuple[bytes, str]:
        """Return a body and its kind."""
        return b"{}", "application/json"


@dataclass(frozen=True, slots=True)
class Way:
    """One way in: the bridge, TLS where it is spoken, and what every request carries."""

    bridge: Bridge
    context: ssl.SSLContext | None = None
    headers: dict[str, str] = field(default_factory=dict)


CERTIFIED: Final = ("bot", "observer", "operator")
VIEWING: Final = frozenset({"local", "session", *CERTIFIED})


def given() -> dict[str, Any]:
    """Return the parts of a bridge with every route."""
    return {"webhook_secrets": WEBHOOKS, "exposition": Exposed()}


@asynccontextmanager
async def ways_in(sidecar: Sidecar, directory: Path) -> AsyncIterator[dict[str, Way]]:
    """Serve one sidecar on this machine and to everybody, and give every way in."""
    site = Site(directory)
    keeper = TlsKeeper(site.files, real_time_ns=time.time_ns)
    everywhere: dict[str, Any] = {"address": "0.0.0.0:0", "keeper": keeper, "options": EXPOSED}
    async with AsyncExitStack() as stack:
        local = await stack.enter_async_context(bridge_on(sidecar, **given()))
        exposed = await stack.enter_async_context(bridge_on(sidecar, **given(), **everywhere))
        plain = client_context(site)
        session = await ask(
            Way(exposed, plain), "POST", "/session", headers=hs1(sidecar, "POST", "/session")
        )
        cookie = next(
            line.partition(": ")[2].partition(";")[0]
            for line in session.head.decode().split("\r\n")
            if line.lower().startswith("set-cookie")
        )
        ways = {
            "local": Way(local),
            "forwarded": Way(local, None, {"X-Forwarded-For": "127.0.0.1"}),
            "stranger": Way(exposed, plain),
            "session": Way(exposed, plain, {"Cookie": cookie}),
        }
        for role in CERTIFIED:
            client = site.authority.client(f"{ROLE}{role}")
            ways[role] = Way(exposed, client_context(site, client))
        yield ways


async def ask(
    way: Way, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] = NOTHING
) -> Reply:
    """Send one request this way."""
    fields = {"Host": "localhost", "Content-Length": str(len(body))} | way.headers | dict(headers)
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    async with peer_of(way.bridge, way.context) as peer:
        await peer.send("\r\n".join([*lines, "", ""]).encode() + body)
        return await peer.reply()


def test_every_route_has_its_row(sidecar: Sidecar) -> None:
    """A new route fails here until somebody has thought who may ask it."""
    routes = build_app(parts_of(sidecar, **given())).routes
    found = {
        (method, route.path)
        for route in routes
        if isinstance(route, Route)
        for method in (route.methods or set()) - {"HEAD"}
    }
    assert len(routes) == len([route for route in routes if isinstance(route, Route)])
    assert found == set(ROUTES)


async def test_no_route_opens_by_a_way_that_is_not_its_own(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """Unsigned, every way gets what its row says; nothing is stopped or started by place,
    session or certificate.
    """
    async with ways_in(sidecar, tmp_path) as ways:
        before = sidecar.service.status().view
        for (method, path), row in ROUTES.items():
            for name, way in ways.items():
                if (method, name) == ("DELETE", "session"):
                    continue  # would end the session of the rows below
                reply = await ask(way, method, path, row.body)
                passes = row.who is Who.ANYONE or (row.who is Who.VIEWER and name in VIEWING)
                assert (reply.status == 200) is passes, (method, path, name, reply.body)
                if not passes:
                    refused = 403 if row.who is Who.PAGE else 401
                    assert reply.status == refused, (method, path, name, reply.body)
        after = sidecar.service.status().view
        assert (after.mode, after.stop_epoch, after.activations) == (
            before.mode,
            before.stop_epoch,
            (),
        )


@pytest.mark.parametrize("change", ["secret", "audience", "method", "path", "digest", "timestamp"])
async def test_no_signature_of_something_else_opens_a_route(
    sidecar: Sidecar, tmp_path: Path, change: str
) -> None:
    """Signed with another secret, for another sidecar, method, path, body or time: 401."""
    others = {
        "secret": "another secret, not this one",
        "audience": "another-store",
        "method": "GRPC",
        "path": "/elsewhere",
        "digest": "0" * 64,
        "timestamp": "1000000000",
    }
    async with ways_in(sidecar, tmp_path) as ways:
        for (method, path), row in ROUTES.items():
            if row.who in {Who.ANYONE, Who.PAGE}:
                continue
            for name in ("stranger", "forwarded"):
                proof = hs1(sidecar, method, path, row.body, {change: others[change]})
                reply = await ask(ways[name], method, path, row.body, proof)
                assert reply.status == 401, (method, path, name, reply.body)
        assert not sidecar.service.status().view.activations


async def test_a_right_signature_opens_every_route_by_every_way(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """Nothing but the signature is needed: never 401, once each; again, the proof was used."""
    async with ways_in(sidecar, tmp_path) as ways:
        for (method, path), row in ROUTES.items():
            for name, way in ways.items():
                proof = hs1(sidecar, method, path, row.body)
                reply = await ask(way, method, path, row.body, proof)
                if row.who is Who.PAGE:
                    assert reply.status == 403, (method, path, name, reply.body)
                    continue
                assert reply.status in {200, 409}, (method, path, name, reply.body)
                if (method, row.who) == ("POST", Who.SIGNER) and not path.endswith("trigger"):
                    again = await ask(way, method, path, row.body, proof)
                    assert again.status in {401, 409}, (method, path, name, again.body)


async def test_the_page_stops_from_this_machine_alone(sidecar: Sidecar, tmp_path: Path) -> None:
    """With the page's own header a stop needs no secret here, and one everywhere else (S1.1)."""
    async with ways_in(sidecar, tmp_path) as ways:
        paged = [(path, row) for (_, path), row in ROUTES.items() if row.who is Who.PAGE]
        assert paged
        for path, row in paged:
            for name in sorted(ways, key=lambda name: name == "local"):
                assert not sidecar.service.status().view.activations
                reply = await ask(ways[name], "POST", path, row.body, {"X-Haltline-Page": "1"})
                assert reply.status == (200 if name == "local" else 401), (path, name, reply.body)
        assert sidecar.service.status().view.activations
