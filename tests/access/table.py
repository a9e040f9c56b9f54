"""Who may call what: one row for each call of the contract, and what its caller must be.

A call without a row fails `test_every_call_has_its_row`. Add a row where the call belongs: who may
call it, and one well-formed request.
"""

from __future__ import annotations

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum, auto
from importlib import import_module
from typing import Any, Final

import haltline.v1
from google.protobuf.descriptor import MethodDescriptor, ServiceDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from grpc_health.v1 import health_pb2  # type: ignore[import-untyped] # ships no types
from grpc_reflection.v1alpha import reflection_pb2  # type: ignore[import-untyped] # ships no types
from haltline.v1 import (
    account_pb2,
    audit_pb2,
    config_pb2,
    kill_switch_pb2,
    operator_pb2,
    order_pb2,
    reports_pb2,
    reservations_pb2,
    status_pb2,
)

from tests.server.harness import an_order


class Who(Enum):
    """What a caller must be."""

    ANYONE = auto()
    BOT = auto()
    """A bot or an operator; a proof is not looked at."""
    BOT_OR_PROOF = auto()
    """As BOT, but a proof that is given is judged, and makes an operator."""
    OPERATOR = auto()


@dataclass(frozen=True, slots=True)
class Row:
    """One call."""

    who: Who
    request: Message


_WHO_AND_WHY: Final[dict[str, Any]] = {"reset_by": "tester", "reason": "checked"}
_ACCEPTED: Final[dict[str, Any]] = {"accepted_by": "tester", "reason": "checked"}
_TRADE: Final = reports_pb2.ReportTradeRequest(
    report_id="r-1",
    order_id="o-9",
    strategy="momentum",
    symbol="ACME",
    side=order_pb2.SIDE_BUY,
    kind=reports_pb2.TRADE_REPORT_KIND_ACCEPTED,
)

SAFETY: Final = {
    "CheckOrder": Row(Who.BOT, an_order()),
    "CheckOrders": Row(
        Who.BOT,
        order_pb2.CheckOrdersRequest(orders=[an_order()], mode=order_pb2.BATCH_MODE_INDEPENDENT),
    ),
    "CheckOrderStream": Row(
        Who.BOT, order_pb2.CheckOrderStreamRequest(request_id=1, order=an_order())
    ),
    "ListOrders": Row(Who.ANYONE, reservations_pb2.ListOrdersRequest(page_size=10)),
    "ReportTrade": Row(Who.BOT, _TRADE),
    "ReportTrades": Row(Who.BOT, reports_pb2.ReportTradesRequest(trades=[_TRADE])),
    "ReportApiError": Row(
        Who.BOT, reports_pb2.ReportApiErrorRequest(report_id="e-1", api="orders", code="429")
    ),
    "ReportAccount": Row(
        Who.BOT_OR_PROOF, account_pb2.ReportAccountRequest(report_id="a-1", equity="100000")
    ),
    "TriggerKill": Row(
        Who.ANYONE, kill_switch_pb2.TriggerKillRequest(reason="test", triggered_by="tester")
    ),
    "GetStatus": Row(Who.ANYONE, status_pb2.GetStatusRequest()),
    "StreamStatus": Row(Who.ANYONE, status_pb2.StreamStatusRequest()),
}
OPERATOR: Final = {
    "ResetKill": Row(Who.OPERATOR, operator_pb2.ResetKillRequest(**_WHO_AND_WHY)),
    "EaseKill": Row(Who.OPERATOR, operator_pb2.EaseKillRequest(**_WHO_AND_WHY)),
    "ResetBreaker": Row(Who.OPERATOR, operator_pb2.ResetBreakerRequest(**_WHO_AND_WHY)),
    "ResetAll": Row(Who.OPERATOR, operator_pb2.ResetAllRequest(**_WHO_AND_WHY)),
    "ReleaseOrder": Row(
        Who.OPERATOR,
        operator_pb2.ReleaseOrderRequest(order_id="o-1", released_by="tester", reason="checked"),
    ),
    "AcceptRecovery": Row(Who.OPERATOR, operator_pb2.AcceptRecoveryRequest(**_ACCEPTED)),
    "AcceptClock": Row(Who.OPERATOR, operator_pb2.AcceptClockRequest(**_ACCEPTED)),
    "ReloadConfig": Row(  # of a file that loosens (`callers.looser`): what tightens is free
        Who.OPERATOR,
        config_pb2.ReloadConfigRequest(reloaded_by="tester", reason="checked"),
    ),
    "GetConfig": Row(Who.ANYONE, config_pb2.GetConfigRequest()),
    "ListAudit": Row(Who.ANYONE, audit_pb2.ListAuditRequest(limit=10)),
    "StreamAudit": Row(Who.ANYONE, audit_pb2.StreamAuditRequest()),
}
TABLE: Final[dict[str, dict[str, Row]]] = {
    "haltline.v1.SafetyService": SAFETY,
    "haltline.v1.OperatorService": OPERATOR,
    "grpc.health.v1.Health": {
        "Check": Row(Who.ANYONE, health_pb2.HealthCheckRequest()),
        "Watch": Row(Who.ANYONE, health_pb2.HealthCheckRequest()),
    },
    "grpc.reflection.v1alpha.ServerReflection": {
        "ServerReflectionInfo": Row(
            Who.ANYONE, reflection_pb2.ServerReflectionRequest(list_services="")
        ),
    },
}
NOT_SERVED: Final = frozenset({"grpc.health.v1.Health.List"})
"""Calls of others that newer packages describe and this sidecar answers with UNIMPLEMENTED."""
SERVED_ERRORS: Final = frozenset({"ORDER_UNKNOWN"})
"""Errors that only somebody gets who was let in."""


@dataclass(frozen=True, slots=True)
class Call:
    """One call of the contract with its row."""

    descriptor: MethodDescriptor
    row: Row

    @property
    def name(self) -> str:
        """`SafetyService/CheckOrder`."""
        return f"{self.descriptor.containing_service.name}/{self.descriptor.name}"

    @property
    def path(self) -> str:
        """As gRPC and a proof name it."""
        return f"/{self.descriptor.containing_service.full_name}/{self.descriptor.name}"

    @property
    def answer_kind(self) -> type[Any]:
        """The class of the answer."""
        return GetMessageClass(self.descriptor.output_type)


def services() -> Iterator[ServiceDescriptor]:
    """Yield every service of the contract, whoever added it, then those served beside it."""
    for module in pkgutil.iter_modules(haltline.v1.__path__):
        if module.name.endswith("_pb2"):
            found = import_module(f"haltline.v1.{module.name}").DESCRIPTOR.services_by_name
            yield from (found[name] for name in sorted(found))
    yield health_pb2.DESCRIPTOR.services_by_name["Health"]
    yield reflection_pb2.DESCRIPTOR.services_by_name["ServerReflection"]


def methods() -> Iterator[MethodDescriptor]:
    """Yield every call that is served."""
    for service in services():
        yield from (each for each in service.methods if each.full_name not in NOT_SERVED)


def calls() -> list[Call]:
    """Return every call that has a row."""
    found = []
    for method in methods():
        row = TABLE.get(method.containing_service.full_name, {}).get(method.name)
        if row is not None:
            found.append(Call(method, row))
    return found
