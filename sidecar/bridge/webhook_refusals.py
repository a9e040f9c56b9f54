"""Refusals of webhooks: one table from the service's codes to HTTP, one shape of body.

Rule: a refusal is JSON: what kind, a stable code, a sentence with the way out.
"""

from __future__ import annotations

from typing import Any, Final

from starlette.responses import JSONResponse

from sidecar.core.denial import CallRefused, ErrorCode

STATUSES: Final = {
    ErrorCode.INVALID_ARGUMENT: 400,
    ErrorCode.UNAUTHENTICATED: 401,
    ErrorCode.PERMISSION_DENIED: 401,
    ErrorCode.NOT_FOUND: 404,
    ErrorCode.ALREADY_EXISTS: 409,
    ErrorCode.FAILED_PRECONDITION: 409,
    ErrorCode.ABORTED: 409,
    ErrorCode.RESOURCE_EXHAUSTED: 503,
    ErrorCode.UNAVAILABLE: 503,
    ErrorCode.INTERNAL: 503,
}
WORDS: Final = {
    400: "bad request",
    401: "unauthorized",
    404: "not found",
    405: "method not allowed",
    408: "request timeout",
    409: "conflict",
    413: "payload too large",
    415: "unsupported media type",
    503: "unavailable",
}


class RequestRefused(Exception):  # noqa: N818 - a refusal is the word of the domain
    """The request cannot be judged as it was sent."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        """Keep status, stable code and sentence."""
        super().__init__(message)
        self.status = status
        self.reason = reason
        self.message = message


def refusal(status: int, reason: str, message: str, **more: object) -> JSONResponse:
    """Return the answer to a request that is refused."""
    body: dict[str, Any] = {"error": WORDS[status], "reason": reason, "message": message}
    return JSONResponse(body | more, status_code=status)


def refusal_of(refused: CallRefused) -> JSONResponse:
    """Return the answer where the service, or a rule beside it, refused."""
    faults = [{"field": at.field, "description": at.description} for at in refused.field_faults]
    more = {"faults": faults} if faults else {}
    return refusal(STATUSES[refused.code], refused.reason, refused.message, **more)
