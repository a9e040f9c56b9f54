"""GET /healthz and /readyz on loopback, for what asks over HTTP; everything else is 404.

Rules:
1. /healthz is 200 while the process answers; /readyz is 503 with causes unless calls are decided.
2. Loopback only: the answers name causes, and nobody far away needs them.
3. It shares the loop with the decisions, so it is small: no middleware, no log of accesses.
"""

from __future__ import annotations

import asyncio
import socket
from typing import Final, cast

from hypercorn.asyncio import serve
from hypercorn.config import Config
from hypercorn.typing import ASGIFramework
from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sidecar.server.addresses import AddressError, AddressHeldError, TcpAddress, parse_address
from sidecar.service import Service

_BACKLOG: Final = 64
_READ_SECONDS_MAX: Final = 5
REQUEST_BYTES_MAX: Final = 16 * 1024
_DRAIN_SECONDS_MAX: Final = 0.2


def build_app(service: Service) -> Starlette:
    """Return the application: two routes, and JSON for everything else."""

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "parts": _parts(service)})

    async def readyz(_request: Request) -> Response:
        is_ready = service.is_ready
        body = {
            "status": "ready" if is_ready else "not ready",
            "is_draining": service.is_draining,
            "parts": _parts(service),
        }
        return JSONResponse(body, status_code=200 if is_ready else 503)

    async def refuse(_request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        way_out = "GET /healthz and GET /readyz are all there is"
        return JSONResponse({"error": "not found", "message": way_out}, status_code=code)

    return Starlette(
        routes=[
            Route("/healthz", healthz, methods=["GET"]),
            Route("/readyz", readyz, methods=["GET"]),
        ],
        exception_handlers={404: refuse, 405: refuse},
    )


def _parts(service: Service) -> list[dict[str, str | bool]]:
    return [
        {
            "name": part.name,
            "is_well": part.is_well,
            "is_needed": part.is_needed,
            "cause": part.cause,
        }
        for part in service.health()
    ]


class HttpHealth:
    """Serves the two routes on one loopback address."""

    def __init__(self, *, service: Service, address: str) -> None:
        """AddressError where `address` is not HOST:PORT on loopback."""
        parsed = parse_address(address)
        if not isinstance(parsed, TcpAddress) or not parsed.is_loopback:
            raise AddressError(
                f"http address {address}: must be HOST:PORT on loopback, such as 127.0.0.1:8080"
            )
        self._service = service
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
        app = cast("ASGIFramework", build_app(self._service))
        self._task = asyncio.create_task(
            serve(app, config, shutdown_trigger=self._stopping.wait, mode="asgi"),
            name="http health",
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
