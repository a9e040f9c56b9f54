"""Writes a refusal as the contract's CallError.

Rules: every faulty field is listed, up to a bound in bytes; what did not fit is counted in the last
one. Metadata is smaller than a message, so whoever puts an error there asks for the smaller bound.
"""

from dataclasses import dataclass
from typing import Final

from haltline.v1 import errors_pb2, order_pb2

from sidecar.core.denial import CallRefused, ErrorCode, FieldFault
from sidecar.wire.pieces import cut

# The canonical numbers of google.rpc.Code; gRPC's own enum has the same.
CODE_NUMBERS: Final = {
    ErrorCode.INVALID_ARGUMENT: 3,
    ErrorCode.NOT_FOUND: 5,
    ErrorCode.ALREADY_EXISTS: 6,
    ErrorCode.PERMISSION_DENIED: 7,
    ErrorCode.RESOURCE_EXHAUSTED: 8,
    ErrorCode.FAILED_PRECONDITION: 9,
    ErrorCode.ABORTED: 10,
    ErrorCode.INTERNAL: 13,
    ErrorCode.UNAVAILABLE: 14,
    ErrorCode.UNAUTHENTICATED: 16,
}
_DESCRIPTION_LENGTH_MAX: Final = 512
_FIELD_LENGTH_MAX: Final = 256


@dataclass(frozen=True, slots=True, kw_only=True)
class FaultsBound:
    """How much of a refusal may be written: characters of its message, bytes of its faults."""

    message_length_max: int
    faults_bytes_max: int


IN_MESSAGE: Final = FaultsBound(message_length_max=4_096, faults_bytes_max=64 * 1_024)


def call_error(refused: CallRefused, bound: FaultsBound = IN_MESSAGE) -> errors_pb2.CallError:
    """Return the refusal as a message within `bound`."""
    return errors_pb2.CallError(
        code=CODE_NUMBERS[refused.code],
        reason=refused.reason,
        message=cut(refused.message, bound.message_length_max),
        field_violations=_violations(refused.field_faults, bound.faults_bytes_max),
    )


def stream_error(request_id: int, refused: CallRefused) -> order_pb2.CheckOrderStreamResponse:
    """Return the answer to an order on a stream on which there is no decision."""
    return order_pb2.CheckOrderStreamResponse(request_id=request_id, error=call_error(refused))


def _violations(faults: tuple[FieldFault, ...], bytes_max: int) -> list[errors_pb2.FieldViolation]:
    written: list[errors_pb2.FieldViolation] = []
    room = bytes_max
    for at, fault in enumerate(faults):
        violation = errors_pb2.FieldViolation(
            field=cut(fault.field, _FIELD_LENGTH_MAX),
            description=cut(fault.description, _DESCRIPTION_LENGTH_MAX),
        )
        room -= violation.ByteSize()
        if room < 0:
            rest = len(faults) - at
            more = f"and {rest} more faulty fields, not listed for want of room"
            written.append(errors_pb2.FieldViolation(field=fault.field, description=more))
            break
        written.append(violation)
    return written
