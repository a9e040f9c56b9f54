"""What a watcher is told of a record: decisions with numbers, equity, stops and starts."""

from __future__ import annotations

from decimal import Decimal

import orjson
import pytest

from sidecar.audit.decisions import DECISIONS_COUNT_MAX, RECORD_BYTES_MAX, tell
from sidecar.core.commands import KillMode, KillScope, OrderType, RequestedAction, Side
from sidecar.core.denial import DenialCode, Layer, Violation
from sidecar.core.events import (
    DenialsFolded,
    EquityReported,
    Event,
    KillActivated,
    OrderApproved,
    OrderDenied,
)
from sidecar.core.folds import FoldedDenials
from sidecar.service.callers import SIDECAR
from sidecar.service.records import encode_record


def record(*events: Event) -> bytes:
    """Return the bytes of record 7."""
    return encode_record(
        sequence=7, time=1_000, kind="CheckOrder", actor=SIDECAR, events=events, config_hash="c"
    )


def an_approval(order_id: str = "o-1") -> OrderApproved:
    """Return an approval of a buy of ten."""
    return OrderApproved(
        order_id, "trend", "BTC", Side.BUY, OrderType.LIMIT, Decimal(10), Decimal("1.50"), None,
        None, None, None, Decimal("1.5"), 9_000, Decimal(20), Decimal(15), False,  # noqa: FBT003 - positional by design
    )  # fmt: skip


def a_denial() -> OrderDenied:
    """Return a denial by one limit."""
    rule = Violation(
        code=DenialCode.SYMBOL_EXPOSURE,
        scope="symbol:BTC",
        rule_id="position_limits.per_symbol_ratio",
        message="too much",
        observed=Decimal(1),
        projected=Decimal(31),
        limit=Decimal(30),
    )
    return OrderDenied(
        order_id="o-2",
        strategy="trend",
        symbol="BTC",
        side=Side.SELL,
        order_type=OrderType.MARKET,
        quantity=Decimal(30),
        limit_price=None,
        stop_price=None,
        layer=Layer.POSITION_LIMITS,
        violations=(rule,),
        approvable_quantity=Decimal(29),
        counts_in_rate=True,
    )


def test_an_approval_is_told_with_its_order() -> None:
    """Who, what, how much, at which price."""
    told = tell(7, record(an_approval()))
    assert told is not None
    (one,) = told.decisions
    assert (one.verdict, one.strategy, one.side, one.quantity, one.price) == (
        "APPROVED", "trend", "BUY", "10", "1.5",
    )  # fmt: skip
    assert (one.sequence, one.time, one.broken) == (7, 1_000, ())


def test_a_denial_is_told_with_code_and_numbers() -> None:
    """The rule that was broken, what it would have become, the limit, what would pass."""
    told = tell(7, record(a_denial()))
    assert told is not None
    (one,) = told.decisions
    (rule,) = one.broken
    assert (one.verdict, one.layer, one.approvable) == ("DENIED", "POSITION_LIMITS", "29")
    assert (rule.code, rule.projected, rule.limit) == ("SYMBOL_EXPOSURE", "31", "30")


def test_folded_denials_are_one_with_their_count() -> None:
    """A flood of denials alike is told as one (S12.6)."""
    fold = FoldedDenials(
        strategy="trend", symbol="BTC", code="ORDER_RATE", peer="p", count=991, first=1, last=99
    )
    told = tell(7, record(DenialsFolded(folds=(fold,), heard={}, asked=())))
    assert told is not None
    (one,) = told.decisions
    assert (one.count, one.time, one.broken[0].code) == (991, 99, "ORDER_RATE")


def test_equity_and_stops_are_told_a_held_equity_is_not() -> None:
    """The chart begins with what the venue said, and where trading was stopped."""
    kill = KillActivated(
        scope=KillScope(),
        mode=KillMode.HALT,
        reason="r",
        triggered_by="b",
        requested_action=RequestedAction.NONE,
        scope_known=True,
    )
    told = tell(7, record(EquityReported(equity=Decimal(5), is_held=False), kill))
    assert told is not None
    assert told.equity == 5
    assert told.turns == ("kill",)
    assert tell(7, record(EquityReported(equity=Decimal(5), is_held=True))) is None


@pytest.mark.parametrize(
    "junk",
    [
        b"",
        b"{",
        b"[]",
        b"null",
        orjson.dumps({"time": 1, "events": [["OrderApproved"]]}),
        orjson.dumps({"time": 1, "events": [["OrderDenied", 1, 2, 3]]}),
        orjson.dumps({"time": "x", "events": []}),
        orjson.dumps({"time": 1, "events": [[]]}),
        orjson.dumps({"time": 1, "events": [["FromTheFuture", 1]]}),
    ],
)
def test_what_cannot_be_read_says_nothing(junk: bytes) -> None:
    """A record of another version, or none at all, raises nothing and tells nothing."""
    assert tell(7, junk) is None


def test_a_large_record_is_passed_over_and_a_batch_is_cut() -> None:
    """Neither a megabyte nor a batch of hundreds holds up the orders."""
    many = [an_approval(f"o-{number}") for number in range(DECISIONS_COUNT_MAX + 5)]
    told = tell(7, record(*many))
    assert told is not None
    assert len(told.decisions) == DECISIONS_COUNT_MAX
    assert told.decisions[-1].order_id == many[-1].order_id
    assert tell(7, record(*many) + b" " * RECORD_BYTES_MAX) is None
