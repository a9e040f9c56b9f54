"""Reads what stops and what starts, and writes the answers to what starts.

Rules:
1. A trigger is read from its bytes and never fails: bytes that are no message stop everything.
2. A start is read like any request: who and why must be there, a scope must say something.
"""

from collections.abc import Iterable
from typing import Final, TypeVar

from google.protobuf.message import DecodeError
from haltline.v1 import account_pb2, kill_switch_pb2, operator_pb2

from sidecar.core.answers import StartAnswer
from sidecar.core.commands import (
    AcceptRecovery,
    Drawdown,
    EaseKill,
    KillScope,
    ReleaseOrder,
    ResetAll,
    ResetBreaker,
    ResetKill,
    ScopeKind,
    TriggerKill,
)
from sidecar.core.forms import Form
from sidecar.core.numbers import format_decimal
from sidecar.wire.pieces import read_text, read_word, receipt_message, short_status
from sidecar.wire.tables import ACTIONS, DRAWDOWN_NUMBERS, DRAWDOWNS, KILL_MODES

WHO_LENGTH_MAX: Final = 128
WHY_LENGTH_MAX: Final = 512

_Answer = TypeVar(
    "_Answer",
    operator_pb2.ResetKillResponse,
    operator_pb2.EaseKillResponse,
    operator_pb2.ReleaseOrderResponse,
    operator_pb2.AcceptRecoveryResponse,
    operator_pb2.AcceptClockResponse,
)
_AnchoredAnswer = TypeVar(
    "_AnchoredAnswer", operator_pb2.ResetBreakerResponse, operator_pb2.ResetAllResponse
)


def read_trigger_kill(body: bytes) -> TriggerKill:
    """Return the trigger in `body`, whatever it holds (S10.1)."""
    try:
        message = kill_switch_pb2.TriggerKillRequest.FromString(body)
    except DecodeError:
        return TriggerKill()  # somebody wanted to stop: everything stops
    scope = message.scope
    kind = scope.WhichOneof("scope")
    return TriggerKill(
        reason=message.reason,
        triggered_by=message.triggered_by,
        mode=KILL_MODES.get(message.mode, ""),
        scope_kind="" if kind is None else kind.upper(),
        scope_name=scope.strategy or scope.symbol,
        requested_action=ACTIONS.get(message.requested_action, ""),
    )


def read_reset_kill(message: operator_pb2.ResetKillRequest) -> ResetKill:
    """Return the reset; CallRefused naming every faulty field."""
    form = Form()
    command = ResetKill(
        reset_by=read_text(form, "reset_by", message.reset_by, WHO_LENGTH_MAX),
        reason=read_text(form, "reason", message.reason, WHY_LENGTH_MAX),
        scope=_scope(form, message.scope) if message.HasField("scope") else None,
        expected_epoch=message.expected_epoch if message.HasField("expected_epoch") else None,
    )
    form.finish()
    return command


def read_ease_kill(message: operator_pb2.EaseKillRequest) -> EaseKill:
    """Return the easing; CallRefused naming every faulty field."""
    form = Form()
    command = EaseKill(
        reset_by=read_text(form, "reset_by", message.reset_by, WHO_LENGTH_MAX),
        reason=read_text(form, "reason", message.reason, WHY_LENGTH_MAX),
        scope=_scope(form, message.scope) if message.HasField("scope") else None,
        expected_epoch=message.expected_epoch if message.HasField("expected_epoch") else None,
    )
    form.finish()
    return command


def read_reset_breaker(message: operator_pb2.ResetBreakerRequest) -> ResetBreaker:
    """Return the reset; CallRefused naming every faulty field."""
    form = Form()
    command = ResetBreaker(
        reset_by=read_text(form, "reset_by", message.reset_by, WHO_LENGTH_MAX),
        reason=read_text(form, "reason", message.reason, WHY_LENGTH_MAX),
        rebase=_rebase(form, message.rebase),
    )
    form.finish()
    return command


