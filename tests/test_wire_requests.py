"""Requests become commands, and a faulty one names every fault (S2.1, S4.1, S7.4, S8.2)."""

from __future__ import annotations

from decimal import Decimal

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from haltline.v1 import account_pb2, kill_switch_pb2, operator_pb2, order_pb2, reports_pb2
from hypothesis import given
from hypothesis import strategies as st

from sidecar import wire
from sidecar.core.commands import (
    BatchMode,
    CheckOrder,
    Drawdown,
    KillScope,
    OrderType,
    ReportKind,
    ScopeKind,
    Side,
    TriggerKill,
)
from sidecar.core.denial import CallRefused, ErrorCode


def an_order(**changes: object) -> order_pb2.CheckOrderRequest:
    """Return a sound limit order with `changes`."""
    fields: dict[str, object] = {
        "order_id": "o-1",
        "strategy": "momentum",
        "symbol": "AAPL",
        "side": order_pb2.SIDE_BUY,
        "order_type": order_pb2.ORDER_TYPE_LIMIT,
        "quantity": "10",
        "limit_price": "185.25",
    }
    fields.update(changes)
    return order_pb2.CheckOrderRequest(**fields)  # type: ignore[arg-type] # fields by name


def fields_of(refused: CallRefused) -> list[str]:
    """Return the names of the faulty fields, in order."""
    return [fault.field for fault in refused.field_faults]


def test_an_order_is_read_whole() -> None:
    """Every field of CheckOrder reaches the core as its exact value (S4.6)."""
    message = an_order(
        order_type=order_pb2.ORDER_TYPE_STOP_LIMIT,
        side=order_pb2.SIDE_SELL,
        stop_price="180",
        reference_price="184.5",
        reduce_only=True,
        dry_run=True,
        good_till=Timestamp(seconds=1_700_000_000, nanos=5),
        replaces_order_id="o-0",
        one_cancels_other_group="g",
    )
    assert wire.read_order(message) == CheckOrder(
        order_id="o-1",
        strategy="momentum",
        symbol="AAPL",
        side=Side.SELL,
        order_type=OrderType.STOP_LIMIT,
        quantity=Decimal(10),
        limit_price=Decimal("185.25"),
        stop_price=Decimal(180),
        reference_price=Decimal("184.5"),
        reduce_only=True,
        dry_run=True,
        good_till=1_700_000_000_000_000_005,
        replaces_order_id="o-0",
        one_cancels_other_group="g",
    )


def test_absent_fields_stay_absent() -> None:
    """What an order does not carry is None, never an empty text or a zero (S2.1)."""
    order = wire.read_order(an_order())
    assert order.stop_price is None
    assert order.reference_price is None
    assert order.good_till is None
    assert order.replaces_order_id is None
    assert order.one_cancels_other_group is None


def test_a_malformed_order_lists_all_its_faulty_fields() -> None:
    """A malformed request is INVALID_ARGUMENT with every faulty field (S4.1)."""
    message = order_pb2.CheckOrderRequest(
        order_id="",
        strategy="mo mentum",
        symbol="x" * 129,
        quantity="NaN",
        limit_price="1e400",
        stop_price="",
        reference_price="-1",
        good_till=Timestamp(seconds=-1),
        replaces_order_id="",
        one_cancels_other_group="\u00e4",
    )
    with pytest.raises(CallRefused) as caught:
        wire.read_order(message)
    assert caught.value.code is ErrorCode.INVALID_ARGUMENT
    assert sorted(fields_of(caught.value)) == sorted(
        [
            "order_id",
            "strategy",
            "symbol",
            "side",
            "order_type",
            "quantity",
            "limit_price",
            "stop_price",
            "reference_price",
            "good_till",
            "replaces_order_id",
            "one_cancels_other_group",
        ]
    )


@pytest.mark.parametrize("seconds", [9_000_000_000, 253_402_300_799, 2**62, -(2**62)])
def test_a_time_that_fits_no_record_is_named(seconds: int) -> None:
    """A time whose nanoseconds no record can hold is a fault; it once poisoned the store (S4.1)."""
    with pytest.raises(CallRefused) as caught:
        wire.read_order(an_order(good_till=Timestamp(seconds=seconds)))
    assert fields_of(caught.value) == ["good_till"]


