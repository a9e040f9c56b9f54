"""The life of the bridge: listen on one loopback address, serve HTTP, drain.

Rule: it shares the loop with the decisions, and what it holds is bounded.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, cast

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework

from sidecar.addresses import AddressError, AddressHeldError, TcpAddress, parse_address
from sidecar.bridge.app import build_app
from sidecar.bridge.parts import BridgeParts

_BACKLOG: Final = 64
_READ_SECONDS_MAX: Final = 5
REQUEST_BYTES_MAX: Final = 16 * 1024
_DRAIN_SECONDS_MAX: Final = 0.2


class Bridge:
    """Serves the routes on one loopback address."""

    def __init__(self, *, parts: BridgeParts, address: str) -> None:
        """AddressError where `address` is not HOST:PORT on loopback."""
        parsed = parse_address(address)
        if not isinstance(parsed, TcpAddress) or not parsed.is_loopback:
            raise AddressError(
                f"http address {address}: must be HOST:PORT on loopback, such as 127.0.0.1:8080"
            )
        self._parts = parts
        self._asked = parsed
        self._stopping = asyncio.Event()
        self._task: asyncio.Task[None] | None = None
        self.address = str(parsed)

    async def start(self) -> None:
        """Listen; afterwards `address` names the port. AddressHeldError where it is taken."""
        listener = self._listen()
        port = listener.getsockname()[1]
        asked = self._asked
        self.address = str(TcpAddress(host=asked.host, port=port, is_loopback=True))
        config = Config()
        config.bind = [f"fd://{listener.detach()}"]
        config.accesslog = None
        config.errorlog = None
        config.graceful_timeout = _DRAIN_SECONDS_MAX
        config.shutdown_timeout = _DRAIN_SECONDS_MAX
        config.keep_alive_timeout = _READ_SECONDS_MAX
        config.read_timeout = _READ_SECONDS_MAX
        config.h11_max_incomplete_size = REQUEST_BYTES_MAX
        app = cast("ASGIFramework", build_app(self._parts))
        self._task = asyncio.create_task(
            serve(app, config, shutdown_trigger=self._stopping.wait, mode="asgi"),
            name="bridge",
        )

    async def drain(self) -> None:
        """Stop; a second call does nothing."""
        if self._task is None:
            return
        self._stopping.set()
        task, self._task = self._task, None
        await task

    def _listen(self) -> socket.socket:
        asked = self._asked
        family = socket.AF_INET6 if ":" in asked.host else socket.AF_INET
        listener = socket.socket(family, socket.SOCK_STREAM)
        try:
            listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            listener.bind((asked.host, asked.port))
            listener.listen(_BACKLOG)
        except OSError as error:
            listener.close()
            raise AddressHeldError(
                f"http address {asked}: {error.strerror or error} "
                "(stop what listens there, or give another --http, or --no-http)"
            ) from error
        listener.settimeout(0)  # asyncio asks for sockets that never block
        return listener
