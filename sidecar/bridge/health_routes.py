"""GET /healthz and /readyz, for what asks over HTTP.

Rule: /healthz is 200 while the process answers; /readyz is 503 with its causes unless calls are
decided.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sidecar.bridge.parts import BridgeParts
from sidecar.service import Service


def health_routes(parts: BridgeParts) -> list[Route]:
    """Return the two routes."""
    service = parts.service

    async def healthz(_request: Request) -> Response:
        return JSONResponse({"status": "ok", "parts": _told(service)})

    async def readyz(_request: Request) -> Response:
        is_ready = service.is_ready
        body = {
            "status": "ready" if is_ready else "not ready",
            "is_draining": service.is_draining,
            "parts": _told(service),
        }
        return JSONResponse(body, status_code=200 if is_ready else 503)

    return [
        Route("/healthz", healthz, methods=["GET"]),
        Route("/readyz", readyz, methods=["GET"]),
    ]


def _told(service: Service) -> list[dict[str, str | bool]]:
    return [
        {
            "name": part.name,
            "is_well": part.is_well,
            "is_needed": part.is_needed,
            "cause": part.cause,
        }
        for part in service.health()
    ]
