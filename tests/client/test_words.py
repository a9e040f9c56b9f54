"""The client's words are the contract's, none missing, none invented."""

import enum

import pytest
from google.protobuf.descriptor import EnumDescriptor
from haltline import words
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

PAIRS = [
    (words.Side, order_pb2.Side.DESCRIPTOR),
    (words.OrderType, order_pb2.OrderType.DESCRIPTOR),
    (words.Verdict, order_pb2.Verdict.DESCRIPTOR),
    (words.BatchMode, order_pb2.BatchMode.DESCRIPTOR),
    (words.Layer, denial_pb2.Layer.DESCRIPTOR),
    (words.DenialCode, denial_pb2.DenialCode.DESCRIPTOR),
    (words.ViolationScope, denial_pb2.ViolationScope.DESCRIPTOR),
    (words.TradeReportKind, reports_pb2.TradeReportKind.DESCRIPTOR),
    (words.TradingMode, short_status_pb2.TradingMode.DESCRIPTOR),
    (words.CircuitBreakerState, circuit_breaker_pb2.CircuitBreakerState.DESCRIPTOR),
    (words.KillSwitchState, kill_switch_pb2.KillSwitchState.DESCRIPTOR),
    (words.KillMode, kill_switch_pb2.KillMode.DESCRIPTOR),
    (words.RequestedAction, kill_switch_pb2.RequestedAction.DESCRIPTOR),
    (words.ClockMode, status_pb2.ClockMode.DESCRIPTOR),
    (words.FrameKind, status_pb2.FrameKind.DESCRIPTOR),
    (words.DrawdownKind, account_pb2.DrawdownKind.DESCRIPTOR),
]


@pytest.mark.parametrize(("word", "descriptor"), PAIRS, ids=[pair[0].__name__ for pair in PAIRS])
def test_words_are_the_contracts(word: type[enum.IntEnum], descriptor: EnumDescriptor) -> None:
    """Each enum has every value of its contract's, by name and number, but the zero."""
    zero = descriptor.values_by_number[0].name
    prefix = zero.removesuffix("UNSPECIFIED")
    contract = {
        value.name.removeprefix(prefix): value.number for value in descriptor.values if value.number
    }
    assert {member.name: member.value for member in word} == contract


def test_zero_and_unknown_numbers_are_no_words() -> None:
    """UNSPECIFIED and a number of a later contract are None: the reader fails closed (S15)."""
    assert words.known(words.Verdict, 0) is None
    assert words.known(words.Verdict, 7) is None
    assert words.known(words.Verdict, 1) is words.Verdict.APPROVED
