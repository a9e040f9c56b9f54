"""Server reflection through our own gate: generic tools find the contract, garbage finds nothing.

Rules: bytes that are no request are INVALID_ARGUMENT; who may not call at all may not call this.

The story: the servicer that grpc registers by itself reads requests before any code of ours. Each
message that was none became a traceback in the log, for whoever could connect.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import grpc
from grpc_reflection.v1alpha import (  # type: ignore[import-untyped] # ships no types
    reflection,
    reflection_pb2,
)

from sidecar.server.calls import Calls, Context, encode, parse
from sidecar.service import Caller

NAME: Final[str] = reflection.SERVICE_NAME


class Reflection:
    """The reflection service over the services named."""

    def __init__(self, *, calls: Calls, service_names: Sequence[str]) -> None:
        """`service_names` are told, and this service's own."""
        self._calls = calls
        self._servicer = reflection.ReflectionServicer([*service_names, NAME])

    def handlers(self) -> dict[str, grpc.RpcMethodHandler[Any, Any]]:
        """Return the handler of the one call."""
        return {"ServerReflectionInfo": self._calls.duplex(self._answer)}

    async def _answer(self, _caller: Caller, context: Context) -> None:
        while (body := await context.read()) is not grpc.aio.EOF:
            self._calls.recheck(context)
            request = parse(reflection_pb2.ServerReflectionRequest, body)
            for answer in self._servicer.ServerReflectionInfo([request], None):
                await context.write(encode(answer))
