"""A server of the same kind and the same shapes that decides nothing: what a call costs by itself.

Rules:
1. CheckOrder reads the request and answers with bytes of the usual size.
2. StreamStatus is a bare fan-out: every reader hears a first frame, and then the very bytes each
   TriggerKill carries.

Usage: python -m bench.noop_server unix:PATH
"""

from __future__ import annotations

import asyncio
import sys
from typing import Any

import grpc
import uvloop
from haltline.v1 import order_pb2, status_pb2

CHECK_ORDER = "/haltline.v1.SafetyService/CheckOrder"
CHECK_ORDERS = "/haltline.v1.SafetyService/CheckOrders"
CHECK_ORDER_STREAM = "/haltline.v1.SafetyService/CheckOrderStream"
REPORT_ACCOUNT = "/haltline.v1.SafetyService/ReportAccount"
REPORT_TRADES = "/haltline.v1.SafetyService/ReportTrades"
STREAM_STATUS = "/haltline.v1.SafetyService/StreamStatus"
TRIGGER_KILL = "/haltline.v1.SafetyService/TriggerKill"


def usual_answer() -> bytes:
    """Return an approval as the sidecar writes it."""
    answer = order_pb2.CheckOrderResponse(
        order_id="order-0000000000",
        verdict=order_pb2.VERDICT_APPROVED,
        approvable_quantity="2992.51870324",
        decision_id="00000000-123456",
        sequence=123_456,
        store_id="0" * 32,
        config_hash="0" * 64,
        durable=True,
    )
    answer.valid_for.seconds = 10
    answer.expires_at.seconds = 1_700_000_000
    return answer.SerializeToString()


class Noop(grpc.GenericRpcHandler):
    """Answers without deciding."""

    def __init__(self) -> None:
        """Make the answers once."""
        self._answer = usual_answer()
        self._frame = status_pb2.StreamStatusResponse(sequence=1).SerializeToString()
        self._woken = asyncio.Event()
        handlers: dict[str, grpc.RpcMethodHandler[Any, Any]] = {
            CHECK_ORDER: grpc.unary_unary_rpc_method_handler(self._check),
            STREAM_STATUS: grpc.unary_stream_rpc_method_handler(self._follow),
            TRIGGER_KILL: grpc.unary_unary_rpc_method_handler(self._fan_out),
        }
        self._handlers = handlers

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Serve those calls only."""
        return self._handlers.get(handler_call_details.method or "")

    async def _check(self, body: bytes, _context: object) -> bytes:
        order_pb2.CheckOrderRequest.FromString(body)
        return self._answer

    async def _follow(self, _body: bytes, context: Any) -> None:  # noqa: ANN401 - grpc's context of bytes
        await context.write(self._frame)
        while True:
            await self._woken.wait()
            await context.write(self._frame)

    async def _fan_out(self, body: bytes, _context: object) -> bytes:
        self._frame = body
        self._woken.set()
        self._woken = asyncio.Event()
        return b""


async def main(address: str) -> None:
    """Serve until terminated."""
    server = grpc.aio.server(
        options=[("grpc.so_reuseport", 0), ("grpc.max_concurrent_streams", 4_096)]
    )
    server.add_generic_rpc_handlers((Noop(),))
    server.add_insecure_port(address)
    await server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1]))
