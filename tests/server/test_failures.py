"""A refusal's details fit into metadata, and every code has its status (contract.md, CallError)."""

from __future__ import annotations

import traceback

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped] # ships no types
from haltline.v1 import errors_pb2, order_pb2

from sidecar.core.denial import CallRefused, ErrorCode, FieldFault, malformed
from sidecar.server.calls import parse
from sidecar.server.failures import (
    STATUS_CODES,
    draining,
    shown_message,
    trailing_metadata,
    unexpected,
    unreadable,
)

METADATA_BYTES_MAX = 8 * 1024


def details_of(refused: CallRefused) -> tuple[errors_pb2.CallError, status_pb2.Status]:
    """Return both details of a refusal, as a client reads them."""
    found = dict(trailing_metadata(refused))
    return (
        errors_pb2.CallError.FromString(found["haltline-error-bin"]),
        status_pb2.Status.FromString(found["grpc-status-details-bin"]),
    )


@pytest.mark.parametrize("code", list(ErrorCode))
def test_every_code_has_its_status(code: ErrorCode) -> None:
    """Our number, Google's and gRPC's status are the same code (contract.md)."""
    ours, google = details_of(CallRefused(code, "R", "m"))
    assert STATUS_CODES[code].value[0] == ours.code == google.code
    assert STATUS_CODES[code].name == code.value
    assert STATUS_CODES[code] is not grpc.StatusCode.OK


def test_details_carry_reason_faults_and_delay() -> None:
    """Programs that know only google.rpc read ErrorInfo, BadRequest and RetryInfo."""
    _, google = details_of(malformed([FieldFault("quantity", "must be > 0")]))
    info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert google.details[0].Unpack(info)
    assert google.details[1].Unpack(bad)
    assert (info.reason, info.domain) == ("MALFORMED_REQUEST", "haltline")
    assert bad.field_violations[0].field == "quantity"
    _, google = details_of(CallRefused(ErrorCode.UNAVAILABLE, "DRAINING", "m"))
    retry = error_details_pb2.RetryInfo()
    assert google.details[1].Unpack(retry)
    assert retry.retry_delay.seconds > 0


def test_a_thousand_faults_fit_into_metadata() -> None:
    """However much is wrong, the answer stays within what a client's transport takes."""
    faults = [FieldFault(f"positions[{at}].quantity", "\u00e4" * 400) for at in range(1_000)]
    refused = malformed(faults)
    size = sum(len(key) + len(value) + 32 for key, value in trailing_metadata(refused))
    size += 3 * len(shown_message(refused).encode())  # percent-encoded by the transport
    assert size < METADATA_BYTES_MAX


def test_a_refusal_keeps_nothing_of_the_calls_before_it() -> None:
    """A shared exception gains the frames of every call that raises it, and never lets them go.

    [a soak of 20,000 unreadable calls left 92 MB behind]
    """
    lengths = []
    for _ in range(3):
        with pytest.raises(CallRefused) as caught:
            parse(order_pb2.CheckOrderRequest, b"\xff no message")
        lengths.append(len(list(traceback.walk_tb(caught.value.__traceback__))))
    assert len(set(lengths)) == 1, lengths
    for made in (unexpected, draining, unreadable):
        assert made() is not made()
