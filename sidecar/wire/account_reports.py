"""Reads what a bot says the venue holds (S8).

Rules:
1. Lists are bounded, and no key stands in one twice.
2. Complete lists name the sequence they are of; complete positions the venue's time too (S8.2).
"""

from collections.abc import Iterable, Sequence
from typing import Final

from haltline.v1 import account_pb2

from sidecar.core.commands import (
    CashFlow,
    ReportAccount,
    ReportedMark,
    ReportedOrder,
    ReportedPosition,
)
from sidecar.core.forms import Form
from sidecar.core.numbers import ZERO
from sidecar.wire.pieces import read_time, read_word
from sidecar.wire.tables import SIDES

LIST_COUNT_MAX: Final = 10_000
FLOWS_COUNT_MAX: Final = 1_000


def read_report_account(
    message: account_pb2.ReportAccountRequest, *, has_operator_proof: bool = False
) -> ReportAccount:
    """Return the report; CallRefused naming every faulty field, `positions[2].quantity` and all."""
    form = Form()
    _check_counts(form, message)
    has = message.HasField
    report = ReportAccount(
        report_id=form.name("report_id", message.report_id),
        equity=form.signed("equity", message.equity) if has("equity") else None,
        positions=tuple(_position(form, at, item) for at, item in enumerate(message.positions)),
        positions_complete=message.positions_complete,
        open_orders=tuple(_order(form, at, item) for at, item in enumerate(message.open_orders)),
        open_orders_complete=message.open_orders_complete,
        as_of_sequence=message.as_of_sequence if has("as_of_sequence") else None,
        as_of_venue_time=read_time(form, "as_of_venue_time", message.as_of_venue_time)
        if has("as_of_venue_time")
        else None,
        cash_flows=tuple(_flow(form, at, item) for at, item in enumerate(message.cash_flows)),
        marks=tuple(_mark(form, at, item) for at, item in enumerate(message.marks)),
        has_operator_proof=has_operator_proof,
    )
    _check_completeness(form, report)
    _check_unique(form, "positions", ((item.strategy, item.symbol) for item in report.positions))
    _check_unique(form, "open_orders", (item.order_id for item in report.open_orders))
    _check_unique(form, "cash_flows", (item.flow_id for item in report.cash_flows))
    _check_unique(form, "marks", (item.symbol for item in report.marks))
    form.finish()
    return report


def _check_counts(form: Form, message: account_pb2.ReportAccountRequest) -> None:
    """Refuse at once where a list is too long: its items are not even read."""
    lists: tuple[tuple[str, Sequence[object], int], ...] = (
        ("positions", message.positions, LIST_COUNT_MAX),
        ("open_orders", message.open_orders, LIST_COUNT_MAX),
        ("cash_flows", message.cash_flows, FLOWS_COUNT_MAX),
        ("marks", message.marks, LIST_COUNT_MAX),
    )
    for field, items, count_max in lists:
        if len(items) > count_max:
            form.fault(field, f"must be at most {count_max}, was {len(items)}")
    form.finish()


def _check_completeness(form: Form, report: ReportAccount) -> None:
    is_complete = report.positions_complete or report.open_orders_complete
    if report.positions and not report.positions_complete:
        form.fault("positions", "must be empty unless positions_complete: a part replaces nothing")
    if report.open_orders and not report.open_orders_complete:
        form.fault(
            "open_orders", "must be empty unless open_orders_complete: a part replaces nothing"
        )
    if is_complete and report.as_of_sequence is None:
        form.fault("as_of_sequence", "is required with complete positions or open orders")
    if not is_complete and report.as_of_sequence is not None:
        form.fault("as_of_sequence", "must be absent without complete positions or open orders")
    if report.positions_complete and report.as_of_venue_time is None:
        form.fault("as_of_venue_time", "is required with complete positions")
    if not is_complete and report.as_of_venue_time is not None:
        form.fault("as_of_venue_time", "must be absent without complete positions or open orders")


def _check_unique(form: Form, field: str, keys: Iterable[object]) -> None:
    first_at: dict[object, int] = {}
    for at, key in enumerate(keys):
        seen = first_at.setdefault(key, at)
        if seen != at:
            form.fault(f"{field}[{at}]", f"stands in {field}[{seen}] already")


def _position(form: Form, at: int, item: account_pb2.AccountPosition) -> ReportedPosition:
    path = f"positions[{at}]"
    return ReportedPosition(
        strategy=form.name(f"{path}.strategy", item.strategy),
        symbol=form.name(f"{path}.symbol", item.symbol),
        quantity=form.signed(f"{path}.quantity", item.quantity),
        average_price=form.positive(f"{path}.average_price", item.average_price)
        if item.HasField("average_price")
        else None,
    )


def _order(form: Form, at: int, item: account_pb2.OpenOrder) -> ReportedOrder:
    path = f"open_orders[{at}]"
    return ReportedOrder(
        order_id=form.name(f"{path}.order_id", item.order_id),
        strategy=form.name(f"{path}.strategy", item.strategy),
        symbol=form.name(f"{path}.symbol", item.symbol),
        side=read_word(form, f"{path}.side", item.side, SIDES),
        remaining_quantity=form.positive(f"{path}.remaining_quantity", item.remaining_quantity),
        cumulative_filled_quantity=form.not_negative(
            f"{path}.cumulative_filled_quantity", item.cumulative_filled_quantity
        ),
        limit_price=form.positive(f"{path}.limit_price", item.limit_price)
        if item.HasField("limit_price")
        else None,
    )


def _flow(form: Form, at: int, item: account_pb2.CashFlow) -> CashFlow:
    path = f"cash_flows[{at}]"
    faults_count = len(form.faults)
    flow = CashFlow(
        flow_id=form.name(f"{path}.flow_id", item.flow_id),
        amount=form.signed(f"{path}.amount", item.amount),
    )
    if flow.amount == ZERO and len(form.faults) == faults_count:
        form.fault(f"{path}.amount", "must not be 0")
    return flow


def _mark(form: Form, at: int, item: account_pb2.Mark) -> ReportedMark:
    path = f"marks[{at}]"
    return ReportedMark(
        symbol=form.name(f"{path}.symbol", item.symbol),
        price=form.positive(f"{path}.price", item.price),
    )
