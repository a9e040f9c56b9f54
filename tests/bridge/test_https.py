"""Beyond loopback the bridge speaks TLS 1.3, asks for certificates and needs none (S11)."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import random
import ssl
import time
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import pytest
from starlette.requests import Request

from sidecar.addresses import AddressError
from sidecar.bridge import Bridge
from sidecar.bridge.options import BridgeOptions
from sidecar.bridge.visitors import Visitor, require_view, visitor_of
from sidecar.service import Role
from sidecar.tls import TlsKeeper
from tests.access.authority import HOUR, ROLE, Authority, Signed, Site
from tests.bridge.harness import Reply, bridge_on, parts_of
from tests.bridge.peer import GOOD, Listening, Peer, peer_of, until
from tests.bridge.test_door import Seeing
from tests.bridge.test_http_connection import SOON, Streaming, paced
from tests.server.harness import Sidecar

EVERYWHERE: Final = "0.0.0.0:0"
EXPOSED: Final = BridgeOptions(is_exposed=True)
HEALTH: Final = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n"


@dataclass(slots=True)
class Https:
    """A bridge over TLS, its files and what holds them."""

    site: Site
    keeper: TlsKeeper
    bridge: Bridge
    now_ns: list[int]

    def context(self, client: Signed | None = None) -> ssl.SSLContext:
        """Return what a client connects with; it checks the bridge's certificate."""
        return client_context(self.site, client)


def client_context(site: Site, client: Signed | None = None) -> ssl.SSLContext:
    """Return a client's side that trusts the site's authority and shows `client`."""
    context = ssl.create_default_context(cadata=site.authority.pem.decode())
    if client is not None:
        context.load_cert_chain(*client.write(site.directory, f"c-{client.fingerprint[:8]}"))
    return context


@asynccontextmanager
async def https_on(sidecar: Sidecar, directory: Path, **given: Any) -> AsyncIterator[Https]:  # noqa: ANN401 - as `bridge_on`
    """Serve a bridge over TLS on every address, with certificates of its own."""
    site = Site(directory)
    now_ns = [time.time_ns()]
    keeper = TlsKeeper(site.files, real_time_ns=lambda: now_ns[0])
    arguments: dict[str, Any] = {
        "address": EVERYWHERE,
        "keeper": keeper,
        "options": EXPOSED,
    } | given
    async with bridge_on(sidecar, **arguments) as bridge:
        yield Https(site, keeper, bridge, now_ns)


async def reply_to(https: Https, data: bytes = HEALTH, client: Signed | None = None) -> Reply:
    """Send one request on a connection of its own and return the answer."""
    async with peer_of(https.bridge, https.context(client)) as peer:
        await peer.send(data)
        return await peer.reply()


async def fails(https: Https, context: ssl.SSLContext) -> bool:
    """Say whether a request over such a connection gets no answer at all."""
    try:
        async with peer_of(https.bridge, context) as peer:
            await peer.send(HEALTH)
            await peer.reply()
    except (ssl.SSLError, ConnectionError, asyncio.IncompleteReadError):
        return True
    return False


async def test_it_speaks_tls_and_says_so_in_every_answer(sidecar: Sidecar, tmp_path: Path) -> None:
    """HTTPS answers, over TLS 1.3, with HSTS, on routes and refusals; keep-alive holds."""
    async with https_on(sidecar, tmp_path) as https, peer_of(https.bridge, https.context()) as peer:
        tls = peer.writer.get_extra_info("ssl_object")
        assert tls.version() == "TLSv1.3"
        for data in (HEALTH, HEALTH, GOOD, b"\n"):
            await peer.send(data)
            reply = await peer.reply()
            assert b"strict-transport-security: max-age=31536000" in reply.head.lower()
        assert reply.json()["reason"] == "LINE_ENDING_MALFORMED"
        assert await peer.rest() == b""


async def test_a_large_answer_and_body_pass_whole(sidecar: Sidecar, tmp_path: Path) -> None:
    """Many TLS records in either direction are one body."""
    app = Listening()
    body = b"a" * 65_536
    head = b"POST /x HTTP/1.1\r\nHost: localhost\r\nContent-Length: 65536\r\n\r\n"
    async with https_on(sidecar, tmp_path, app=app) as https:
        reply = await reply_to(https, head + body)
        assert reply.json()["body"] == body.decode()


async def test_older_tls_is_refused(sidecar: Sidecar, tmp_path: Path) -> None:
    """TLS 1.2 ends in the handshake."""
    async with https_on(sidecar, tmp_path) as https:
        context = https.context()
        context.maximum_version = ssl.TLSVersion.TLSv1_2
        assert await fails(https, context)
        assert (await reply_to(https)).status == 200


