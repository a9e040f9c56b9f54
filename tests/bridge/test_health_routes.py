"""/healthz and /readyz over HTTP, and nothing else there (issue, command line)."""

from __future__ import annotations

import asyncio

import pytest

from sidecar.bridge import Bridge
from sidecar.server import AddressError, AddressHeldError
from tests.bridge.harness import ask, bridge_on, parts_of
from tests.server.harness import LOOPBACK, WAIT_SECONDS, Sidecar, a_kill


async def test_a_killed_sidecar_is_ready(sidecar: Sidecar, bridge: Bridge) -> None:
    """A killed sidecar answers, and says so with 200 (contract.md, health)."""
    await sidecar.safety().TriggerKill(a_kill())
    assert (await ask(bridge, "GET", "/healthz")).status == 200
    reply = await ask(bridge, "GET", "/readyz")
    body = reply.json()
    assert (reply.status, body["status"]) == (200, "ready")
    assert all(part["is_well"] for part in body["parts"])


async def test_a_poisoned_sidecar_is_not_ready_and_says_why(
    sidecar: Sidecar, bridge: Bridge
) -> None:
    """503 with the part and its cause; the process itself still answers (S12.3)."""
    sidecar.store.fail_next_sync("disk on fire")
    await sidecar.safety().TriggerKill(a_kill())
    assert (await ask(bridge, "GET", "/healthz")).status == 200
    reply = await ask(bridge, "GET", "/readyz")
    body = reply.json()
    assert reply.status == 503
    causes = {part["name"]: part["cause"] for part in body["parts"] if not part["is_well"]}
    assert "disk on fire" in causes["store"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("GET", "/metrics", 404), ("POST", "/readyz", 405), ("GET", "//x", 404)],
)
async def test_there_is_nothing_else(bridge: Bridge, method: str, path: str, expected: int) -> None:
    """Every other path or method is refused with JSON that says what there is."""
    reply = await ask(bridge, method, path)
    assert reply.status == expected
    assert "/readyz" in reply.json()["message"]


async def test_a_port_that_is_taken_is_refused(sidecar: Sidecar, bridge: Bridge) -> None:
    """A second listener on the port is refused by the address."""
    second = Bridge(parts=parts_of(sidecar), address=bridge.address)
    with pytest.raises(AddressHeldError, match=bridge.address):
        await second.start()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "unix:/tmp/x", "[::]:1"])
async def test_without_tls_it_stays_on_loopback(sidecar: Sidecar, address: str) -> None:
    """Beyond loopback it speaks TLS or does not start."""
    with pytest.raises(AddressError, match=r"beyond loopback only with TLS|HOST:PORT"):
        Bridge(parts=parts_of(sidecar), address=address)


async def test_an_idle_connection_does_not_hold_up_a_drain(sidecar: Sidecar) -> None:
    """A connection that says nothing is closed with the server."""
    served = Bridge(parts=parts_of(sidecar), address=LOOPBACK)
    await served.start()
    host, _, port = served.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await asyncio.wait_for(served.drain(), WAIT_SECONDS)
    assert await asyncio.wait_for(reader.read(), WAIT_SECONDS) == b""
    writer.close()
    await writer.wait_closed()


async def test_what_nobody_expected_is_told_to_the_log(
    sidecar: Sidecar, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """The 500 says that the log says more, and it does."""

    def fail() -> None:
        raise RuntimeError("a fault of the tests only")

    monkeypatch.setattr(sidecar.service, "health", fail)
    async with bridge_on(sidecar) as bridge:
        reply = await ask(bridge, "GET", "/healthz")
    assert (reply.status, reply.json()["reason"]) == (500, "UNEXPECTED")
    assert b"fault" not in reply.body
    assert "a fault of the tests only" in caplog.text
