"""POST /session lets a person look from elsewhere for a while; DELETE /session ends it.

Rules:
1. Only a request signed with hs1 begins one, wherever it comes from.
2. The cookie is HttpOnly, SameSite=Strict, and Secure wherever the bridge is exposed.
3. Ending one needs the cookie alone, and answers alike where there was none.
"""

from __future__ import annotations

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sidecar.bridge.parts import BridgeParts
from sidecar.bridge.sessions import COOKIE, SECURE_COOKIE, SESSION_SECONDS, cookie_of
from sidecar.bridge.visitors import require_proof, visitor_of


def session_routes(parts: BridgeParts) -> list[Route]:
    """Return the route of both."""

    async def session(request: Request) -> Response:
        return end(request) if request.method == "DELETE" else await begin(request)

    async def begin(request: Request) -> Response:
        await require_proof(request, await request.body(), parts)
        response = JSONResponse({"session": "begun", "seconds": SESSION_SECONDS})
        give(response, request, parts.sessions.begin(), SESSION_SECONDS)
        return response

    def end(request: Request) -> Response:
        parts.sessions.end(cookie_of(request))
        response = JSONResponse({"session": "ended"})
        give(response, request, "", 0)
        return response

    def give(response: Response, request: Request, value: str, seconds: int) -> None:
        is_secure = parts.options.is_exposed or visitor_of(request).scheme == "https"
        response.set_cookie(
            SECURE_COOKIE if is_secure else COOKIE,
            value,
            max_age=seconds,
            path="/",
            secure=is_secure,
            httponly=True,
            samesite="strict",
        )

    return [Route("/session", session, methods=["POST", "DELETE"])]