@pytest.mark.parametrize(
    "text",
    ["NaN", "1e400", "", "12345678901234567890123456789", "0", "-0", "-1", "+1", " 1", "1_0"],
)
def test_a_quantity_outside_the_grammar_is_named(text: str) -> None:
    """NaN, 1e400, empty, 29 digits, zero and looser numbers are no quantity (S2.1)."""
    with pytest.raises(CallRefused) as caught:
        wire.read_order(an_order(quantity=text))
    assert fields_of(caught.value) == ["quantity"]


@pytest.mark.parametrize(
    ("order_type", "prices", "faults"),
    [
        (order_pb2.ORDER_TYPE_MARKET, {"limit_price": "1"}, ["limit_price"]),
        (order_pb2.ORDER_TYPE_LIMIT, {}, ["limit_price"]),
        (order_pb2.ORDER_TYPE_LIMIT, {"limit_price": "1", "stop_price": "1"}, ["stop_price"]),
        (order_pb2.ORDER_TYPE_STOP, {"limit_price": "1"}, ["limit_price", "stop_price"]),
        (order_pb2.ORDER_TYPE_STOP_LIMIT, {}, ["limit_price", "stop_price"]),
    ],
)
def test_prices_that_contradict_the_type_are_named(
    order_type: int, prices: dict[str, str], faults: list[str]
) -> None:
    """MARKET with a limit price and LIMIT without one are INVALID_ARGUMENT (S2.1)."""
    message = an_order(order_type=order_type)
    message.ClearField("limit_price")
    for name, price in prices.items():
        setattr(message, name, price)
    with pytest.raises(CallRefused) as caught:
        wire.read_order(message)
    assert sorted(fields_of(caught.value)) == faults


@pytest.mark.parametrize("number", [0, 99])
def test_an_unknown_side_or_type_is_named(number: int) -> None:
    """UNSPECIFIED and numbers the contract does not have are faults, not guesses (S2.1)."""
    message = an_order()
    message.side = number  # type: ignore[assignment] # the contract has no such number
    message.order_type = number  # type: ignore[assignment] # the contract has no such number
    with pytest.raises(CallRefused) as caught:
        wire.read_order(message)
    assert fields_of(caught.value) == ["side", "order_type"]


def test_a_batch_keeps_a_malformed_order_in_its_place() -> None:
    """A malformed order of a batch is an error in its place; the others stand (S4.1)."""
    message = order_pb2.CheckOrdersRequest(
        orders=[an_order(), an_order(order_id="o-2", quantity="0"), an_order(order_id="o-3")],
        mode=order_pb2.BATCH_MODE_INDEPENDENT,
    )
    orders, mode = wire.read_orders(message)
    assert mode is BatchMode.INDEPENDENT
    assert [type(order).__name__ for order in orders] == ["CheckOrder", "CallRefused", "CheckOrder"]


def test_a_batch_with_an_id_twice_is_faulty() -> None:
    """An order id twice in a batch is a fault of the batch, naming the second (S4.1)."""
    message = order_pb2.CheckOrdersRequest(
        orders=[an_order(), an_order(order_id="o-2"), an_order()],
    )
    with pytest.raises(CallRefused) as caught:
        wire.read_orders(message)
    assert fields_of(caught.value) == ["mode", "orders[2].order_id"]


@pytest.mark.parametrize("count", [0, 257])
def test_a_batch_has_a_bound(count: int) -> None:
    """A batch of none or of more than 256 orders is refused whole."""
    message = order_pb2.CheckOrdersRequest(
        orders=[an_order(order_id=f"o-{at}") for at in range(count)],
        mode=order_pb2.BATCH_MODE_ALL_OR_NONE,
    )
    with pytest.raises(CallRefused) as caught:
        wire.read_orders(message)
    assert fields_of(caught.value) == ["orders"]


