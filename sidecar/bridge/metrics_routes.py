"""GET /metrics, for a Prometheus server.

Rule: what is told stands in `telemetry/`; here is only who may read it.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sidecar.bridge.parts import BridgeParts


def metrics_routes(parts: BridgeParts) -> list[Route]:
    """Return the route; none where nothing is told."""
    exposition = parts.exposition
    if exposition is None:
        return []

    async def metrics(request: Request) -> Response:
        body, content_type = await exposition.text(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return [Route("/metrics", metrics, methods=["GET"])]
