"""GET /metrics, for a Prometheus server.

Rules:
1. What is told stands in `telemetry/`; here is only who may read it.
2. Whoever may look may read it; from elsewhere the token HALTLINE_METRICS_TOKEN is enough, since a
   Prometheus server signs nothing. It is looked at first: a signature would be used up.
"""

from __future__ import annotations

from typing import Final

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.refusals import Refused, refusal_of
from sidecar.bridge.visitors import may_view

_CHALLENGE: Final = (("www-authenticate", 'Bearer realm="metrics"'),)


def metrics_routes(parts: BridgeParts) -> list[Route]:
    """Return the route; none where nothing is told."""
    exposition = parts.exposition
    if exposition is None:
        return []

    async def metrics(request: Request) -> Response:
        authorization = request.headers.get("authorization", "")
        if not parts.scrape_token.is_in(authorization) and not await may_view(request, parts):
            raise Refused(refusal_of("METRICS_NEED_TOKEN", headers=_CHALLENGE))
        body, content_type = await exposition.text(request.headers.get("accept", ""))
        return Response(body, headers={"content-type": content_type})

    return [Route("/metrics", metrics, methods=["GET"])]
