"""The routes of the bridge put together, and JSON for everything that is none of them.

Rules:
1. A group of routes lives in a module of its own, `*_routes.py`, as a function of `BridgeParts`.
2. It shares the loop with the decisions, so it is small: no middleware but the spans of sampled
   requests, no log of accesses.
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from sidecar.bridge.health_routes import health_routes
from sidecar.bridge.metrics_routes import metrics_routes
from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.traced import traced

_WORDS = {404: "not found", 405: "method not allowed"}


def build_app(parts: BridgeParts) -> Starlette:
    """Return the application."""
    routes = [*health_routes(parts), *metrics_routes(parts)]
    paths = ", ".join(sorted({route.path for route in routes}))

    async def refuse(_request: Request, error: Exception) -> Response:
        code = error.status_code if isinstance(error, HTTPException) else 500
        words = _WORDS.get(code, "failed")
        return JSONResponse({"error": words, "message": f"there are: {paths}"}, status_code=code)

    return Starlette(
        routes=routes,
        exception_handlers={404: refuse, 405: refuse},
        middleware=[traced(parts.service.signals, routes)],
    )
