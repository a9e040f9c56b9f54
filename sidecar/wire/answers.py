"""Writes the answers to reports and kills."""

from collections.abc import Iterable

from haltline.v1 import account_pb2, kill_switch_pb2, reports_pb2

from sidecar.core.answers import (
    AccountAnswer,
    Activation,
    ApiErrorAnswer,
    Drift,
    KillAnswer,
    TradeAnswer,
)
from sidecar.core.denial import CallRefused
from sidecar.wire.errors import call_error
from sidecar.wire.pieces import (
    kill_scope,
    optional_decimal,
    receipt_message,
    short_status,
    timestamp,
)
from sidecar.wire.tables import ACTION_NUMBERS, DRIFT_NUMBERS, KILL_MODE_NUMBERS


def trade_answer(answer: TradeAnswer, store_id: str) -> reports_pb2.ReportTradeResponse:
    """Return the answer to ReportTrade."""
    return reports_pb2.ReportTradeResponse(
        duplicate=answer.duplicate,
        unsolicited=answer.unsolicited,
        sequence=answer.sequence,
        status=short_status(answer.status),
        store_id=store_id,
        receipt=receipt_message(answer.receipt),
    )


def trades_answer(
    results: Iterable[TradeAnswer | CallRefused], store_id: str
) -> reports_pb2.ReportTradesResponse:
    """Return each answer or error in its place."""
    response = reports_pb2.ReportTradesResponse(store_id=store_id)
    for result in results:
        item = response.results.add()
        if isinstance(result, CallRefused):
            item.error.CopyFrom(call_error(result))
        else:
            item.report.CopyFrom(trade_answer(result, store_id))
    return response


def api_error_answer(answer: ApiErrorAnswer, store_id: str) -> reports_pb2.ReportApiErrorResponse:
    """Return the answer to ReportApiError."""
    return reports_pb2.ReportApiErrorResponse(
        errors_in_window=answer.errors_in_window,
        status=short_status(answer.status),
        duplicate=answer.duplicate,
        sequence=answer.sequence,
        store_id=store_id,
        receipt=receipt_message(answer.receipt),
    )


def account_answer(answer: AccountAnswer, store_id: str) -> account_pb2.ReportAccountResponse:
    """Return the answer to ReportAccount."""
    return account_pb2.ReportAccountResponse(
        equity=optional_decimal(answer.equity),
        drift=[drift_message(drift) for drift in answer.drift],
        skipped_books=[
            account_pb2.Book(strategy=book.strategy, symbol=book.symbol)
            for book in answer.skipped_books
        ],
        status=short_status(answer.status),
        duplicate=answer.duplicate,
        sequence=answer.sequence,
        store_id=store_id,
        receipt=receipt_message(answer.receipt),
    )


def drift_message(drift: Drift) -> account_pb2.Drift:
    """Return one difference between a report and what we held."""
    return account_pb2.Drift(
        kind=DRIFT_NUMBERS.get(drift.kind, account_pb2.DRIFT_KIND_UNSPECIFIED),
        strategy=drift.strategy,
        symbol=drift.symbol,
        order_id=drift.order_id,
        expected=optional_decimal(drift.ours),
        reported=optional_decimal(drift.theirs),
    )


def kill_answer(answer: KillAnswer, store_id: str) -> kill_switch_pb2.TriggerKillResponse:
    """Return the answer to TriggerKill."""
    return kill_switch_pb2.TriggerKillResponse(
        already_active=answer.already_active,
        activation=activation_message(answer.activation),
        scope_known=answer.scope_known,
        durable=answer.durable,
        advice=answer.advice,
        sequence=answer.sequence if answer.durable else 0,
        store_id=store_id,
        receipt=receipt_message(answer.receipt),
    )


def activation_message(activation: Activation) -> kill_switch_pb2.KillActivation:
    """Return one kill in force."""
    return kill_switch_pb2.KillActivation(
        epoch=activation.epoch,
        reason=activation.reason,
        triggered_by=activation.triggered_by,
        triggered_at=timestamp(activation.triggered_at),
        mode=KILL_MODE_NUMBERS[activation.mode],
        scope=kill_scope(activation.scope),
        attempts=min(activation.attempts, 2**32 - 1),
        requested_action=ACTION_NUMBERS[activation.requested_action],
        scope_known=activation.scope_known,
    )
