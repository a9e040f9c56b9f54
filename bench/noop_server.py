"""A server of the same kind and the same shapes that decides nothing: what a call costs by itself.

Usage: python -m bench.noop_server unix:PATH
"""

from __future__ import annotations

import asyncio
import sys

import grpc
import uvloop
from haltline.v1 import order_pb2

_PATH = "/haltline.v1.SafetyService/CheckOrder"


class Noop(grpc.GenericRpcHandler):
    """Reads the request and returns an answer of the usual size."""

    def __init__(self) -> None:
        """Make the answer once."""
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
        self._answer = answer.SerializeToString()

    def service(
        self, handler_call_details: grpc.HandlerCallDetails
    ) -> grpc.RpcMethodHandler[bytes, bytes] | None:
        """Serve CheckOrder only."""
        if handler_call_details.method != _PATH:
            return None
        return grpc.unary_unary_rpc_method_handler(self._check)

    async def _check(self, body: bytes, _context: object) -> bytes:
        order_pb2.CheckOrderRequest.FromString(body)
        return self._answer


async def main(address: str) -> None:
    """Serve until terminated."""
    server = grpc.aio.server(options=[("grpc.so_reuseport", 0)])
    server.add_generic_rpc_handlers((Noop(),))
    server.add_insecure_port(address)
    await server.start()
    sys.stdout.write("ready\n")
    sys.stdout.flush()
    await server.wait_for_termination()


if __name__ == "__main__":
    uvloop.install()
    asyncio.run(main(sys.argv[1]))
