"""Reads what a bot reports about its orders and its venue's API.

Rules:
1. A field that contradicts the kind of report is a fault (S7.4): `forms.check_report_fields`.
2. Texts for people are cut and marked, never refused: one of 4 MiB would not fit into a record of
   the journal, and what cannot be remembered stops everything.
"""

from typing import Final

from haltline.v1 import reports_pb2

from sidecar.core.commands import ReportApiError, ReportKind, ReportTrade
from sidecar.core.denial import CallRefused
from sidecar.core.forms import Form, check_report_fields
from sidecar.wire.pieces import cut, read_time, read_word
from sidecar.wire.tables import REPORT_KINDS, SIDES

BATCH_COUNT_MAX: Final = 256
TEXT_LENGTH_MAX: Final = 512
WORD_LENGTH_MAX: Final = 128

_OPTIONAL_FIELDS: Final = (
    "fill_quantity",
    "fill_price",
    "fee",
    "fee_quantity",
    "realized_pnl",
    "new_quantity",
    "new_limit_price",
)


def read_report_trade(message: reports_pb2.ReportTradeRequest) -> ReportTrade:
    """Return the report; CallRefused naming every faulty field."""
    form = Form()
    given = {name for name in _OPTIONAL_FIELDS if message.HasField(name)}
    report = ReportTrade(
        report_id=form.name("report_id", message.report_id),
        order_id=form.name("order_id", message.order_id),
        strategy=form.name("strategy", message.strategy),
        symbol=form.name("symbol", message.symbol),
        side=read_word(form, "side", message.side, SIDES),
        kind=read_word(form, "kind", message.kind, REPORT_KINDS),
        fill_quantity=form.positive("fill_quantity", message.fill_quantity)
        if "fill_quantity" in given
        else None,
        fill_price=form.positive("fill_price", message.fill_price)
        if "fill_price" in given
        else None,
        fee=form.signed("fee", message.fee) if "fee" in given else None,
        fee_quantity=form.positive("fee_quantity", message.fee_quantity)
        if "fee_quantity" in given
        else None,
        realized_pnl=form.signed("realized_pnl", message.realized_pnl)
        if "realized_pnl" in given
        else None,
        order_done=message.order_done,
        new_quantity=form.positive("new_quantity", message.new_quantity)
        if "new_quantity" in given
        else None,
        new_limit_price=form.positive("new_limit_price", message.new_limit_price)
        if "new_limit_price" in given
        else None,
        venue_time=read_time(form, "venue_time", message.venue_time)
        if message.HasField("venue_time")
        else None,
        note=cut(message.note, TEXT_LENGTH_MAX),
    )
    if message.kind in REPORT_KINDS:
        _check_kind(form, report, given)
    form.finish()
    return report


def _check_kind(form: Form, report: ReportTrade, given: set[str]) -> None:
    if report.kind is ReportKind.REPLACED and "new_quantity" not in given:
        form.fault("new_quantity", "is required for REPLACED")
    check_report_fields(
        form, report.kind, frozenset(given | ({"order_done"} if report.order_done else set()))
    )


def read_report_trades(
    message: reports_pb2.ReportTradesRequest,
) -> list[ReportTrade | CallRefused]:
    """Return each report or its refusal; CallRefused where there are none or too many."""
    form = Form()
    count = len(message.trades)
    if not 1 <= count <= BATCH_COUNT_MAX:
        form.fault("trades", f"must be 1 to {BATCH_COUNT_MAX} reports, was {count}")
    form.finish()
    return [_report_or_refusal(trade) for trade in message.trades]


def _report_or_refusal(message: reports_pb2.ReportTradeRequest) -> ReportTrade | CallRefused:
    try:
        return read_report_trade(message)
    except CallRefused as refused:
        return refused


def read_report_api_error(message: reports_pb2.ReportApiErrorRequest) -> ReportApiError:
    """Return the report; CallRefused where it has no id."""
    form = Form()
    report = ReportApiError(
        report_id=form.name("report_id", message.report_id),
        api=cut(message.api, WORD_LENGTH_MAX),
        error_code=cut(message.code, WORD_LENGTH_MAX),
        message=cut(message.message, TEXT_LENGTH_MAX),
    )
    form.finish()
    return report
