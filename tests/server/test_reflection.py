"""Reflection answers tools, and garbage to it is no failure of ours (design.md, contract.md)."""

from __future__ import annotations

import logging
from typing import Any

import grpc
import pytest
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped] # ships no types

from tests.server.harness import WAIT_SECONDS, Sidecar, call_error_of

PATH = "/grpc.reflection.v1alpha.ServerReflection/ServerReflectionInfo"


async def test_garbage_to_reflection_is_refused_and_fills_no_log(
    sidecar: Sidecar, caplog: pytest.LogCaptureFixture
) -> None:
    """Bytes that are no request are INVALID_ARGUMENT; they once were a traceback each (issue 4)."""
    start: Any = sidecar.channel().stream_stream(PATH)
    for garbage in (b"\xff", b"\x0a\x05ab", b"\x1a\x02\xff\xfe"):
        call = start(iter([garbage]), timeout=WAIT_SECONDS)
        with pytest.raises(grpc.aio.AioRpcError) as caught:
            await call.read()
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert call_error_of(caught.value).reason == "MALFORMED_REQUEST"
    assert not [record for record in caplog.records if record.levelno >= logging.ERROR]


async def test_an_unknown_name_is_answered(sidecar: Sidecar) -> None:
    """A name nobody has, or no question at all, gets an error inside the answer."""
    ask = reflection_pb2.ServerReflectionRequest
    start: Any = sidecar.channel().stream_stream(
        PATH,
        request_serializer=ask.SerializeToString,
        response_deserializer=reflection_pb2.ServerReflectionResponse.FromString,
    )
    call = start(iter([ask(file_containing_symbol="no.Such"), ask()]), timeout=WAIT_SECONDS)
    codes = [(await call.read()).error_response.error_code for _ in range(2)]
    assert codes == [grpc.StatusCode.NOT_FOUND.value[0], grpc.StatusCode.INVALID_ARGUMENT.value[0]]
