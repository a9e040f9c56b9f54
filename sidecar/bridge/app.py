"""The routes of the bridge put together, and a refusal of the table for everything else.

Rules:
1. A group of routes lives in a module of its own, `*_routes.py`, as a function of `BridgeParts`.
2. It shares the loop with the decisions, so it is small: no middleware but the spans of sampled
   requests, no log of accesses.
3. What a route raises as `Refused` is answered as it says (`refusals.py`).
"""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response

from sidecar.bridge.health_routes import health_routes
from sidecar.bridge.metrics_routes import metrics_routes
from sidecar.bridge.page_routes import page_routes
from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.refusals import Refused, refusal_of, response_of
from sidecar.bridge.session_routes import session_routes
from sidecar.bridge.status_events import StatusEvents
from sidecar.bridge.traced import traced
from sidecar.bridge.webhook_routes import webhook_routes


def build_app(parts: BridgeParts) -> Starlette:
    """Return the application; `app.state.status_events` is to be begun and ended with it."""
    events = StatusEvents(parts)
    routes = [
        *health_routes(parts),
        *metrics_routes(parts),
        *page_routes(parts, events),
        *session_routes(parts),
        *webhook_routes(parts),
    ]
    listed = f"there are: {', '.join(sorted({route.path for route in routes}))}"

    async def refuse(_request: Request, error: Exception) -> Response:
        if isinstance(error, Refused):
            return response_of(error.refusal)
        status = error.status_code if isinstance(error, HTTPException) else 500
        reason = {404: "ROUTE_UNKNOWN", 405: "METHOD_NOT_ALLOWED"}.get(status, "UNEXPECTED")
        given = (error.headers if isinstance(error, HTTPException) else None) or {}
        detail = "" if reason == "UNEXPECTED" else listed
        return response_of(refusal_of(reason, detail, headers=tuple(given.items())))

    handlers = {Refused: refuse, HTTPException: refuse, 500: refuse}
    spans = traced(parts.service.signals, routes)
    app = Starlette(routes=routes, exception_handlers=handlers, middleware=[spans])
    app.state.status_events = events
    # A stop sent to a path with a slash behind it must not end in an empty 307 nobody follows.
    app.router.redirect_slashes = False
    return app