def a_fill(**changes: object) -> reports_pb2.ReportTradeRequest:
    """Return a sound fill with `changes`."""
    fields: dict[str, object] = {
        "report_id": "r-1",
        "order_id": "o-1",
        "strategy": "momentum",
        "symbol": "AAPL",
        "side": order_pb2.SIDE_BUY,
        "kind": reports_pb2.TRADE_REPORT_KIND_FILLED,
        "fill_quantity": "10",
        "fill_price": "185.25",
    }
    fields.update(changes)
    return reports_pb2.ReportTradeRequest(**fields)  # type: ignore[arg-type] # fields by name


def test_a_fill_is_read_with_its_costs() -> None:
    """A fee may be a rebate, a realised result a loss; both keep their sign (S7.4)."""
    report = wire.read_report_trade(
        a_fill(fee="-0.25", realized_pnl="-12.5", venue_time=Timestamp(seconds=5), note="n")
    )
    assert report.kind is ReportKind.FILLED
    assert report.fee == Decimal("-0.25")
    assert report.realized_pnl == Decimal("-12.5")
    assert report.venue_time == 5_000_000_000
    assert report.note == "n"


@pytest.mark.parametrize(
    ("changes", "faults"),
    [
        ({"kind": reports_pb2.TRADE_REPORT_KIND_CANCELED}, ["fill_price", "fill_quantity"]),
        ({"fill_quantity": None, "fill_price": None}, ["fill_price", "fill_quantity"]),
        ({"new_quantity": "5"}, ["new_quantity"]),
        ({"fee_quantity": "0"}, ["fee_quantity"]),
        ({"kind": 0, "side": 0, "report_id": ""}, ["kind", "report_id", "side"]),
    ],
)
def test_a_report_that_contradicts_its_kind_names_the_fields(
    changes: dict[str, object], faults: list[str]
) -> None:
    """Fields of another kind, and missing ones of this kind, are all named (S7.4)."""
    with pytest.raises(CallRefused) as caught:
        wire.read_report_trade(a_fill(**changes))
    assert sorted(fields_of(caught.value)) == faults


def test_a_replacement_needs_its_quantity() -> None:
    """REPLACED without new_quantity says nothing that could be reserved (S7.3)."""
    message = a_fill(kind=reports_pb2.TRADE_REPORT_KIND_REPLACED, order_done=True)
    message.ClearField("fill_quantity")
    message.ClearField("fill_price")
    with pytest.raises(CallRefused) as caught:
        wire.read_report_trade(message)
    assert fields_of(caught.value) == ["new_quantity", "order_done"]


def test_texts_for_people_are_cut_and_marked() -> None:
    """An over-long text is cut at its bound and marked; the report is taken (reports.proto)."""
    report = wire.read_report_trade(a_fill(note="n" * 1_000_000))
    assert (len(report.note), report.note[-4:]) == (512, " ...")
    error = wire.read_report_api_error(
        reports_pb2.ReportApiErrorRequest(
            report_id="e", api="a" * 129, code="c" * 128, message="m" * 513
        )
    )
    assert (len(error.api), error.api[-4:]) == (128, " ...")
    assert error.error_code == "c" * 128
    assert len(error.message) == 512


def test_an_account_report_names_faults_by_their_place() -> None:
    """A fault deep in a list is named with its index: `positions[1].quantity` (S8.2)."""
    message = account_pb2.ReportAccountRequest(
        report_id="r",
        equity="1e5",
        positions=[
            account_pb2.AccountPosition(strategy="s", symbol="A", quantity="-5"),
            account_pb2.AccountPosition(strategy="s", symbol="B", quantity="", average_price="0"),
            account_pb2.AccountPosition(strategy="s", symbol="A", quantity="1"),
        ],
        positions_complete=True,
        open_orders=[account_pb2.OpenOrder(order_id="o", strategy="s", symbol="A")],
        cash_flows=[account_pb2.CashFlow(flow_id="f", amount="-0")],
        marks=[account_pb2.Mark(symbol="A", price="-1")],
    )
    with pytest.raises(CallRefused) as caught:
        wire.read_report_account(message)
    assert sorted(fields_of(caught.value)) == sorted(
        [
            "equity",
            "positions[1].quantity",
            "positions[1].average_price",
            "positions[2]",
            "open_orders[0].side",
            "open_orders[0].remaining_quantity",
            "open_orders[0].cumulative_filled_quantity",
            "open_orders",
            "cash_flows[0].amount",
            "marks[0].price",
            "as_of_sequence",
            "as_of_venue_time",
        ]
    )


