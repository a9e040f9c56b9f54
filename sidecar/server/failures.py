"""What a call answers when there was no decision: the one table, and the words beside it.

Rules:
1. `haltline-error-bin` carries our CallError; google.rpc details stand beside it for programs that
   know only those.
2. Metadata is small (8 KiB by default, all of it): texts and lists of faults are cut to fit.
3. A refusal is made anew for every call: one that is raised again keeps the frames of every call
   before it, requests and all. [100,000 unreadable calls held 400 MB]
4. An exception nobody expected is INTERNAL and says no more; the log has the rest.
"""

from __future__ import annotations

from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped] # ships no types
from haltline.v1 import errors_pb2

from sidecar.core.denial import CallRefused, ErrorCode
from sidecar.wire import FaultsBound, call_error

ERROR_KEY: Final = "haltline-error-bin"
GOOGLE_STATUS_KEY: Final = "grpc-status-details-bin"
DOMAIN: Final = "haltline"
RETRY_DELAY_SECONDS: Final = 1

# Message, CallError and google.rpc.Status each hold the message, the last two the faults as well.
IN_METADATA: Final = FaultsBound(message_length_max=400, faults_bytes_max=2_400)

STATUS_CODES: Final = {
    ErrorCode.INVALID_ARGUMENT: grpc.StatusCode.INVALID_ARGUMENT,
    ErrorCode.NOT_FOUND: grpc.StatusCode.NOT_FOUND,
    ErrorCode.ALREADY_EXISTS: grpc.StatusCode.ALREADY_EXISTS,
    ErrorCode.FAILED_PRECONDITION: grpc.StatusCode.FAILED_PRECONDITION,
    ErrorCode.ABORTED: grpc.StatusCode.ABORTED,
    ErrorCode.PERMISSION_DENIED: grpc.StatusCode.PERMISSION_DENIED,
    ErrorCode.UNAUTHENTICATED: grpc.StatusCode.UNAUTHENTICATED,
    ErrorCode.RESOURCE_EXHAUSTED: grpc.StatusCode.RESOURCE_EXHAUSTED,
    ErrorCode.UNAVAILABLE: grpc.StatusCode.UNAVAILABLE,
    ErrorCode.INTERNAL: grpc.StatusCode.INTERNAL,
}
_WAITING_HELPS: Final = (ErrorCode.UNAVAILABLE, ErrorCode.RESOURCE_EXHAUSTED)


def unexpected() -> CallRefused:
    """Return what a call is told that failed in a way nobody foresaw."""
    return CallRefused(
        ErrorCode.INTERNAL,
        "INTERNAL",
        "the sidecar failed on this call and decided nothing: treat it as denied (its log says "
        "why)",
    )


def draining() -> CallRefused:
    """Return what a call is told that came too late."""
    return CallRefused(
        ErrorCode.UNAVAILABLE,
        "DRAINING",
        "the sidecar is stopping and decides nothing more: ask again once it is back, same ids",
    )


def unreadable() -> CallRefused:
    """Return what bytes are told that are no message."""
    return CallRefused(
        ErrorCode.INVALID_ARGUMENT,
        "MALFORMED_REQUEST",
        "the request is no message of this call: use the stubs of haltline.v1",
    )


def too_many(what: str, count_max: int) -> CallRefused:
    """Return the refusal of one more than a bound allows."""
    return CallRefused(
        ErrorCode.RESOURCE_EXHAUSTED,
        "TOO_MANY_CALLS",
        f"{what}: at most {count_max} at once, and all are in use: end some, or wait",
    )


def shown_message(refused: CallRefused) -> str:
    """Return the message of the status, cut like the one in the details."""
    return call_error(refused, IN_METADATA).message


def trailing_metadata(refused: CallRefused) -> tuple[tuple[str, bytes], ...]:
    """Return what goes beside the status of a refused call."""
    error = call_error(refused, IN_METADATA)
    return (
        (ERROR_KEY, error.SerializeToString()),
        (GOOGLE_STATUS_KEY, _google_status(refused, error).SerializeToString()),
    )


def _google_status(refused: CallRefused, error: errors_pb2.CallError) -> status_pb2.Status:
    status = status_pb2.Status(code=error.code, message=error.message)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN))
    if error.field_violations:
        faults = [
            error_details_pb2.BadRequest.FieldViolation(
                field=violation.field, description=violation.description
            )
            for violation in error.field_violations
        ]
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=faults))
    if refused.code in _WAITING_HELPS:
        delay = Duration(seconds=RETRY_DELAY_SECONDS)
        status.details.add().Pack(error_details_pb2.RetryInfo(retry_delay=delay))
    return status
