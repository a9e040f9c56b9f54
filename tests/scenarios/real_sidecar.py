"""`haltline serve` as a process of its own, called over its Unix socket as any language would.

Rules: nothing of the sidecar's own code lies between a test and the socket but the stubs; whatever
is started is stopped at the end of its test.
"""

import contextlib
import secrets
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import grpc
from google.protobuf.message import Message
from haltline.errors import CallFault, read_rpc_error
from haltline.proof import OperatorSecret, proof_metadata
from haltline.v1 import (
    operator_pb2,
    operator_service_pb2_grpc,
    order_pb2,
    reports_pb2,
    safety_service_pb2_grpc,
    status_pb2,
)

from tests.cli.running import SECRET, RunningSidecar

CALL_SECONDS_MAX = 20.0
APPROVED = order_pb2.VERDICT_APPROVED
FILLED = reports_pb2.TRADE_REPORT_KIND_FILLED
_CHANNEL_OPTIONS = (("grpc.use_local_subchannel_pool", 1),)


class Line:
    """One connection to a sidecar; every call has a bound."""

    def __init__(self, socket: Path) -> None:
        """Nothing is sent before the first call."""
        self.channel = grpc.insecure_channel(f"unix:{socket}", options=_CHANNEL_OPTIONS)
        self.safety = safety_service_pb2_grpc.SafetyServiceStub(self.channel)
        self.operator = operator_service_pb2_grpc.OperatorServiceStub(self.channel)

    def check(self, order: order_pb2.CheckOrderRequest) -> order_pb2.CheckOrderResponse:
        """Ask about one order."""
        return self.safety.CheckOrder(order, timeout=CALL_SECONDS_MAX)

    def report(self, report: reports_pb2.ReportTradeRequest) -> reports_pb2.ReportTradeResponse:
        """Report what became of one order."""
        return self.safety.ReportTrade(report, timeout=CALL_SECONDS_MAX)

    def status(self) -> status_pb2.Status:
        """Return how everything stands."""
        request = status_pb2.GetStatusRequest(subscriber="test")
        return self.safety.GetStatus(request, timeout=CALL_SECONDS_MAX).status

    def proof(self, call: str, request: Message) -> tuple[tuple[str, str], ...]:
        """Return the metadata that proves an operator for this request to this sidecar."""
        return proof_metadata(
            OperatorSecret(SECRET),
            audience=self.status().store_id,
            path=f"/haltline.v1.OperatorService/{call}",
            timestamp=int(time.time()),
            body=request.SerializeToString(),
        )

    def reset_kill(self, metadata: tuple[tuple[str, str], ...] | None = None) -> bool:
        """End every kill; `metadata` is a proof made earlier. Return whether any was in force."""
        request = a_reset()
        proof = metadata or self.proof("ResetKill", request)
        answer = self.operator.ResetKill(request, metadata=proof, timeout=CALL_SECONDS_MAX)
        return answer.changed

    def raw(self, call: str, body: bytes) -> bytes:
        """Send these very bytes, whatever they are."""
        method: grpc.UnaryUnaryMultiCallable[bytes, bytes] = self.channel.unary_unary(
            f"/haltline.v1.SafetyService/{call}"
        )
        return method(body, timeout=CALL_SECONDS_MAX)


@contextlib.contextmanager
def line_to(sidecar: RunningSidecar) -> Iterator[Line]:
    """Give a connection of its own, closed at the end."""
    line = Line(sidecar.directory / "run" / "haltline.sock")
    with line.channel:
        yield line


def fault_of(error: grpc.RpcError) -> CallFault:
    """Return the sidecar's words in a failed call."""
    return read_rpc_error(error)


def an_order(order_id: str = "", **changes: Any) -> order_pb2.CheckOrderRequest:  # noqa: ANN401 - the fields of the message
    """Return a buy of 10 ACME at 100, 1 % of the equity, with `changes`."""
    fields: dict[str, Any] = {
        "order_id": order_id or f"o-{secrets.token_hex(8)}",
        "strategy": "momentum",
        "symbol": "ACME",
        "side": order_pb2.SIDE_BUY,
        "order_type": order_pb2.ORDER_TYPE_LIMIT,
        "quantity": "10",
        "limit_price": "100",
        **changes,
    }
    return order_pb2.CheckOrderRequest(**fields)


def a_fill(
    order: order_pb2.CheckOrderRequest, report_id: str = "", **changes: str
) -> reports_pb2.ReportTradeRequest:
    """Return a fill of the whole order at its limit, with `changes`."""
    fields: dict[str, Any] = {
        "fill_quantity": order.quantity,
        "fill_price": order.limit_price,
        **changes,
    }
    return reports_pb2.ReportTradeRequest(
        report_id=report_id or f"r-{secrets.token_hex(8)}",
        order_id=order.order_id,
        strategy=order.strategy,
        symbol=order.symbol,
        side=order.side,
        kind=FILLED,
        **fields,
    )


def a_reset() -> operator_pb2.ResetKillRequest:
    """Return a reset of every kill."""
    return operator_pb2.ResetKillRequest(reset_by="tester", reason="checked")
