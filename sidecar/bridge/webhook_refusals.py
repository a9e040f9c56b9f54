"""Refusals of webhooks: one table from the service's codes to the statuses of HTTP.

Rule: they have the shape of every refusal of the bridge (`refusals.py`), and the stable codes that
the same refusal has over gRPC.
"""

from __future__ import annotations

from typing import Final

from sidecar.bridge.refusals import Refusal, Refused
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


def unfit(status: int, reason: str, message: str) -> Refused:
    """Return what to raise where a request cannot be judged as it was sent."""
    return Refused(Refusal(status=status, reason=reason, message=message))


def refusal_of_call(refused: CallRefused) -> Refusal:
    """Return the answer where the service, or a rule beside it, refused."""
    faults = [{"field": at.field, "description": at.description} for at in refused.field_faults]
    return Refusal(
        status=STATUSES[refused.code],
        reason=refused.reason,
        message=refused.message,
        more=(("faults", faults),) if faults else (),
    )
