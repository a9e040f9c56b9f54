"""The commands in the requests of a log, read without the sidecar's own reading.

Rules: every field the traffic uses is carried over, every other stays at its default; words are the
contract's names without their prefix.
"""

from decimal import Decimal
from typing import Any

from haltline.v1 import (
    account_pb2,
    kill_switch_pb2,
    operator_pb2,
    order_pb2,
    reports_pb2,
)

from sidecar.core import commands


def order_of(message: order_pb2.CheckOrderRequest) -> commands.CheckOrder:
    """Return the order asked about."""
    return commands.CheckOrder(
        order_id=message.order_id,
        strategy=message.strategy,
        symbol=message.symbol,
        side=_side(message.side),
        order_type=commands.OrderType(_word(order_pb2.OrderType, "ORDER_TYPE", message.order_type)),
        quantity=Decimal(message.quantity),
        limit_price=_number(message, "limit_price"),
        dry_run=message.dry_run,
    )


def report_of(message: reports_pb2.ReportTradeRequest) -> commands.ReportTrade:
    """Return the trade report."""
    kind = _word(reports_pb2.TradeReportKind, "TRADE_REPORT_KIND", message.kind)
    return commands.ReportTrade(
        report_id=message.report_id,
        order_id=message.order_id,
        strategy=message.strategy,
        symbol=message.symbol,
        side=_side(message.side),
        kind=commands.ReportKind(kind),
        fill_quantity=_number(message, "fill_quantity"),
        fill_price=_number(message, "fill_price"),
        fee=_number(message, "fee"),
        order_done=message.order_done,
    )


def account_of(message: account_pb2.ReportAccountRequest) -> commands.ReportAccount:
    """Return the account report."""
    return commands.ReportAccount(
        report_id=message.report_id,
        equity=_number(message, "equity"),
        marks=tuple(
            commands.ReportedMark(symbol=mark.symbol, price=Decimal(mark.price))
            for mark in message.marks
        ),
        cash_flows=tuple(
            commands.CashFlow(flow_id=flow.flow_id, amount=Decimal(flow.amount))
            for flow in message.cash_flows
        ),
    )


def api_error_of(message: reports_pb2.ReportApiErrorRequest) -> commands.ReportApiError:
    """Return the report of a failed venue call."""
    return commands.ReportApiError(report_id=message.report_id, api=message.api)


def kill_of(message: kill_switch_pb2.TriggerKillRequest) -> commands.TriggerKill:
    """Return the trigger; a word that is not given stays empty."""
    kind = message.scope.WhichOneof("scope")
    action = _word(kill_switch_pb2.RequestedAction, "REQUESTED_ACTION", message.requested_action)
    mode = _word(kill_switch_pb2.KillMode, "KILL_MODE", message.mode)
    return commands.TriggerKill(
        reason=message.reason,
        triggered_by=message.triggered_by,
        mode="" if mode == "UNSPECIFIED" else mode,
        scope_kind="" if kind is None else kind.upper(),
        scope_name=message.scope.strategy or message.scope.symbol,
        requested_action="" if action == "UNSPECIFIED" else action,
    )


def scope_of(scope: kill_switch_pb2.KillScope) -> commands.KillScope:
    """Return a scope that says something."""
    kind = scope.WhichOneof("scope")
    assert kind is not None
    return commands.KillScope(
        commands.ScopeKind(kind.upper()), "" if kind == "all" else getattr(scope, kind)
    )


def start_of(message: Any) -> commands.StartingCommand:  # noqa: ANN401 - one of the four requests below
    """Return the reset or easing."""
    fields: dict[str, Any] = {"reset_by": message.reset_by, "reason": message.reason}
    if isinstance(message, (operator_pb2.ResetBreakerRequest, operator_pb2.ResetAllRequest)):
        fields["rebase"] = tuple(
            commands.Drawdown(_word(account_pb2.DrawdownKind, "DRAWDOWN_KIND", kind))
            for kind in message.rebase
        )
    if isinstance(message, operator_pb2.ResetBreakerRequest):
        return commands.ResetBreaker(**fields)
    if message.HasField("scope"):
        fields["scope"] = scope_of(message.scope)
    if message.HasField("expected_epoch"):
        fields["expected_epoch"] = message.expected_epoch
    if isinstance(message, operator_pb2.EaseKillRequest):
        return commands.EaseKill(**fields)
    if isinstance(message, operator_pb2.ResetKillRequest):
        return commands.ResetKill(**fields)
    return commands.ResetAll(**fields)


def release_of(message: operator_pb2.ReleaseOrderRequest) -> commands.ReleaseOrder:
    """Return the release."""
    return commands.ReleaseOrder(
        order_id=message.order_id, released_by=message.released_by, reason=message.reason
    )


def _word(kind: Any, prefix: str, number: int) -> str:  # noqa: ANN401 - an enumeration of the contract
    name: str = kind.Name(number)
    return name.removeprefix(f"{prefix}_")


def _side(number: order_pb2.Side.ValueType) -> commands.Side:
    return commands.Side(_word(order_pb2.Side, "SIDE", number))


def _number(message: Any, name: str) -> Decimal | None:  # noqa: ANN401 - any message with optional decimals
    return Decimal(getattr(message, name)) if message.HasField(name) else None
