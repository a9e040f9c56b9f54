"""A sidecar with its bridge over a real socket, and requests to it written out byte for byte."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any, Final

from sidecar.auth import Secrets
from sidecar.bridge import Bridge, BridgeParts
from sidecar.bridge.exchange import App
from sidecar.bridge.options import Pace
from sidecar.service.nonces import remember_nonce
from sidecar.tls import TlsKeeper
from tests.server.harness import LOOPBACK, SECRET, WAIT_SECONDS, Sidecar

PATIENT: Final = Pace(
    head=WAIT_SECONDS, body=WAIT_SECONDS, idle=WAIT_SECONDS, write=WAIT_SECONDS, drain=WAIT_SECONDS
)
"""However slow the machine is, no time of the bridge runs out in a test that is not about it."""


def parts_of(sidecar: Sidecar, **changes: Any) -> BridgeParts:  # noqa: ANN401 - any part of a bridge
    """Return what a bridge of this sidecar is given; `changes` replace single parts."""
    given: dict[str, Any] = {
        "service": sidecar.service,
        "secrets": Secrets([SECRET]),
        "remember_nonce": partial(remember_nonce, sidecar.store),
    }
    return BridgeParts(**(given | changes))


@asynccontextmanager
async def bridge_on(
    sidecar: Sidecar,
    *,
    address: str = LOOPBACK,
    keeper: TlsKeeper | None = None,
    pace: Pace = PATIENT,
    app: App | None = None,
    **changes: Any,  # noqa: ANN401 - as above
) -> AsyncIterator[Bridge]:
    """Serve the bridge of a running sidecar, on a loopback port unless told, until the end."""
    parts = parts_of(sidecar, **changes)
    served = Bridge(parts=parts, address=address, keeper=keeper, pace=pace, app=app)
    await served.start()
    try:
        yield served
    finally:
        await asyncio.wait_for(served.drain(), WAIT_SECONDS)


@dataclass(frozen=True, slots=True)
class Reply:
    """What came back, whole."""

    status: int
    head: bytes
    body: bytes

    def json(self) -> dict[str, Any]:
        """Return the body, which must be a JSON object and say so."""
        assert b"application/json" in self.head.lower()
        read: dict[str, Any] = json.loads(self.body)
        return read


async def send(bridge: Bridge, data: bytes) -> Reply:
    """Write `data` on a connection of its own and read until it is closed."""
    host, _, port = bridge.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(data)
        answer = await asyncio.wait_for(reader.read(), WAIT_SECONDS)
    finally:
        writer.close()
        await writer.wait_closed()
    head, _, body = answer.partition(b"\r\n\r\n")
    return Reply(int(head.split()[1]), head, body)


async def ask(
    bridge: Bridge, method: str, path: str, body: bytes = b"", headers: dict[str, str] | None = None
) -> Reply:
    """Send one well-formed request; `headers` come on top of Host, Connection, Content-Length."""
    given = {"Host": bridge.address, "Connection": "close"} | (headers or {})
    if body or method == "POST":
        given.setdefault("Content-Length", str(len(body)))
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in given.items())]
    return await send(bridge, "\r\n".join([*lines, "", ""]).encode("latin-1") + body)