def read_reset_all(message: operator_pb2.ResetAllRequest) -> ResetAll:
    """Return the reset; CallRefused naming every faulty field."""
    form = Form()
    command = ResetAll(
        reset_by=read_text(form, "reset_by", message.reset_by, WHO_LENGTH_MAX),
        reason=read_text(form, "reason", message.reason, WHY_LENGTH_MAX),
        scope=_scope(form, message.scope) if message.HasField("scope") else None,
        expected_epoch=message.expected_epoch if message.HasField("expected_epoch") else None,
        rebase=_rebase(form, message.rebase),
    )
    form.finish()
    return command


def read_release_order(message: operator_pb2.ReleaseOrderRequest) -> ReleaseOrder:
    """Return the release; CallRefused naming every faulty field."""
    form = Form()
    command = ReleaseOrder(
        order_id=form.name("order_id", message.order_id),
        released_by=read_text(form, "released_by", message.released_by, WHO_LENGTH_MAX),
        reason=read_text(form, "reason", message.reason, WHY_LENGTH_MAX),
    )
    form.finish()
    return command


def read_accept_recovery(message: operator_pb2.AcceptRecoveryRequest) -> AcceptRecovery:
    """Return the acceptance; CallRefused naming every faulty field."""
    form = Form()
    command = AcceptRecovery(
        accepted_by=read_text(form, "accepted_by", message.accepted_by, WHO_LENGTH_MAX),
        reason=read_text(form, "reason", message.reason, WHY_LENGTH_MAX),
    )
    form.finish()
    return command


def read_accept_clock(message: operator_pb2.AcceptClockRequest) -> tuple[str, str]:
    """Return who accepts the wall clock and why; the service adds its reading."""
    form = Form()
    accepted_by = read_text(form, "accepted_by", message.accepted_by, WHO_LENGTH_MAX)
    reason = read_text(form, "reason", message.reason, WHY_LENGTH_MAX)
    form.finish()
    return accepted_by, reason


def operator_answer(kind: type[_Answer], answer: StartAnswer, store_id: str) -> _Answer:
    """Return the answer of this kind."""
    return kind(
        changed=answer.changed,
        status=short_status(answer.status),
        sequence=answer.sequence,
        store_id=store_id,
        receipt=receipt_message(answer.receipt),
    )


def anchored_answer(
    kind: type[_AnchoredAnswer], answer: StartAnswer, store_id: str
) -> _AnchoredAnswer:
    """Return the answer of this kind, with the anchors that moved."""
    return kind(
        changed=answer.changed,
        status=short_status(answer.status),
        sequence=answer.sequence,
        store_id=store_id,
        receipt=receipt_message(answer.receipt),
        anchors=[
            operator_pb2.AnchorChange(
                kind=DRAWDOWN_NUMBERS[Drawdown(move.drawdown)],
                old_anchor=format_decimal(move.old_unit_value),
                new_anchor=format_decimal(move.new_unit_value),
            )
            for move in answer.moved_anchors
        ],
    )


def _scope(form: Form, scope: kill_switch_pb2.KillScope) -> KillScope:
    kind = scope.WhichOneof("scope")
    if kind == "strategy":
        return KillScope(ScopeKind.STRATEGY, form.name("scope.strategy", scope.strategy))
    if kind == "symbol":
        return KillScope(ScopeKind.SYMBOL, form.name("scope.symbol", scope.symbol))
    if kind != "all" or not scope.all:
        form.fault("scope", "must set all = true, strategy or symbol, or be absent for every kill")
    return KillScope()


def _rebase(
    form: Form, kinds: Iterable[account_pb2.DrawdownKind.ValueType]
) -> tuple[Drawdown, ...]:
    named: list[Drawdown] = []
    for at, number in enumerate(kinds):
        drawdown = read_word(form, f"rebase[{at}]", number, DRAWDOWNS)
        if number not in DRAWDOWNS:
            continue
        if drawdown in named:
            form.fault(f"rebase[{at}]", f"names {drawdown} twice")
        named.append(drawdown)
    return tuple(named)
