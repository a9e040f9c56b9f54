"""GET /healthz and /readyz, for what asks over HTTP.

Rules:
1. /healthz is 200 while the process answers; /readyz is 503 with its causes unless calls are
   decided.
2. /healthz names the store: that is the audience of an hs1 proof (S11), and no secret.
3. Parts and causes are for who may look: a stranger hears the status alone.
"""

from __future__ import annotations

from typing import Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.visitors import may_view
from sidecar.service import Service


def health_routes(parts: BridgeParts) -> list[Route]:
    """Return the two routes."""
    service = parts.service

    async def healthz(request: Request) -> Response:
        body: dict[str, Any] = {"status": "ok", "store_id": service.store_id}
        if await may_view(request, parts):
            body["parts"] = _told(service)
        return JSONResponse(body)

    async def readyz(request: Request) -> Response:
        is_ready = service.is_ready
        body: dict[str, Any] = {"status": "ready" if is_ready else "not ready"}
        if await may_view(request, parts):
            body |= {"is_draining": service.is_draining, "parts": _told(service)}
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
