"""/healthz and /readyz over HTTP, and nothing else there (issue, command line)."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from typing import Any

import pytest

from sidecar.server import AddressError, AddressHeldError, HttpHealth
from tests.server.harness import LOOPBACK, WAIT_SECONDS, Sidecar, a_kill


@pytest.fixture
async def http(sidecar: Sidecar) -> AsyncIterator[HttpHealth]:
    """The routes on a port of their own."""
    served = HttpHealth(service=sidecar.service, address=LOOPBACK)
    await served.start()
    yield served
    await asyncio.wait_for(served.drain(), WAIT_SECONDS)


async def ask(http: HttpHealth, path: str, method: str = "GET") -> tuple[int, dict[str, Any]]:
    """Return status and body of one request."""
    host, _, port = http.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    writer.write(f"{method} {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n".encode())
    answer = await asyncio.wait_for(reader.read(), WAIT_SECONDS)
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    assert b"application/json" in head
    return int(head.split()[1]), json.loads(body)


async def test_a_killed_sidecar_is_ready(sidecar: Sidecar, http: HttpHealth) -> None:
    """A killed sidecar answers, and says so with 200 (contract.md, health)."""
    await sidecar.safety().TriggerKill(a_kill())
    assert (await ask(http, "/healthz"))[0] == 200
    code, body = await ask(http, "/readyz")
    assert (code, body["status"]) == (200, "ready")
    assert all(part["is_well"] for part in body["parts"])


async def test_a_poisoned_sidecar_is_not_ready_and_says_why(
    sidecar: Sidecar, http: HttpHealth
) -> None:
    """503 with the part and its cause; the process itself still answers (S12.3)."""
    sidecar.store.fail_next_sync("disk on fire")
    await sidecar.safety().TriggerKill(a_kill())
    assert (await ask(http, "/healthz"))[0] == 200
    code, body = await ask(http, "/readyz")
    assert code == 503
    causes = {part["name"]: part["cause"] for part in body["parts"] if not part["is_well"]}
    assert "disk on fire" in causes["store"]


@pytest.mark.parametrize(
    ("method", "path", "expected"),
    [("GET", "/", 404), ("GET", "/metrics", 404), ("POST", "/readyz", 405), ("GET", "//x", 404)],
)
async def test_there_is_nothing_else(
    http: HttpHealth, method: str, path: str, expected: int
) -> None:
    """Every other path or method is refused with JSON that says what there is."""
    code, body = await ask(http, path, method)
    assert code == expected
    assert "/readyz" in body["message"]


async def test_a_port_that_is_taken_is_refused(sidecar: Sidecar, http: HttpHealth) -> None:
    """A second listener on the port is refused by the address."""
    second = HttpHealth(service=sidecar.service, address=http.address)
    with pytest.raises(AddressHeldError, match=http.address):
        await second.start()


@pytest.mark.parametrize("address", ["0.0.0.0:0", "unix:/tmp/x", "[::]:1"])
async def test_it_stays_on_loopback(sidecar: Sidecar, address: str) -> None:
    """The routes are for this machine only."""
    with pytest.raises(AddressError, match="loopback"):
        HttpHealth(service=sidecar.service, address=address)


async def test_an_idle_connection_does_not_hold_up_a_drain(sidecar: Sidecar) -> None:
    """A connection that says nothing is closed with the server."""
    served = HttpHealth(service=sidecar.service, address=LOOPBACK)
    await served.start()
    host, _, port = served.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    await asyncio.wait_for(served.drain(), WAIT_SECONDS)
    assert await asyncio.wait_for(reader.read(), WAIT_SECONDS) == b""
    writer.close()
    await writer.wait_closed()
