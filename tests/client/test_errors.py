"""A failed call is read for what it says, whoever says it."""

from typing import Any

import grpc
import pytest
from haltline.errors import ERROR_METADATA_KEY, CallFault, FieldFault, read_rpc_error
from haltline.v1 import errors_pb2


class Ended(grpc.RpcError):
    """A call as gRPC ends it."""

    def __init__(self, code: Any, details: Any, metadata: Any) -> None:
        """Say this when asked."""
        super().__init__()
        self._says = (code, details, metadata)

    def code(self) -> Any:
        """Return the status."""
        return self._says[0]

    def details(self) -> Any:
        """Return the message."""
        return self._says[1]

    def trailing_metadata(self) -> Any:
        """Return what came at the end."""
        return self._says[2]


CALL_ERROR = errors_pb2.CallError(
    code=3,
    reason="INVALID_FIELD",
    message="two fields are at fault",
    field_violations=[errors_pb2.FieldViolation(field="quantity", description="must be > 0")],
).SerializeToString()


def test_the_sidecars_word_is_read_from_the_trailing_metadata() -> None:
    """`haltline-error-bin` carries code, reason, message and every field (contract: errors)."""
    metadata = ((ERROR_METADATA_KEY, CALL_ERROR),)
    fault = read_rpc_error(Ended(grpc.StatusCode.INVALID_ARGUMENT, "short", metadata))
    assert fault == CallFault(
        code="INVALID_ARGUMENT",
        reason="INVALID_FIELD",
        message="two fields are at fault",
        field_faults=(FieldFault(field="quantity", description="must be > 0"),),
        is_from_sidecar=True,
    )
    assert str(fault) == (
        "INVALID_ARGUMENT: INVALID_FIELD: two fields are at fault: quantity: must be > 0"
    )


@pytest.mark.parametrize(
    "metadata",
    [
        None,
        (),
        ((ERROR_METADATA_KEY, b"\xff\xff"),),
        ((ERROR_METADATA_KEY, "text"),),
        ((ERROR_METADATA_KEY, b""),),
        (("grpc-status-details-bin", CALL_ERROR),),
    ],
)
def test_without_the_sidecars_word_the_transport_speaks(metadata: Any) -> None:
    """An absent or malformed CallError leaves the status, and is not the sidecar's word."""
    fault = read_rpc_error(Ended(grpc.StatusCode.UNAVAILABLE, "gone", metadata))
    assert fault == CallFault(code="UNAVAILABLE", reason="", message="gone")


def test_a_code_of_a_later_contract_is_kept() -> None:
    """An unknown number is shown as it is."""
    error = errors_pb2.CallError(code=99, reason="NEW").SerializeToString()
    metadata = ((ERROR_METADATA_KEY, error),)
    assert read_rpc_error(Ended(grpc.StatusCode.UNKNOWN, "", metadata)).code == "CODE_99"


def test_an_error_that_is_no_call_is_unknown() -> None:
    """A closed channel raises what has neither code nor details."""
    assert read_rpc_error(ValueError("closed")) == CallFault(code="UNKNOWN", reason="", message="")
