"""The words of both sides, side by side: one table for each enum, made from the names.

Rules:
1. A table joins the contract's names and the core's values; a missing name fails the import.
2. Reading tables hold no zero: UNSPECIFIED is not a word, and an unknown number is none either.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Final, TypeVar

from haltline.v1 import (
    account_pb2,
    circuit_breaker_pb2,
    denial_pb2,
    kill_switch_pb2,
    order_pb2,
    reports_pb2,
    short_status_pb2,
    status_pb2,
)

from sidecar.core.answers import RecoveryState, TradingMode, Verdict
from sidecar.core.commands import (
    BatchMode,
    Drawdown,
    KillMode,
    OrderType,
    ReportKind,
    RequestedAction,
    Side,
)
from sidecar.core.denial import DenialCode, Layer

_Word = TypeVar("_Word", bound=StrEnum)
_Number = TypeVar("_Number", bound=int)


def _numbers(
    words: type[_Word], prefix: str, number: Callable[[str], _Number]
) -> dict[_Word, _Number]:
    return {word: number(f"{prefix}_{word.value}") for word in words}


def _words(numbers: dict[_Word, _Number]) -> dict[int, _Word]:
    return {number: word for word, number in numbers.items()}


SIDE_NUMBERS: Final = _numbers(Side, "SIDE", order_pb2.Side.Value)
SIDES: Final = _words(SIDE_NUMBERS)
ORDER_TYPES: Final = _words(_numbers(OrderType, "ORDER_TYPE", order_pb2.OrderType.Value))
BATCH_MODES: Final = _words(_numbers(BatchMode, "BATCH_MODE", order_pb2.BatchMode.Value))
VERDICT_NUMBERS: Final = _numbers(Verdict, "VERDICT", order_pb2.Verdict.Value)
LAYER_NUMBERS: Final = _numbers(Layer, "LAYER", denial_pb2.Layer.Value)
DENIAL_NUMBERS: Final = _numbers(DenialCode, "DENIAL_CODE", denial_pb2.DenialCode.Value)

REPORT_KIND_NUMBERS: Final = _numbers(
    ReportKind, "TRADE_REPORT_KIND", reports_pb2.TradeReportKind.Value
)
REPORT_KINDS: Final = _words(REPORT_KIND_NUMBERS)
DRAWDOWN_NUMBERS: Final = _numbers(Drawdown, "DRAWDOWN_KIND", account_pb2.DrawdownKind.Value)
DRAWDOWNS: Final = _words(DRAWDOWN_NUMBERS)

KILL_MODE_NUMBERS: Final = _numbers(KillMode, "KILL_MODE", kill_switch_pb2.KillMode.Value)
KILL_MODES: Final = _words(KILL_MODE_NUMBERS)
ACTION_NUMBERS: Final = _numbers(
    RequestedAction, "REQUESTED_ACTION", kill_switch_pb2.RequestedAction.Value
)
ACTIONS: Final = _words(ACTION_NUMBERS)

TRADING_MODE_NUMBERS: Final = _numbers(
    TradingMode, "TRADING_MODE", short_status_pb2.TradingMode.Value
)
RECOVERY_NUMBERS: Final = _numbers(RecoveryState, "RECOVERY_STATE", status_pb2.RecoveryState.Value)

CAUSE_NUMBERS: Final = {
    name.removeprefix("CIRCUIT_BREAKER_CAUSE_"): number
    for name, number in circuit_breaker_pb2.CircuitBreakerCause.items()
}
DRIFT_NUMBERS: Final = {
    name.removeprefix("DRIFT_KIND_"): number for name, number in account_pb2.DriftKind.items()
}
FLAG_NUMBERS: Final = {
    name.removeprefix("REPORT_FLAG_"): number for name, number in status_pb2.ReportFlag.items()
}
WHEN_OPEN_NUMBERS: Final = {
    name.removeprefix("WHEN_OPEN_").lower(): number
    for name, number in circuit_breaker_pb2.WhenOpen.items()
}

# The core names a scope with the thing it measures; the order already says which thing.
SCOPE_NUMBERS: Final = {
    "order": denial_pb2.VIOLATION_SCOPE_ORDER,
    "symbol": denial_pb2.VIOLATION_SCOPE_SYMBOL,
    "strategy": denial_pb2.VIOLATION_SCOPE_STRATEGY,
    "portfolio": denial_pb2.VIOLATION_SCOPE_PORTFOLIO,
    "account": denial_pb2.VIOLATION_SCOPE_PORTFOLIO,
    "sidecar": denial_pb2.VIOLATION_SCOPE_PORTFOLIO,
}