def test_a_complete_account_report_is_read() -> None:
    """Complete lists come with the sequence and the venue's time they are of (S8.2)."""
    report = wire.read_report_account(
        account_pb2.ReportAccountRequest(
            report_id="r",
            equity="-5",
            positions=[account_pb2.AccountPosition(strategy="s", symbol="A", quantity="0")],
            positions_complete=True,
            open_orders_complete=True,
            as_of_sequence=0,
            as_of_venue_time=Timestamp(seconds=7),
            cash_flows=[account_pb2.CashFlow(flow_id="f", amount="-3")],
        ),
        has_operator_proof=True,
    )
    assert report.equity == Decimal(-5)
    assert report.as_of_sequence == 0
    assert report.as_of_venue_time == 7_000_000_000
    assert report.cash_flows[0].amount == Decimal(-3)
    assert report.has_operator_proof


@given(body=st.binary(max_size=200))
def test_no_bytes_make_a_trigger_fail(body: bytes) -> None:
    """No argument makes a trigger fail: not even bytes that are no message (S10.1)."""
    assert isinstance(wire.read_trigger_kill(body), TriggerKill)


def test_a_trigger_of_unknown_words_has_empty_ones() -> None:
    """Unknown words reach the core as empty ones, which it reads as HALT and ALL (S10.1)."""
    message = kill_switch_pb2.TriggerKillRequest(reason="why", triggered_by="who")
    message.mode = 77  # type: ignore[assignment] # the contract has no such number
    message.requested_action = 77  # type: ignore[assignment] # the contract has no such number
    assert wire.read_trigger_kill(message.SerializeToString()) == TriggerKill(
        reason="why", triggered_by="who"
    )


def test_a_trigger_keeps_its_words() -> None:
    """Known words are passed on as the core's own (S10.1)."""
    message = kill_switch_pb2.TriggerKillRequest(
        mode=kill_switch_pb2.KILL_MODE_REDUCE_ONLY,
        scope=kill_switch_pb2.KillScope(symbol="AAPL"),
        requested_action=kill_switch_pb2.REQUESTED_ACTION_FLATTEN,
    )
    assert wire.read_trigger_kill(message.SerializeToString()) == TriggerKill(
        mode="REDUCE_ONLY", scope_kind="SYMBOL", scope_name="AAPL", requested_action="FLATTEN"
    )


def test_a_start_must_say_who_and_why() -> None:
    """Starting is hard: who, why and a scope that says something are all asked for (S1.1)."""
    message = operator_pb2.ResetAllRequest(
        reset_by=" ",
        reason="x" * 513,
        scope=kill_switch_pb2.KillScope(),
        rebase=[0, account_pb2.DRAWDOWN_KIND_DAILY, account_pb2.DRAWDOWN_KIND_DAILY],  # type: ignore[list-item] # 0 is no drawdown
    )
    with pytest.raises(CallRefused) as caught:
        wire.read_reset_all(message)
    assert fields_of(caught.value) == ["reset_by", "reason", "scope", "rebase[0]", "rebase[2]"]


def test_a_reset_is_read_whole() -> None:
    """Scope, epoch and re-based drawdowns reach the core (S9, S10.3)."""
    command = wire.read_reset_all(
        operator_pb2.ResetAllRequest(
            reset_by="alice",
            reason="checked",
            scope=kill_switch_pb2.KillScope(strategy="momentum"),
            expected_epoch=0,
            rebase=[account_pb2.DRAWDOWN_KIND_WEEKLY],
        )
    )
    assert command.scope == KillScope(ScopeKind.STRATEGY, "momentum")
    assert command.expected_epoch == 0
    assert command.rebase == (Drawdown.WEEKLY,)
