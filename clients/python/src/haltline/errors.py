"""What can go wrong, and how a faulty call is read (contract: CallError).

Rules:
- A denial is a value (`Decision`), never an exception. Sending against it is one: `NotSendable`.
- A call that failed keeps its gRPC code by name and, where the sidecar spoke, its `CallFault`.
- Nothing here ever holds a secret or a signature.
"""

from dataclasses import dataclass
from typing import Any

import grpc
from google.protobuf.message import DecodeError

from haltline.v1 import errors_pb2

ERROR_METADATA_KEY = "haltline-error-bin"

# gRPC's numbers, by name: a CallError carries the number, people read the name.
CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}


@dataclass(frozen=True, slots=True, kw_only=True)
class FieldFault:
    """One fault of one field, `positions[2].average_price` for example."""

    field: str
    description: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CallFault:
    """Why a call came to nothing: the sidecar's CallError, or what the transport said.

    `is_from_sidecar` tells the two apart: only the sidecar's own word means that nothing was
    applied. `reason` is empty where only the transport spoke.
    """

    code: str
    reason: str
    message: str
    field_faults: tuple[FieldFault, ...] = ()
    is_from_sidecar: bool = False

    def __str__(self) -> str:
        fields = "; ".join(f"{fault.field}: {fault.description}" for fault in self.field_faults)
        words = [self.code, self.reason, self.message, fields]
        return ": ".join(word for word in words if word)


class HaltlineError(Exception):
    """The base of everything this client raises."""


class NotSendable(HaltlineError):  # noqa: N818 -- it is a state of the order, as the words say
    """The order must not be sent, and was not. `reason` is a word for programs."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(f"{reason}: {message}")
        self.reason = reason


class OrderDenied(NotSendable):
    """There is no approval: the sidecar denied, or gave no usable answer."""


class StaleApproval(NotSendable):
    """There was an approval, and it no longer holds: expired, epoch moved, silence, other store."""


class AlreadySent(NotSendable):
    """This approval was used: one approval is one order."""


class CallFailed(HaltlineError):  # noqa: N818 -- it says what happened
    """A call that is not a check failed; `fault` says why."""

    def __init__(self, what: str, fault: CallFault) -> None:
        super().__init__(f"{what}: {fault}")
        self.fault = fault


class ReportRefused(CallFailed):
    """The sidecar will never take this report as it is: a field is at fault, or the id was used."""


class KillNotAcknowledged(CallFailed):
    """Nobody confirmed the kill; this guard denies every order and goes on triggering."""


class ReportsFull(HaltlineError):  # noqa: N818 -- as CallFailed
    """The report was not acknowledged and cannot be queued: too many wait already."""


class StoreMismatch(HaltlineError):  # noqa: N818 -- as CallFailed
    """An operator call would have gone to another store than the one it was meant for."""


def read_call_error(error: errors_pb2.CallError) -> CallFault:
    """Return the sidecar's word on a failed call."""
    return CallFault(
        code=CODE_NAMES.get(error.code, f"CODE_{error.code}"),
        reason=error.reason,
        message=error.message,
        field_faults=tuple(
            FieldFault(field=fault.field, description=fault.description)
            for fault in error.field_violations
        ),
        is_from_sidecar=True,
    )


def read_rpc_error(error: BaseException) -> CallFault:
    """Return what a failed call says: the CallError in its trailing metadata where there is one."""
    code = _call(error, "code")
    name = code.name if isinstance(code, grpc.StatusCode) else "UNKNOWN"
    call_error = _trailing_call_error(error)
    if call_error is not None:
        return read_call_error(call_error)
    details = _call(error, "details")
    return CallFault(code=name, reason="", message=details if isinstance(details, str) else "")


def _trailing_call_error(error: BaseException) -> errors_pb2.CallError | None:
    """Return the serialized CallError beside a status, or None where it is absent or malformed."""
    for key, value in _call(error, "trailing_metadata") or ():
        if key != ERROR_METADATA_KEY or not isinstance(value, bytes):
            continue
        try:
            call_error = errors_pb2.CallError.FromString(value)
        except DecodeError:
            return None
        return call_error if call_error.code else None
    return None


def _call(error: BaseException, method: str) -> Any:  # noqa: ANN401 -- two libraries, no common type
    """Return what the error's method says, or None: synchronous errors need not be calls."""
    ask = getattr(error, method, None)
    return ask() if callable(ask) else None