async def test_plain_http_is_told_to_use_tls(sidecar: Sidecar, tmp_path: Path) -> None:
    """Who speaks plain HTTP to the TLS port hears it in plain, and no route hears them."""
    app = Listening()
    async with https_on(sidecar, tmp_path, app=app) as https, peer_of(https.bridge) as peer:
        await peer.send(GOOD)
        reply = await peer.reply()
        assert (reply.status, reply.json()["reason"]) == (400, "TLS_REQUIRED")
        assert await peer.rest() == b""
        assert app.heard == []


async def test_garbage_instead_of_tls_ends_that_connection_alone(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """Random records, cut and mangled greetings: each is closed, nothing is logged as a crash."""
    chance = random.Random(5)
    greeting = ssl.MemoryBIO()
    client = ssl.create_default_context().wrap_bio(ssl.MemoryBIO(), greeting, server_hostname="x")
    with contextlib.suppress(ssl.SSLWantReadError):
        client.do_handshake()
    hello = greeting.read()
    crashes: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: crashes.append(told))
    async with https_on(sidecar, tmp_path, pace=paced(head=SOON)) as https:
        for _ in range(100):
            mangled = bytearray(hello)
            for _ in range(chance.randint(1, 8)):
                mangled[chance.randrange(5, len(mangled))] = chance.randrange(256)
            noise = b"\x16\x03\x01" + chance.randbytes(chance.randint(0, 600))
            for data in (noise, bytes(mangled), hello[: chance.randint(1, len(hello))]):
                async with peer_of(https.bridge) as peer:
                    await peer.send(data)
                    peer.writer.write_eof()
                    assert not (await peer.rest()).startswith(b"HTTP")
        await until(lambda: https.bridge.listener.connections_count == 0)
    async with https_on(sidecar, tmp_path) as https:
        assert (await reply_to(https)).status == 200
    assert crashes == []


async def test_a_handshake_that_never_ends_is_closed(sidecar: Sidecar, tmp_path: Path) -> None:
    """The time of the head runs while the handshake does."""
    async with (
        https_on(sidecar, tmp_path, pace=paced(head=SOON)) as https,
        peer_of(https.bridge) as peer,
    ):
        await peer.send(b"\x16\x03\x01\x02\x00\x01")
        assert await peer.rest() == b""


async def test_without_files_it_does_not_start(sidecar: Sidecar) -> None:
    """Beyond loopback plain HTTP is refused by its address, with the ways out."""
    with pytest.raises(AddressError, match=r"\[server\.tls\].*--http-behind-proxy"):
        Bridge(parts=parts_of(sidecar), address=EVERYWHERE)


@pytest.mark.parametrize(
    ("role", "expected"),
    [("bot", Role.BOT), ("observer", Role.OBSERVER), ("operator", Role.OPERATOR)],
)
async def test_a_certificate_names_the_visitor(
    sidecar: Sidecar, tmp_path: Path, role: str, expected: Role
) -> None:
    """Role, subject and fingerprint of a client certificate are the visitor's."""
    app = Seeing()
    async with https_on(sidecar, tmp_path, app=app) as https:
        client = https.site.authority.client(f"{ROLE}{role}")
        await reply_to(https, client=client)
        await reply_to(https)
        shown, hidden = app.visitors
        assert (shown.role, hidden.role) == (expected, None)
        assert client.fingerprint in shown.peer
        assert shown.scheme == "https"
        assert not shown.is_local


async def test_a_certificate_lets_look_and_its_absence_does_not(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """A certificate shows what a stranger does not see; without one the connection still stands."""
    async with https_on(sidecar, tmp_path) as https:
        client = https.site.authority.client(f"{ROLE}observer")
        assert "parts" in (await reply_to(https, client=client)).json()
        assert "parts" not in (await reply_to(https)).json()


async def test_a_strange_certificate_ends_the_handshake(sidecar: Sidecar, tmp_path: Path) -> None:
    """Of another authority, out of its time, not yet valid, of a server: not let in at all."""
    async with https_on(sidecar, tmp_path) as https:
        ours, strangers = https.site.authority, Authority()
        for client in (
            strangers.client(f"{ROLE}operator"),
            strangers.self_signed(f"{ROLE}operator"),
            ours.client(f"{ROLE}operator", ends=-dt.timedelta(minutes=1)),
            ours.client(f"{ROLE}operator", begins=HOUR / 2),
            ours.server(),
        ):
            assert await fails(https, https.context(client))
        assert not await fails(https, https.context(ours.client(f"{ROLE}operator")))


async def test_a_revoked_certificate_is_refused_on_its_open_connection(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """401 with the reason on the next request and on every new connection; others go on."""
    app = Listening()
    async with https_on(sidecar, tmp_path, app=app) as https:
        client = https.site.authority.client(f"{ROLE}operator")
        async with peer_of(https.bridge, https.context(client)) as peer:
            await peer.send(GOOD)
            assert (await peer.reply()).status == 200
            https.site.revoke(client.fingerprint)
            assert https.keeper.reload()
            await peer.send(GOOD)
            reply = await peer.reply()
            assert (reply.status, reply.json()["reason"]) == (401, "CERTIFICATE_REFUSED")
            assert "revoked" in reply.json()["message"]
        assert (await reply_to(https, GOOD, client)).status == 401
        assert (await reply_to(https, GOOD)).status == 200
        assert len(app.heard) == 2


async def test_a_certificate_that_runs_out_is_refused_on_its_open_connection(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """Its time is looked at on every request."""
    async with https_on(sidecar, tmp_path, app=Listening()) as https:
        client = https.site.authority.client(f"{ROLE}bot")
        async with peer_of(https.bridge, https.context(client)) as peer:
            await peer.send(GOOD)
            assert (await peer.reply()).status == 200
            https.now_ns[0] += int(2 * HOUR.total_seconds()) * 1_000_000_000
            await peer.send(GOOD)
            reply = await peer.reply()
            assert (reply.status, reply.json()["reason"]) == (401, "CERTIFICATE_REFUSED")


async def test_a_stream_learns_that_its_certificate_was_revoked(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """What `require_view` returned says no from then on."""
    found: list[tuple[Visitor, Any]] = []

    async def app(scope: dict[str, Any], receive: Any, send: Any) -> None:  # noqa: ANN401 - as ASGI has them
        request = Request(scope)
        found.append(
            (visitor_of(request), await require_view(request, parts_of(sidecar, options=EXPOSED)))
        )
        await Listening()(scope, receive, send)

    async with https_on(sidecar, tmp_path, app=app) as https:
        client = https.site.authority.client(f"{ROLE}bot")
        await reply_to(https, GOOD, client)
        ((_, may_go_on),) = found
        assert may_go_on()
        https.site.revoke(client.fingerprint)
        https.keeper.reload()
        assert not may_go_on()


async def test_a_new_certificate_is_shown_without_a_restart(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """New connections get the new one, open ones go on; a bad new set keeps the old."""
    async with https_on(sidecar, tmp_path) as https, AsyncExitStack() as stack:
        old, before = await _connected(https, stack)
        https.site.authority.server().write(tmp_path, "server")
        assert https.keeper.reload()
        _, after = await _connected(https, stack)
        assert after != before
        (tmp_path / "server.pem").write_text("no certificate")
        assert not https.keeper.reload()
        _, shown = await _connected(https, stack)
        assert shown == after
        await old.send(HEALTH)
        assert (await old.reply()).status == 200


async def _connected(https: Https, stack: AsyncExitStack) -> tuple[Peer, bytes]:
    """Return a connection and the certificate that was shown on it."""
    peer = await stack.enter_async_context(peer_of(https.bridge, https.context()))
    tls: ssl.SSLObject = peer.writer.get_extra_info("ssl_object")
    return peer, tls.getpeercert(binary_form=True) or b""


async def test_an_authority_taken_out_ends_its_clients(sidecar: Sidecar, tmp_path: Path) -> None:
    """Its clients are refused on open connections, and their new handshakes fail."""
    second = Authority()
    async with https_on(sidecar, tmp_path, app=Listening()) as https:
        https.site.trust(https.site.authority, second)
        assert https.keeper.reload()
        client = second.client(f"{ROLE}bot")
        async with peer_of(https.bridge, https.context(client)) as peer:
            await peer.send(GOOD)
            assert (await peer.reply()).status == 200
            https.site.trust(https.site.authority)
            assert https.keeper.reload()
            await peer.send(GOOD)
            assert (await peer.reply()).status == 401
        assert await fails(https, https.context(client))


async def test_a_stream_goes_over_tls_and_hears_its_reader_leave(
    sidecar: Sidecar, tmp_path: Path
) -> None:
    """Server-sent events work over TLS; a close is heard."""
    app = Streaming()
    async with https_on(sidecar, tmp_path, app=app) as https:
        async with peer_of(https.bridge, https.context()) as peer:
            await peer.send(GOOD)
            assert b"data: x" in await peer.reader.readuntil(b"x\n\n\r\n")
            peer.writer.close()
        assert await app.ended_by.get() == "http.disconnect"
